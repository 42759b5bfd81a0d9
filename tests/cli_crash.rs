//! `tlo run` killed without warning, again and again, and two of them on one file: every slot runs once, none is
//! forgotten, and everything that ran is in the store.
//!
//! `TLO_PROOF=full` does it at full counts; `TLO_SEED` repeats a run.

#![cfg(all(unix, feature = "cli"))]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and prints its counts"
)]

mod operator;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use operator::{Operator, text, until};
use serde_json::Value;

/// Chance from a seed that is printed.
struct Chance(u64);

impl Chance {
    fn seeded() -> Self {
        let seed = match std::env::var("TLO_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => {
                let mut bytes = [0; 8];
                let mut random = std::fs::File::open("/dev/urandom").unwrap();
                std::io::Read::read_exact(&mut random, &mut bytes).unwrap();
                u64::from_ne_bytes(bytes)
            }
        };
        println!("TLO_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn is_full() -> bool {
    std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full")
}

/// Microseconds of the wall clock.
fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

fn micros(record: &Value, field: &str) -> i64 {
    text(record, field)
        .parse::<jiff::Timestamp>()
        .unwrap()
        .as_microsecond()
}

/// What the commands wrote down themselves: ids, and which attempt it was.
fn journal(operator: &Operator) -> Vec<(String, u32)> {
    let lines = operator.read("journal");
    let entry = |line: &str| {
        let (id, attempt) = line.split_once(' ').unwrap();
        (id.to_owned(), attempt.parse().unwrap())
    };
    lines.lines().map(entry).collect()
}

/// No slot twice, no attempt twice, and every run has its record.
fn check_books(records: &[Value], journal: &[(String, u32)]) {
    let by_id: BTreeMap<&str, &Value> = records
        .iter()
        .map(|record| (text(record, "id"), record))
        .collect();
    assert_eq!(by_id.len(), records.len(), "an id is in the store twice");
    let mut slots = BTreeSet::new();
    for record in records {
        let slot = (text(record, "name"), text(record, "slot"));
        assert!(slots.insert(slot), "{slot:?} is in the store twice");
        assert_eq!(text(record, "id"), format!("{}@{}", slot.0, slot.1));
        let wins = record["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|attempt| attempt["outcome"] == "succeeded");
        assert_eq!(
            wins.count(),
            usize::from(record["status"] == "succeeded"),
            "{record}"
        );
    }
    let mut runs = BTreeSet::new();
    for entry in journal {
        assert!(runs.insert(entry), "{entry:?} ran twice");
        let record = by_id
            .get(entry.0.as_str())
            .unwrap_or_else(|| panic!("{entry:?} ran and has no record"));
        assert!(
            record["attempt"].as_u64().unwrap() >= u64::from(entry.1),
            "{entry:?} is not in {record}"
        );
    }
    for record in records
        .iter()
        .filter(|record| record["status"] == "succeeded")
    {
        let run = (
            text(record, "id").to_owned(),
            u32::try_from(record["attempt"].as_u64().unwrap()).unwrap(),
        );
        assert!(runs.contains(&run), "{run:?} succeeded and never ran");
    }
}

/// The slots of a schedule, in order.
fn slots(records: &[Value], name: &str) -> Vec<i64> {
    let mut slots: Vec<i64> = records
        .iter()
        .filter(|record| record["name"] == name)
        .map(|record| micros(record, "slot"))
        .collect();
    slots.sort_unstable();
    slots
}

const KILLED: &str = r#"
lease = "1s"
concurrency = 32
[[tasks]]
name = "all"
every = "200ms"
misfire = { all = 10000 }
overlap = "allow"
shell = 'echo "$TLO_TASK_ID $TLO_ATTEMPT" >> journal; sleep 0.05'
[[tasks]]
name = "once"
every = "250ms"
misfire = "once"
overlap = "allow"
shell = 'echo "$TLO_TASK_ID $TLO_ATTEMPT" >> journal; sleep 0.2'
[[tasks]]
name = "skip"
every = "300ms"
misfire = "skip"
grace = "100ms"
overlap = "allow"
shell = 'echo "$TLO_TASK_ID $TLO_ATTEMPT" >> journal'
[[tasks]]
name = "long"
every = "1s"
misfire = { all = 10000 }
overlap = "allow"
shell = 'echo "$TLO_TASK_ID $TLO_ATTEMPT" >> journal; sleep 0.8'
"#;

#[test]
fn killed_at_any_time_nothing_runs_twice_and_nothing_is_forgotten() {
    let mut chance = Chance::seeded();
    let kills = if is_full() { 50 } else { 10 };
    let operator = Operator::with_jobs(KILLED);
    // The anchors are set before the killing begins.
    operator.run(&[]).stop();
    let mut outages = Vec::new();
    let mut killed = now();
    for round in 0..kills {
        std::thread::sleep(Duration::from_millis(chance.below(900)));
        outages.push((killed, now()));
        let running = operator.start(&[]);
        // One in five dies while it starts.
        if round % 5 != 4 {
            let lines = journal(&operator).len();
            until("it runs something", || journal(&operator).len() > lines);
        }
        std::thread::sleep(Duration::from_millis(chance.below(700)));
        running.kill_9();
        killed = now();
    }
    outages.push((killed, now()));
    let last = now();
    let running = operator.run(&[]);
    let mut left = Vec::new();
    until("everything of before has ended", || {
        left = operator.list(&["--status", "pending,running"]);
        left.retain(|record| micros(record, "slot") < last);
        left.is_empty()
    });
    running.stop();

    let (records, journal) = (operator.list(&[]), journal(&operator));
    check_books(&records, &journal);
    let lost = records
        .iter()
        .map(|record| record["lost"].as_u64().unwrap())
        .sum::<u64>();
    for record in records
        .iter()
        .filter(|record| record["status"] != "succeeded")
    {
        // Created while the last runner was being stopped: the next one would run it.
        let untouched = record["status"] == "pending" && record["attempt"] == 0;
        if untouched && micros(record, "slot") >= last {
            continue;
        }
        let given_up = record["lost"] == record["max_lost"]
            && record["error"].as_str().is_some_and(|e| e.contains("lost"));
        assert!(record["status"] == "failed" && given_up, "{record}");
    }
    let mut skipped = 0;
    for (name, every) in [
        ("all", 200_000),
        ("long", 1_000_000),
        ("once", 250_000),
        ("skip", 300_000),
    ] {
        let slots = slots(&records, name);
        for pair in slots.windows(2) {
            let gap = (pair[1] - pair[0]) / every;
            assert_eq!(
                (pair[1] - pair[0]) % every,
                0,
                "{name}: {pair:?} is off its beat"
            );
            assert!(
                gap == 1 || !matches!(name, "all" | "long"),
                "{name}: {} slots are missing",
                gap - 1
            );
            skipped += gap - 1;
        }
        for (from, to) in &outages {
            let within: Vec<i64> = slots
                .iter()
                .copied()
                .filter(|slot| slot > from && slot < to)
                .collect();
            match name {
                // The newest that was missed, and no other.
                "once" => assert!(
                    within.len() <= 1 && within.iter().all(|slot| slot + every > *to),
                    "{within:?} of {from}..{to}"
                ),
                // Only what is late by less than the grace.
                "skip" => assert!(
                    within.iter().all(|slot| slot + 100_000 >= *to),
                    "{within:?} of {from}..{to}"
                ),
                _ => {}
            }
        }
    }
    println!(
        "{kills} kills: {} slots, {} runs, {lost} lost leases, {skipped} slots skipped by policy",
        records.len(),
        journal.len()
    );
    assert!(skipped > 0, "the outages were too short to miss anything");
    assert!(lost > 0, "no kill hit a running task");
}

#[test]
fn two_processes_share_the_work_and_no_slot_runs_twice() {
    let wanted = if is_full() { 1_000 } else { 200 };
    let mut jobs = "concurrency = 4\n".to_owned();
    for name in 0..10 {
        jobs.push_str(&format!(
            "[[tasks]]\nname = \"t{name}\"\nevery = \"250ms\"\nmisfire = {{ all = 10000 }}\noverlap = \"allow\"\n\
             shell = 'echo \"$TLO_TASK_ID $TLO_ATTEMPT\" >> journal'\n"
        ));
    }
    let operator = Operator::with_jobs(&jobs);
    let (first, second) = (operator.start(&[]), operator.start(&[]));
    until("enough has run", || journal(&operator).len() >= wanted);
    first.stop();
    second.stop();
    let (records, journal) = (operator.list(&[]), journal(&operator));
    check_books(&records, &journal);
    let mut shares: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &records {
        for attempt in record["attempts"].as_array().unwrap() {
            *shares.entry(text(attempt, "worker")).or_default() += 1;
        }
        assert_eq!(record["lost"], 0, "{record}");
    }
    for name in 0..10 {
        for pair in slots(&records, &format!("t{name}")).windows(2) {
            assert_eq!(pair[1] - pair[0], 250_000, "t{name} misses a slot");
        }
    }
    println!(
        "{} slots, {} runs, by {shares:?}",
        records.len(),
        journal.len()
    );
    assert_eq!(shares.len(), 2, "both take part");
}
