//! Submitters, schedulers and workers on one file, and a random one of them killed again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use tlo::TaskStatus;

use crate::book::Book;
use crate::checker::{Wrong, recoveries};
use crate::faulty::Fault;
use crate::journal::UnderLease;
use crate::parent::{Home, Process, chance, is_full, pause, until};

const LEASE: Duration = Duration::from_secs(1);

const CREW: [&str; 8] = [
    "submit", "submit", "schedule", "schedule", "work", "work", "work", "work",
];

/// How often a store that does not keep its word is given the chance to show it.
const RAGES: usize = 8;

/// Kills of each role.
type Kills = BTreeMap<&'static str, usize>;

/// Starts the crew, kills until it is enough, lets the workers finish what is there, and ends them.
async fn rage(
    home: &Home,
    chance: &mut fastrand::Rng,
    wanted: usize,
    fault: Option<&str>,
) -> Kills {
    let told: Vec<_> = fault
        .map(|fault| ("FAULT", fault.to_owned()))
        .into_iter()
        .collect();
    let start = |role: &'static str| home.start_with(role, &told);
    let mut crew: Vec<Process> = CREW.map(start).into();
    until("all are up", || home.book().up.len() == CREW.len());
    let mut kills = Kills::new();
    // A worker that is stopped, and the blow before which it goes on.
    let mut stopped: Option<(usize, usize)> = None;
    let mut blow = 0;
    while kills.values().sum::<usize>() < wanted || home.book().caught() == 0 {
        blow += 1;
        pause(Duration::from_millis(chance.u64(20..380)));
        if stopped.is_none() && chance.u8(0..5) == 0 {
            let worker = chance.usize(4..8);
            if home.book().up.contains(&crew[worker].who) {
                crew[worker].stop();
                stopped = Some((worker, blow + chance.usize(1..9)));
            }
        }
        if let Some((worker, until)) = stopped
            && until <= blow
        {
            crew[worker].go_on();
            stopped = None;
        }
        let all_at_once = blow % 30 == 29;
        let victims = if all_at_once {
            stopped = None;
            (0..crew.len()).collect()
        } else {
            let one = chance.usize(0..crew.len());
            stopped = stopped.filter(|(worker, _)| *worker != one);
            vec![one]
        };
        for victim in &victims {
            // One in eight dies whenever it comes, also while it starts.
            let who = crew[*victim].who;
            if !all_at_once && chance.u8(0..8) > 0 {
                until("it is up", || home.book().up.contains(&who));
            }
            crew[*victim].kill_9();
            *kills.entry(crew[*victim].role).or_default() += 1;
        }
        for victim in victims {
            crew[victim] = start(CREW[victim]);
        }
    }
    if let Some((worker, _)) = stopped {
        crew[worker].go_on();
    }
    // Nothing new comes; what is there is finished by the workers.
    for process in &mut crew[..4] {
        process.kill_9();
        *kills.entry(process.role).or_default() += 1;
    }
    let store = home.open();
    home.drained(&*store).await;
    if fault.is_none() {
        home.everything_can_be_had_again(store).await;
    }
    for process in &mut crew[4..] {
        process.kill_9();
    }
    kills
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_done_out_of_turn_however_processes_are_killed() {
    let (mut chance, seed) = chance();
    let wanted = if is_full() { 220 } else { 12 };
    let home = Home::new(LEASE);
    let kills = rage(&home, &mut chance, wanted, None).await;
    let (book, filed, wrong) = home.violations(false).await;
    let took = recoveries(&book, &filed.records);
    println!(
        "seed {seed}; kills by role: {kills:?}; {} workers stopped and let go on",
        book.stopped.len()
    );
    tell(&book, filed.records.iter().map(|record| record.status));
    println!(
        "taken back after a kill (lease {LEASE:?}): {}",
        percentiles(&took)
    );
    for (label, what) in [
        ("lost", Wrong::Lost),
        ("overlap inside a live lease", Wrong::Overlap),
        ("wrong result", Wrong::FalseResult),
        ("stale settle accepted", Wrong::StaleSettle),
        ("duplicate slot", Wrong::DuplicateSlot),
        ("missing slot", Wrong::MissingSlot),
        ("duplicate key", Wrong::DuplicateKey),
        ("gate passed", Wrong::GatePassed),
        ("leaked lease", Wrong::LeakedLease),
        ("leaked gate", Wrong::LeakedGate),
        ("leaked key", Wrong::LeakedKey),
    ] {
        let found = wrong.iter().filter(|violation| violation.what == what);
        print!("{label} {}, ", found.count());
    }
    println!("all violations: {}", wrong.len());
    home.nobody_failed();
    assert_eq!(wrong, []);
    assert!(!took.is_empty(), "no kill hit a run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_keep_its_word_is_found_out() {
    let (mut chance, seed) = chance();
    for (name, fault, expected) in Fault::ALL {
        // What goes wrong takes a meeting of two that may not come about in one short rage on a busy machine.
        let mut seen = Vec::new();
        for rage_again in 0..RAGES {
            let home = Home::new(LEASE);
            rage(&home, &mut chance, 3 + rage_again, Some(name)).await;
            let (_, _, wrong) = home.violations(false).await;
            let mut found: BTreeMap<Wrong, usize> = BTreeMap::new();
            for violation in &wrong {
                *found.entry(violation.what).or_default() += 1;
            }
            println!("seed {seed}; a store that {name}: {found:?}");
            let is_found = found.contains_key(&expected);
            seen.push(found);
            if is_found {
                break;
            }
        }
        let is_found = seen
            .last()
            .is_some_and(|found| found.contains_key(&expected));
        assert!(is_found, "{fault:?}: {seen:?}");
    }
}

fn tell(book: &Book, statuses: impl Iterator<Item = TaskStatus>) {
    let mut by_status: BTreeMap<&str, usize> = BTreeMap::new();
    for status in statuses {
        *by_status.entry(status.as_str()).or_default() += 1;
    }
    let leases = book.all_leases().count();
    println!(
        "{} submits acknowledged, {} refused {:?}, {} tasks: {by_status:?}",
        book.acknowledged.len(),
        book.not_submitted.len(),
        book.not_submitted.first(),
        by_status.values().sum::<usize>()
    );
    println!(
        "{leases} leases, {} runs answered again after a loss; refused under a lost lease: {} settles, {} extensions",
        book.run_again(),
        book.refused(UnderLease::Settle),
        book.refused(UnderLease::Extend),
    );
}

pub(crate) fn percentiles(sorted: &[Duration]) -> String {
    let Some(max) = sorted.last() else {
        return "none".to_owned();
    };
    let at = |part: usize| sorted[(sorted.len() * part / 100).min(sorted.len() - 1)];
    format!(
        "{} runs, p50 {:.3?}, p90 {:.3?}, p99 {:.3?}, max {max:.3?}",
        sorted.len(),
        at(50),
        at(90),
        at(99)
    )
}
