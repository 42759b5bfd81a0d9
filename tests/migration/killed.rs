//! `tlo migrate-store` killed at any moment: the next one goes on, nothing is there twice, and work goes on on the target.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tlo::store::{SharedStore, TaskStateStoreExt};
use tlo::{
    Clock, IdSource, Payload, SqliteOptions, SqliteStore, SystemClock, TaskStatus, Timestamp,
};

use crate::operator::{Operator, Running, until};
use crate::population::{NAMES, PAUSED, Population};
use crate::{is_full, records, seed};

const JOBS: &str = r#"
task_state_store = "sqlite:from.db"
queues = ["default", "mail"]
[[tasks]]
name = "work"
shell = 'echo "$TLO_TASK_ID" >> done'
[[tasks]]
name = "other"
shell = 'echo "$TLO_TASK_ID" >> done'
"#;

fn source(operator: &Operator) -> SharedStore {
    let options = SqliteOptions::at(operator.path("from.db"));
    let ids = Arc::new(IdSource::random());
    Arc::new(SqliteStore::open(options, SystemClock::shared(), ids).unwrap())
}

/// Copies with kills until it comes to its end; how many processes were killed.
///
/// Each process is given a little more time than the one before it: a start and the last comparison of both sides happen
/// anew in each, and where the machine has become slower than it was, they alone would take longer than any of them may live.
fn copy_killed(operator: &Operator, to: &str, first: Duration, rng: &mut fastrand::Rng) -> usize {
    let args = ["migrate-store", "sqlite:from.db", to];
    let (mut kills, mut longest) = (0, first);
    loop {
        let mut command = operator.command(&args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let until = SystemClock.steady().at + longest.mul_f64(rng.f64());
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if SystemClock.steady().at >= until {
                break None;
            }
            std::thread::yield_now();
        };
        match ended {
            Some(status) => {
                assert!(status.success(), "{to}: {status}");
                return kills;
            }
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
                longest = longest.mul_f64(1.1);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_is_killed_goes_on_and_work_goes_on_on_the_target() {
    let (seed, tasks, wanted_kills) = if is_full() {
        (seed(), 4_000, 200)
    } else {
        (seed(), 500, 10)
    };
    println!("TLO_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let operator = Operator::new();
    operator.write("tlo.toml", JOBS);
    let store = source(&operator);
    Population::fill(&store, seed, tasks).await;
    let wanted = records(&store).await;
    drop(store);

    // How long one takes that nobody kills.
    let begun = SystemClock.steady().at;
    let whole = operator.json(&[
        "migrate-store",
        "--json",
        "sqlite:from.db",
        "sqlite:whole.db",
    ]);
    let longest = SystemClock.steady().at - begun;
    assert_eq!(whole["agrees"], true, "{whole}");
    assert_eq!(
        whole["from"],
        with_store(&whole["to"], &whole["from"]["store"])
    );

    let (mut kills, mut copies, mut last) = (0, 0, String::new());
    while kills < wanted_kills {
        let kind = ["sqlite", "jsonl", "lmdb"][copies % 3];
        last = format!("{kind}:to{copies}.{kind}");
        kills += copy_killed(&operator, &last, longest.mul_f64(0.6), &mut rng);
        copies += 1;
        // All is there: whoever did not hear of it may ask again.
        operator.ok(&["migrate-store", "sqlite:from.db", &last]);
        let back = format!("sqlite:back{copies}.db");
        // The wall clock, by which leases end that were copied, is given some grace.
        until("the copied leases have ended", || {
            let look = ["migrate-store", "--dry-run", &last, &back];
            operator.tlo(&look).code == 0
        });
        let again = operator.json(&["migrate-store", "--json", &last, &back]);
        assert_eq!(again["to"]["checksum"], whole["from"]["checksum"], "{last}");
        assert_eq!(again["to"]["groups"], whole["from"]["groups"]);
    }
    println!(
        "{kills} processes killed in {copies} copies of {} tasks",
        wanted.len()
    );
    works_on(&operator, &last, &wanted);
}

#[tokio::test]
async fn the_doctor_warns_of_a_copy_that_is_unfinished() {
    let operator = Operator::new();
    operator.write("tlo.toml", JOBS);
    let begun = Payload::parse(r#"{"from": "sqlite:/var/old.db", "stage": "marks"}"#).unwrap();
    let store = source(&operator);
    store
        .put_mark("migration", begun, None, None)
        .await
        .unwrap();
    drop(store);
    let found = operator.json(&["doctor", "--json"]);
    let said = "a copy from sqlite:/var/old.db into this store did not come to its end";
    assert!(found["warnings"].to_string().contains(said), "{found}");
}

fn with_store(side: &Value, store: &Value) -> Value {
    let mut side = side.clone();
    side["store"] = store.clone();
    side
}

/// What waits runs there once, what had ended stays as it was.
fn works_on(operator: &Operator, to: &str, wanted: &[tlo::TaskStateRecord]) {
    let now = SystemClock.now();
    let can_run = |record: &&tlo::TaskStateRecord| {
        NAMES.contains(&&*record.name) && &*record.queue != PAUSED && record.version.is_none()
    };
    let is_due = |at: Timestamp| at <= now;
    let due: BTreeSet<String> = wanted
        .iter()
        .filter(can_run)
        .filter(|record| match record.status {
            TaskStatus::Pending => is_due(record.run_at),
            // Its lease has ended: it is taken back, and run again after a while, unless somebody asked for its end.
            TaskStatus::Running => !record.cancel_requested,
            _ => false,
        })
        .map(|record| record.id.to_string())
        .collect();
    assert!(due.len() > 20, "{}", due.len());
    let mut command = operator.command(&["worker", "--for", "10m"]);
    command.env("TLO_TASK_STATE_STORE", to);
    let worker = Running::of(&mut command, &operator.path(""));
    let runs = || -> BTreeMap<String, usize> {
        let mut runs = BTreeMap::new();
        for id in operator.read("done").lines() {
            *runs.entry(id.to_owned()).or_default() += 1;
        }
        runs
    };
    until("everything that is due has run", || {
        let runs = runs();
        due.iter().all(|id| runs.contains_key(id))
    });
    worker.stop();
    let runs = runs();
    let twice: Vec<_> = runs.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    for record in wanted.iter().filter(|record| record.status.is_terminal()) {
        assert!(
            !runs.contains_key(record.id.as_str()),
            "{} ran again",
            record.id
        );
    }
    println!(
        "{} tasks ran on the target, {} of them had to",
        runs.len(),
        due.len()
    );
}
