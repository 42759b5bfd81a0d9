//! A disk that is full, again and again.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tlo::store::{Maintain, Retention, TaskStateStore, TaskStateStoreExt};
use tlo::task::NewTask;
use tlo::{Error, ErrorKind, Payload, TaskStateRecord, TaskStatus};

use crate::kit::{NAME, Store, home, id, is_full, lease, new, open, total, try_open};

/// A small file system in memory, where this user may make one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let (directory, _) = home();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(directory.path())
            .stderr(Stdio::null())
            .status();
        let is_mounted = mounted.is_ok_and(|status| status.success());
        is_mounted.then_some(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let place = self.0.path();
        let _ = Command::new("umount").arg("-l").arg(place).status();
    }
}

/// What is left of the disk before it is used up.
const STEP: usize = 1_000_000;

fn big(task: &str) -> NewTask {
    let mut task = new(task);
    task.args = Payload::of(&"x".repeat(20_000)).unwrap();
    task
}

fn expect_full(error: &Error) {
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::Unavailable, true),
        "{error:?}"
    );
    let said = error.to_string();
    assert!(said.contains(NAME), "{error:?}");
    assert!(
        said.contains("free space") || said.contains("the disk of"),
        "{error:?}"
    );
}

/// Takes what is left of the disk.
fn fill(place: &Path) {
    use std::io::Write;
    let ballast = fs::OpenOptions::new().append(true).create(true).open(place);
    let mut ballast = ballast.unwrap();
    for piece in [100_000, 4_096, 1] {
        while ballast.write_all(&vec![1; piece]).is_ok() {}
    }
}

/// Creates until the disk is full; what was answered, and that everybody heard why it ended.
async fn create_until_full(store: &Arc<Store>, round: usize) -> Vec<String> {
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut made = Vec::new();
                loop {
                    let task = format!("r{round}-{caller}-{}", made.len());
                    match store.create(big(&task)).await {
                        Ok(_) => made.push(task),
                        Err(error) => {
                            expect_full(&error);
                            return made;
                        }
                    }
                }
            })
        })
        .collect();
    let mut made = Vec::new();
    for caller in callers {
        made.extend(caller.await.unwrap());
    }
    made
}

async fn settle(store: &Store, task: &TaskStateRecord) -> tlo::Result<TaskStatus> {
    let reference = task.lease.as_ref().unwrap().reference();
    let result = Payload::of(&"y".repeat(20_000)).unwrap();
    store.succeed(&task.id, reference, result).await
}

async fn remove_ended(store: &Store) -> tlo::Result<u64> {
    let retention = Retention {
        age: Some(Duration::ZERO),
        count: None,
    };
    let limit = 1_000;
    let done = store.maintain(Maintain { retention, limit }).await?;
    Ok(done.removed)
}

/// What came of it.
#[derive(Default)]
struct Fills {
    times: usize,
    made: usize,
    refused: usize,
    ended_full: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_that_was_answered() {
    let mut fills = Fills::default();
    for _ in 0..if is_full() { 12 } else { 1 } {
        let Some(disk) = SmallDisk::mount() else {
            println!("SKIPPED: this user may not mount a small file system");
            return;
        };
        five_times_full(&disk, &mut fills).await;
    }
    let Fills {
        times,
        made,
        refused,
        ended_full,
    } = fills;
    println!(
        "{times} times full: {made} tasks made until then, {refused} ends refused and recorded later, \
         {ended_full} recorded in free pages; lost 0"
    );
    assert!(refused > 0);
}

async fn five_times_full(disk: &SmallDisk, fills: &mut Fills) {
    let (path, ballast) = (disk.0.path().join(NAME), disk.0.path().join("ballast"));
    let mut store = Arc::new(open(&path));
    let mut kept: Vec<String> = Vec::new();
    for round in 0..5 {
        fills.times += 1;
        let claimed = lease(&store, 3).await.unwrap();
        fill(&ballast);
        shrink(&ballast);
        let made = create_until_full(&store, round).await;
        fills.made += made.len();
        kept.extend(made);
        // What runs cannot be recorded now; everything can be read.
        for task in &claimed {
            match settle(&store, task).await {
                // There was still a free page for it.
                Ok(_) => fills.ended_full += 1,
                Err(error) => {
                    expect_full(&error);
                    fills.refused += 1;
                }
            }
        }
        assert_eq!(total(&*store).await, kept.len() as u64, "round {round}");
        let ids: Vec<_> = kept.iter().map(id).collect();
        let records = store.get(&ids).await.unwrap();
        assert!(records.iter().all(Option::is_some), "round {round}");
        if round % 3 == 1 {
            // Also the next process finds everything, full as the disk is, or says what is wrong with it.
            drop(store);
            store = match try_open(&path) {
                Ok(store) => Arc::new(store),
                Err(error) => {
                    expect_full(&error);
                    fs::remove_file(&ballast).unwrap();
                    Arc::new(open(&path))
                }
            };
        }
        // Room enough for the log to be moved into the database, too.
        let _ = fs::remove_file(&ballast);
        // The same leases, once there is room.
        for task in &claimed {
            match settle(&store, task).await {
                Ok(status) => assert_eq!(status, TaskStatus::Succeeded),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}"),
            }
            assert_eq!(
                store.read(&task.id).await.unwrap().status,
                TaskStatus::Succeeded
            );
        }
        store.create(big(&format!("after-{round}"))).await.unwrap();
        kept.push(format!("after-{round}"));
        let removed = remove_ended(&store).await.unwrap();
        let gone = kept.len();
        let ids: Vec<_> = kept.iter().map(id).collect();
        let records = store.get(&ids).await.unwrap();
        let mut found = records.iter().map(Option::is_some);
        kept.retain(|_| found.next().unwrap());
        assert_eq!(
            (gone - kept.len()) as u64,
            removed,
            "only what had ended is gone"
        );
        if kept.len() > 60 {
            let surplus = kept.len() - 50;
            for task in kept.drain(..surplus) {
                let id = id(task);
                store.delete(&id).await.unwrap();
            }
        }
    }
    drop(store);
    let store = open(&path);
    assert_eq!(total(&store).await, kept.len() as u64);
    assert!(store.check().await.unwrap().is_empty());
}

fn shrink(ballast: &Path) {
    let file = fs::OpenOptions::new().write(true).open(ballast).unwrap();
    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
    file.set_len(length.saturating_sub(STEP) as u64).unwrap();
}
