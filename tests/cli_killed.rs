//! Many `tlo run` on one file, killed one after the other while they run command tasks: who is left finishes everything.
//!
//! `TLO_PROOF=full` does it at full counts.

#![cfg(all(unix, feature = "cli"))]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and prints its counts"
)]

mod operator;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use operator::{Operator, Running, text, until};
use tlo::{Clock, SystemClock};

const JOBS: &str = r#"
lease = "2s"
concurrency = 4
[[tasks]]
name = "work"
shell = 'echo "$TLO_TASK_ID $TLO_ATTEMPT" >> begun; sleep 0.9; echo "$TLO_TASK_ID $TLO_ATTEMPT" >> done'
"#;

/// Everything must have succeeded by then, after the last kill.
const LIMIT: Duration = Duration::from_secs(40);

fn steady() -> Duration {
    SystemClock.steady().at
}

fn lines(operator: &Operator, name: &str) -> usize {
    operator.read(name).lines().count()
}

#[test]
fn workers_that_are_killed_one_a_second_cost_no_task() {
    let is_full = std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full");
    let (kills, tasks) = if is_full { (8, 200) } else { (2, 24) };
    let operator = Operator::with_jobs(JOBS);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..tasks / 4 {
                    operator.ok(&["submit", "work"]);
                }
            });
        }
    });
    // One more than are killed: it finishes what they leave.
    let mut workers: Vec<Running> = (0..=kills).map(|_| operator.start(&[])).collect();
    let survivor = workers.pop().unwrap();
    until("all work", || lines(&operator, "begun") >= kills * 4);
    let begun = steady();
    for (turn, worker) in (1..).zip(workers) {
        worker.kill_9();
        if turn < kills {
            let next = begun + Duration::from_secs(1) * u32::try_from(turn).unwrap();
            std::thread::sleep(next.saturating_sub(steady()));
        }
    }
    let last_kill = steady();
    let mut open = Vec::new();
    until("every task has come to its end once", || {
        let ends = operator.read("done");
        let ids: BTreeSet<_> = ends
            .lines()
            .filter_map(|line| line.split(' ').next())
            .collect();
        ids.len() >= tasks
    });
    until("the store knows of all ends", || {
        open = operator.list(&["--status", "pending,running"]);
        open.is_empty()
    });
    let took = steady() - last_kill;
    survivor.stop();

    let records = operator.list(&[]);
    let mut runs: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lost_by = BTreeSet::new();
    for record in &records {
        for attempt in record["attempts"].as_array().unwrap() {
            *runs.entry(text(attempt, "outcome")).or_default() += 1;
            if attempt["outcome"] == "lost" {
                lost_by.insert(text(attempt, "worker"));
            }
        }
    }
    println!(
        "{kills} workers killed one a second, {tasks} command tasks, lease 2s: all ended {took:.1?} after the last kill; \
         runs: {runs:?}; {} commands begun, {} done",
        lines(&operator, "begun"),
        lines(&operator, "done"),
    );
    assert_eq!(records.len(), tasks);
    for record in &records {
        assert_eq!(record["status"], "succeeded", "{record}");
    }
    assert_eq!(runs["succeeded"], tasks, "each succeeds once");
    assert!(!lost_by.is_empty(), "no kill hit a running task");
    assert!(took <= LIMIT, "{took:?}");
}
