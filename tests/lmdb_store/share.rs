//! Several callers, handles and processes on one directory.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tlo::store::kv::RowEngine;
use tlo::store::{Hint, Maintain, Retention, TaskStateStore, TaskStateStoreExt};
use tlo::{ErrorKind, LmdbEngine, LmdbOptions, LmdbStore, Payload};

use crate::kit::{home, id, lease, new, open, open_with, total, until};

#[tokio::test]
async fn a_lone_commit_is_one_transaction() {
    let (_directory, path) = home();
    let store = open(&path);
    store.create(new("first")).await.unwrap();
    let last = || store.engine().facts().unwrap().last_transaction;
    let before = last();
    store.create(new("second")).await.unwrap();
    assert_eq!(last() - before, 1);
    lease(&store, 10).await.unwrap();
    assert_eq!(last() - before, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_wait_share_a_transaction() {
    let (_directory, path) = home();
    let store: Arc<LmdbStore> = Arc::new(open(&path));
    let last = || store.engine().facts().unwrap().last_transaction;
    let before = last();
    let callers: Vec<_> = (0..64)
        .map(|caller| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..10 {
                    store.create(new(format!("t{caller}-{n}"))).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let transactions = last() - before;
    println!("640 commits of 64 callers in {transactions} transactions");
    assert!(
        (10..=160).contains(&transactions),
        "{transactions} transactions for 640 commits"
    );
    assert_eq!(total(&*store).await, 640);
}

/// What a process that the tests below start is to do: a word and a path.
const PART: &str = "TLO_TEST_LMDB_PART";

/// One of several processes on a directory.
#[tokio::test]
#[ignore = "started by the tests below"]
async fn process() {
    let part = std::env::var(PART).unwrap();
    let (word, path) = part.split_once(' ').unwrap();
    let path = Path::new(path);
    let mut go = String::new();
    // Waits for its turn, so that all begin together.
    let wait = |go: &mut String| std::io::stdin().read_line(go).unwrap();
    match word {
        "claim" => {
            println!("ready");
            wait(&mut go);
            let store = open(path);
            loop {
                let tasks = lease(&store, 3).await.unwrap();
                if tasks.is_empty() {
                    break;
                }
                for task in tasks {
                    let reference = task.lease.as_ref().unwrap().reference();
                    store
                        .succeed(&task.id, reference, Payload::null())
                        .await
                        .unwrap();
                    println!("done {}", task.id);
                }
            }
        }
        "read" => {
            let engine = LmdbEngine::open(LmdbOptions::at(path)).unwrap();
            let mut reading = |_: &dyn tlo::store::kv::Rows| {
                println!("ready");
                wait(&mut go);
                Ok(())
            };
            engine.read(&mut reading).unwrap();
        }
        "write" => {
            let engine = LmdbEngine::open(LmdbOptions::at(path)).unwrap();
            let mut writing = |rows: &mut dyn tlo::store::kv::Rows| {
                rows.delete(b"ta")?;
                println!("ready");
                wait(&mut go);
                Ok(())
            };
            engine.write(&mut writing).unwrap();
        }
        "grow" => {
            let store = open(path);
            for n in 0..100 {
                store.create(big(&format!("grown-{n}"))).await.unwrap();
            }
            println!("ready");
            wait(&mut go);
        }
        _ => panic!("{part}"),
    }
}

/// A process with its part; it has said that it is ready.
struct Process(Child, BufReader<ChildStdout>);

impl Process {
    fn start(word: &str, path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "share::process", "--nocapture"])
            .env(PART, format!("{word} {}", path.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut process = Self(child, output);
        while process.line() != "ready" {}
        process
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.1.read_line(&mut line).unwrap() > 0, "it has ended");
        // The harness says the name of the test without ending the line.
        let line = line.trim_end();
        line.rsplit("... ").next().unwrap_or(line).to_owned()
    }

    fn go(&mut self) {
        let mut input = self.0.stdin.take().unwrap();
        input.write_all(b"go\n").unwrap();
    }

    fn lines(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for line in self.1.by_ref().lines() {
            lines.push(line.unwrap());
        }
        assert!(self.0.wait().unwrap().success());
        lines
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_writer_that_hangs_holds_up_writes_only_and_its_death_frees_them() {
    let (_directory, path) = home();
    let options = LmdbOptions {
        call_timeout: Duration::from_millis(300),
        ..LmdbOptions::at(&path)
    };
    let store = open_with(options).unwrap();
    store.create(new("a")).await.unwrap();
    let mut writer = Process::start("write", &path);
    let error = store.create(new("b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert_eq!(store.read(&id("a")).await.unwrap().id, id("a"));
    writer.0.kill().unwrap();
    writer.0.wait().unwrap();
    // What waited for the lock is written now; what the dead one had begun never was.
    until("the writes go on", || async {
        store.read(&id("b")).await.is_ok()
    })
    .await;
    store.create(new("c")).await.unwrap();
    assert_eq!(total(&store).await, 3);
    assert!(store.check().await.unwrap().is_empty());
}

fn big(task: &str) -> tlo::task::NewTask {
    let mut task = new(task);
    task.args = Payload::of(&"x".repeat(100_000)).unwrap();
    task
}

#[tokio::test]
async fn processes_that_claim_at_the_same_time_never_share_a_task() {
    let (_directory, path) = home();
    let store = open(&path);
    for n in 0..600 {
        store.create(new(format!("t{n:03}"))).await.unwrap();
    }
    let mut processes: Vec<_> = (0..3).map(|_| Process::start("claim", &path)).collect();
    for process in &mut processes {
        process.go();
    }
    let mut mine = Vec::new();
    loop {
        let tasks = lease(&store, 3).await.unwrap();
        if tasks.is_empty() {
            break;
        }
        for task in tasks {
            let reference = task.lease.as_ref().unwrap().reference();
            store
                .succeed(&task.id, reference, Payload::null())
                .await
                .unwrap();
            mine.push(format!("done {}", task.id));
        }
    }
    let mut done = mine.clone();
    for process in processes {
        let lines = process.lines();
        done.extend(lines.into_iter().filter(|line| line.starts_with("done ")));
    }
    let unique: BTreeSet<_> = done.iter().collect();
    println!("600 tasks by 4 processes, {} by this one", mine.len());
    assert_eq!((done.len(), unique.len()), (600, 600));
}

#[tokio::test]
async fn a_listener_hears_of_another_process() {
    let (_directory, path) = home();
    let store = open(&path);
    let mut hints = store.hints();
    let _other = Process::start("grow", &path);
    assert_eq!(hints.next().await, Some(Hint::Unknown));
}

#[tokio::test]
async fn a_file_that_another_process_made_larger_is_read_and_written() {
    let (_directory, path) = home();
    let options = LmdbOptions {
        map_bytes: 4 << 20,
        ..LmdbOptions::at(&path)
    };
    let store = open_with(options).unwrap();
    store.create(new("a")).await.unwrap();
    let before = store.engine().facts().unwrap().map_bytes;
    let _other = Process::start("grow", &path);
    assert_eq!(
        store.read(&id("grown-99")).await.unwrap().id,
        id("grown-99")
    );
    store.create(big("b")).await.unwrap();
    let facts = store.engine().facts().unwrap();
    assert!(
        before == 4 << 20 && facts.map_bytes > 10_000_000,
        "{before} and {facts:?}"
    );
    assert_eq!(total(&store).await, 102);
}

/// Writes the same tasks again and again; the growth of the file in bytes.
async fn churn(store: &LmdbStore) -> u64 {
    let bytes = || store.engine().facts().unwrap().file_bytes;
    let before = bytes();
    for _ in 0..60 {
        store.create(big("churned")).await.unwrap();
        store.delete(&id("churned")).await.unwrap();
    }
    bytes() - before
}

#[tokio::test]
async fn what_a_killed_reader_kept_is_given_back_by_upkeep() {
    let (_directory, path) = home();
    let store = open(&path);
    store.create(new("a")).await.unwrap();
    churn(&store).await;
    let mut reader = Process::start("read", &path);
    reader.0.kill().unwrap();
    reader.0.wait().unwrap();
    // Nobody has looked yet whether that process lives: what it could read must be kept.
    let kept = churn(&store).await;
    let step = Maintain {
        retention: Retention::default(),
        limit: 10,
    };
    store.maintain(step).await.unwrap();
    // The pages that were kept for it are there to be used.
    let after = churn(&store).await;
    println!("the file grew by {kept} bytes beside a dead reader, and by {after} after upkeep");
    assert!(kept > 2_000_000 && after < kept / 10, "{kept} and {after}");
}
