//! The deterministic simulation: thousands of histories, the invariants in each, and every situation among them.
//!
//! `TLO_PROOF=full` runs 5,000 seeds in memory and 500 more on stores that are opened again after each crash, otherwise a
//! twentieth. Each run begins at another seed, which is printed; `TLO_SIM_SEED` runs one alone.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(
    clippy::print_stdout,
    reason = "the table of situations is what the run is for"
)]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod places;
mod planted;
mod shop;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../stores/mod.rs"]
mod stores;

use places::Files;
use planted::{Bug, Planted};
use shop::shop;
use stores::Trees;
use tlo::IdSource;
use tlo::testing::conformance::StoreFactory;
use tlo::testing::simulation::{Report, Simulation, Situation};

/// Seeds of the full proof in memory, over rows, and on SQLite.
const SEEDS: u64 = 5_000;
const SEEDS_OVER_ROWS: u64 = 400;
const SEEDS_ON_SQLITE: u64 = 100;

/// Seeds in which a bug that was planted must be found.
const SEEDS_FOR_A_BUG: u64 = 150;

/// Runs so many seeds, or a twentieth, from a new one on.
fn proof(what: &str, full_count: u64, simulation: Simulation) -> Report {
    let is_full = std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full");
    let count = if is_full { full_count } else { full_count / 20 };
    // Far from what another run begins with.
    let first = (IdSource::random().unit() * 1e12) as u64;
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let report = simulation
        .seeds(first..first + count)
        .threads(threads)
        .run();
    println!("{what}: {report}");
    report.assert_ok();
    report
}

#[test]
fn every_history_in_memory_keeps_the_invariants_and_every_situation_is_met() {
    let report = proof("in memory", SEEDS, Simulation::of(shop));
    assert!(Situation::ALL.len() >= 40);
    if std::env::var("TLO_SIM_SEED").is_err() {
        report.assert_met(Situation::ALL);
    }
}

#[test]
fn every_history_over_rows_that_are_opened_again_keeps_the_invariants() {
    proof(
        "over rows",
        SEEDS_OVER_ROWS,
        Simulation::of(shop).on(Trees::default()),
    );
}

#[test]
fn every_history_on_sqlite_that_is_opened_again_keeps_the_invariants() {
    proof(
        "on SQLite",
        SEEDS_ON_SQLITE,
        Simulation::of(shop).on(Files::new()),
    );
}

fn repeats<F: StoreFactory + 'static>(seed: u64, factory: impl Fn() -> F) {
    let run = || Simulation::of(shop).on(factory()).run_seed(seed);
    let (first, second) = (run(), run());
    if let Some(violation) = &first.violation {
        panic!("{violation}");
    }
    let sum = |report: &tlo::testing::simulation::SeedReport| {
        (report.history, report.events, report.tasks, report.runs)
    };
    assert_eq!(sum(&first), sum(&second), "seed {seed}");
    assert!(first.events > 100 && first.runs > 10);
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let mut histories = std::collections::BTreeSet::new();
    for seed in 0..4 {
        let run = || Simulation::of(shop).run_seed(seed);
        let (first, second) = (run(), run());
        assert_eq!(first.history, second.history, "seed {seed}");
        histories.insert(first.history);
    }
    assert_eq!(histories.len(), 4, "other seeds give other histories");
    repeats(5, Trees::default);
    repeats(6, Files::new);
}

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for (bug, says) in Bug::ALL {
        let report = Simulation::of(shop)
            .wrap(|store| Planted::before(store, *bug))
            .seeds(0..SEEDS_FOR_A_BUG)
            .run_until_broken();
        match report.violations.first() {
            Some(found) => println!(
                "{says}\n    -> after {} seeds, {}\n       {}",
                report.seeds, found.invariant, found.message
            ),
            None => missed.push(says),
        }
    }
    println!(
        "{} bugs planted, {} found",
        Bug::ALL.len(),
        Bug::ALL.len() - missed.len()
    );
    assert!(
        missed.is_empty(),
        "not found in {SEEDS_FOR_A_BUG} seeds: {missed:#?}"
    );
}
