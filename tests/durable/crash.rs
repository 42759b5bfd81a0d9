//! Sudden death: what a killed process had answered is there when the file is opened again.
//!
//! `TLO_PROOF=full` kills 200 times, otherwise ten; `TLO_TEST_SEED` repeats a run.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tlo::store::{Maintain, Retention, TaskStateStore, TaskStateStoreExt};
use tlo::{Payload, TaskStateRecord, TaskStatus, WorkerId};

use self::answered::Answered;
use crate::kit::{Store, is_full, new, open_place, place};

#[path = "answered.rs"]
pub(crate) mod answered;

const CHILD: &str = "TLO_TEST_STORE_CHILD";
const CALLERS: usize = 16;

async fn lease(store: &Store) -> tlo::Result<Vec<Arc<TaskStateRecord>>> {
    let worker = WorkerId::new("w#1").unwrap();
    let minute = Duration::from_secs(60);
    store.lease(&worker, "default", &["greet"], 1, minute).await
}

/// The process that is killed: submits, claims and settles until then, and prints each answer after it got it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the test below"]
async fn child() {
    let (Ok(path), Ok(round)) = (std::env::var(CHILD), std::env::var("TLO_TEST_STORE_ROUND"))
    else {
        panic!("{CHILD} does not say which store to write");
    };
    let store = Arc::new(open_place(&path).await);
    let mut running = Vec::new();
    for caller in 0..CALLERS {
        let (store, round) = (Arc::clone(&store), round.clone());
        running.push(tokio::spawn(async move {
            for n in 0.. {
                let task = format!("r{round}-c{caller}-{n}");
                store.create(new(&task)).await.unwrap();
                println!("made {task}");
                for task in lease(&store).await.unwrap() {
                    println!("leased {}", task.id);
                    let reference = task.lease.as_ref().unwrap().reference();
                    store
                        .succeed(&task.id, reference, Payload::null())
                        .await
                        .unwrap();
                    println!("done {}", task.id);
                }
            }
        }));
    }
    for caller in running {
        caller.await.unwrap();
    }
}

/// Starts the child, kills it after this many lines, and gives all the lines that it had printed whole.
fn run_and_kill(place: &str, round: usize, after: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "crash::child", "--nocapture"])
        .env(CHILD, place)
        .env("TLO_TEST_STORE_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut lines = Vec::new();
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 {
        if line.ends_with('\n') {
            lines.push(line.trim_end().to_owned());
        }
        line.clear();
        if lines.len() == after {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    lines
}

#[tokio::test]
async fn nothing_that_was_answered_is_lost_when_the_process_is_killed() {
    let seed = std::env::var("TLO_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    let rounds = if is_full() { 200 } else { 10 };
    let mut random = fastrand::Rng::with_seed(seed);
    let Some((_kept, place)) = place() else {
        return;
    };
    let mut answered = Answered::default();
    for round in 0..rounds {
        for line in run_and_kill(&place, round, random.usize(20..2_000)) {
            let Some((word, task)) = line.split_once(' ') else {
                continue;
            };
            let status = match word {
                "made" => TaskStatus::Pending,
                "leased" => TaskStatus::Running,
                "done" => TaskStatus::Succeeded,
                _ => continue,
            };
            answered.note(task, status);
        }
        let store = open_place(&place).await;
        // It was not closed: upkeep looks a file through once.
        let upkeep = Maintain {
            retention: Retention {
                age: None,
                count: None,
            },
            limit: 100,
        };
        store.maintain(upkeep).await.unwrap();
        answered.check(&store, seed).await;
    }
    println!("{rounds} kills, {answered} (seed {seed})");
    assert!(answered.answers() >= rounds * 20);
}
