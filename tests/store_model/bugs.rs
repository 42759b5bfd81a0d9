//! The proof of the proof: stores with a planted bug, which the model and the lockstep must find.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::chance;
use crate::driver::{self, Home, Tally};
use crate::planted::{Bug, PlantedTrees};
use crate::stores::Trees;

/// What no sequence of single calls with plain names and small payloads meets, nor one in which nothing is put in from
/// another store; the conformance suite has cases for each.
const BEYOND: &[Bug] = &[
    Bug::KeysByQuery,
    Bug::PayloadsTidiedUp,
    Bug::NulDropped,
    Bug::PayloadLimitTooSmall,
    Bug::NamesTrimmed,
    Bug::NamesFolded,
    Bug::HintsNeverSent,
    Bug::ImportsOverwrite,
    Bug::ImportsForgetRuns,
    Bug::ImportedEventsAppended,
    Bug::ImportedMarksNeverEnd,
    Bug::KeysOfTheGoneFree,
    Bug::HoldingsIncomplete,
];

/// Those that are looked for when it is not the full proof: some of each kind.
const FEW: &[Bug] = &[
    Bug::SettleIgnoresLease,
    Bug::TakesBackLiveLeases,
    Bug::LeasesOnTheWallClock,
    Bug::NextDueTooLate,
    Bug::CommitNotAtomic,
    Bug::ReplaceIgnored,
    Bug::GatesOffByOne,
    Bug::HoldersLeak,
    Bug::ParkedNeverComeBack,
    Bug::RetentionRemovesChildren,
    Bug::LeasesLostByReopen,
];

/// Sequences after which a bug counts as missed.
const PATIENCE: usize = 2_000;

/// Runs sequences until one finds something; how many it took, and what it said.
fn hunt(bug: Bug, in_lockstep: bool, seed: u64) -> Option<(usize, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let trees = Trees::default();
    let planted = PlantedTrees {
        trees: Trees::default(),
        bug,
    };
    let copy = |from: &str, to: &str| {
        for trees in [&trees, &planted.trees] {
            let rows = trees.engine(from).tree.read().clone();
            *trees.engine(to).tree.write() = rows;
        }
    };
    let good = Home {
        factory: &trees,
        copy: Some(&copy),
        on_server: false,
    };
    let bad = Home {
        factory: &planted,
        copy: Some(&copy),
        on_server: false,
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let tally = Tally::default();
    for tried in 1..=PATIENCE {
        let steps = chance::steps().new_tree(&mut runner).unwrap().current().0;
        let (home, twin) = if in_lockstep {
            (&good, Some(&bad))
        } else {
            (&bad, None)
        };
        if let Err(why) = runtime.block_on(driver::run(home, twin, &steps, &tally)) {
            return Some((tried, why));
        }
    }
    None
}

fn find_all(in_lockstep: bool) {
    let seed = std::env::var("TLO_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("TLO_SEED={seed}");
    let is_full = std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full");
    let wanted = |bug: &Bug| !BEYOND.contains(bug) && (is_full || FEW.contains(bug));
    let mut missed = Vec::new();
    let mut found = 0;
    for (bug, says) in Bug::ALL.iter().filter(|(bug, _)| wanted(bug)) {
        match hunt(*bug, in_lockstep, seed) {
            Some((tried, why)) => {
                found += 1;
                let why = why.lines().nth(1).unwrap_or(&why);
                let why: String = why.chars().take(100).collect();
                println!("{says}\n    -> sequence {tried}: {why}");
            }
            None => missed.push(says),
        }
    }
    println!("{found} bugs found, {} missed", missed.len());
    assert!(missed.is_empty(), "not found: {missed:#?}");
    assert!(found >= if is_full { 60 } else { FEW.len() });
}

#[test]
fn the_model_finds_planted_bugs() {
    find_all(false);
}

#[test]
fn the_lockstep_finds_planted_bugs() {
    find_all(true);
}
