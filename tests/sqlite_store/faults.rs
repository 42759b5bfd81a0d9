//! Locks, full disks, damage, files taken away: typed errors, and service afterwards.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use tlo::store::{Maintain, Retention, TaskStateStore, TaskStateStoreExt};
use tlo::{ErrorKind, Payload, SqliteOptions, SqliteStore};

use crate::kit::{home, id, lease, new, open, open_with, total};

/// Takes the lock that writers need, until it is dropped.
fn lock(path: &Path) -> Connection {
    let holder = Connection::open(path).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    holder
}

async fn upkeep(store: &SqliteStore) -> tlo::Result<()> {
    let request = Maintain {
        retention: Retention::default(),
        limit: 100,
    };
    store.maintain(request).await.map(drop)
}

fn big(task: &str) -> tlo::task::NewTask {
    let mut task = new(task);
    task.args = Payload::of(&"x".repeat(20_000)).unwrap();
    task
}

#[tokio::test]
async fn a_lock_that_outlives_the_timeout_is_a_typed_error_and_then_forgotten() {
    let (_directory, path) = home();
    let options = SqliteOptions {
        busy_timeout: Duration::from_millis(60),
        ..SqliteOptions::at(&path)
    };
    let store = open_with(options).unwrap();
    store.create(new("a")).await.unwrap();
    let holder = lock(&path);
    let error = store.create(new("b")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::Unavailable, true)
    );
    assert!(error.to_string().contains("tlo.db"), "{error}");
    assert_eq!(total(&store).await, 1, "reading goes on");
    drop(holder);
    store.create(new("b")).await.unwrap();
    assert_eq!(total(&store).await, 2);
}

#[tokio::test]
async fn a_call_that_may_not_outlast_the_wait_for_a_lock_is_refused() {
    let (_directory, path) = home();
    let options = SqliteOptions {
        call_timeout: Some(Duration::from_secs(5)),
        ..SqliteOptions::at(&path)
    };
    let error = open_with(options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("busy_timeout"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_come_through_a_storm_of_locks() {
    let (_directory, path) = home();
    let handles: Vec<_> = (0..6).map(|_| Arc::new(open(&path))).collect();
    let writers: Vec<_> = handles
        .iter()
        .enumerate()
        .map(|(n, store)| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for k in 0..40 {
                    store.create(new(format!("{n}-{k}"))).await.unwrap();
                }
            })
        })
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let storm: Vec<_> = (0..3)
        .map(|_| {
            let (path, stop) = (path.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let holder = Connection::open(path).unwrap();
                holder.busy_timeout(Duration::from_secs(30)).unwrap();
                let mut locks = 0;
                while !stop.load(Ordering::SeqCst) {
                    holder
                        .execute_batch("BEGIN EXCLUSIVE; SELECT sum(length(v)) FROM rows; ROLLBACK")
                        .unwrap();
                    locks += 1;
                }
                locks
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    let locks: usize = storm.into_iter().map(|holder| holder.join().unwrap()).sum();
    println!("240 commits of 6 handles through {locks} foreign locks, none refused");
    assert!(locks > 0);
    assert_eq!(total(&*handles[3]).await, 240);
}

#[tokio::test]
async fn a_file_that_may_not_grow_refuses_and_goes_on_when_there_is_room() {
    let (_directory, path) = home();
    let options = SqliteOptions {
        max_bytes: Some(1 << 20),
        ..SqliteOptions::at(&path)
    };
    let store = open_with(options).unwrap();
    let mut kept = 0;
    let error = loop {
        match store.create(big(&format!("t{kept}"))).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::Unavailable, true)
    );
    assert!(error.to_string().contains("no room"), "{error}");
    assert!((20..60).contains(&kept), "{kept} of 20 kB in 1 MiB");
    assert_eq!(total(&store).await, kept, "the refused one left nothing");
    for n in 0..4 {
        store.delete(&id(format!("t{n}"))).await.unwrap();
    }
    store.create(big("after")).await.unwrap();
    assert_eq!(total(&store).await, kept - 3);
    assert!(store.check().await.unwrap().is_empty());
}

#[tokio::test]
async fn damage_is_reported_and_never_guessed_at() {
    let (_directory, path) = home();
    let store = open(&path);
    for n in 0..300 {
        store.create(new(format!("t{n:03}"))).await.unwrap();
    }
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    let length = bytes.len();
    assert!(length > 16 * 4096);
    for page in 6..length / 4096 {
        bytes[page * 4096..page * 4096 + 512].fill(0x5A);
    }
    fs::write(&path, bytes).unwrap();
    let store = open(&path);
    let error = match store.read(&id("t150")).await {
        Err(error) => error,
        Ok(record) => panic!("read {record:?}"),
    };
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::Corrupt, false)
    );
    assert!(error.to_string().contains("tlo.db"), "{error}");
    let wrong = store.check().await;
    assert!(wrong.is_err() || wrong.is_ok_and(|lines| !lines.is_empty()));
}

#[tokio::test]
async fn a_damaged_record_spoils_only_itself() {
    let (_directory, path) = home();
    let store = open(&path);
    for task in ["a", "b", "c"] {
        store.create(new(task)).await.unwrap();
    }
    let other = Connection::open(&path).unwrap();
    other
        .execute("UPDATE rows SET v = x'7b' WHERE k = CAST('tb' AS BLOB)", [])
        .unwrap();
    assert_eq!(
        store.read(&id("b")).await.unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    let leased = lease(&store, 10).await.unwrap();
    let ids: Vec<_> = leased.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
}

#[tokio::test]
async fn a_log_taken_away_stops_the_writes_and_a_clean_stop_saves_them() {
    let (_directory, path) = home();
    let store = open(&path);
    store.create(new("a")).await.unwrap();
    fs::remove_file(path.with_extension("db-wal")).unwrap();
    let error = store.create(new("b")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::Unavailable, false)
    );
    assert!(
        error.to_string().contains("tlo.db-wal\" is gone"),
        "{error}"
    );
    assert!(upkeep(&store).await.is_err());
    drop(store);
    assert_eq!(total(&open(&path)).await, 1);
}

/// The files of a store as they would be after the sudden death of its process.
async fn left_open(path: &Path, damage: bool) -> (tempfile::TempDir, std::path::PathBuf) {
    let store = open(path);
    for n in 0..300 {
        store.create(new(format!("t{n:03}"))).await.unwrap();
    }
    let other = Connection::open(path).unwrap();
    other
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    store.create(new("last")).await.unwrap();
    let (directory, copy) = home();
    let mut bytes = fs::read(path).unwrap();
    if damage {
        // Many pages: the log holds a newer version of some.
        for page in 6..bytes.len() / 4096 {
            bytes[page * 4096..page * 4096 + 512].fill(0x5A);
        }
    }
    fs::write(&copy, bytes).unwrap();
    fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal")).unwrap();
    (directory, copy)
}

#[tokio::test]
async fn a_file_that_was_not_closed_is_looked_through_by_upkeep() {
    let (_directory, path) = home();
    let (_whole, copy) = left_open(&path, false).await;
    let store = open(&copy);
    upkeep(&store).await.unwrap();
    assert_eq!(total(&store).await, 301);

    let (_directory, path) = home();
    let (_damaged, copy) = left_open(&path, true).await;
    let store = open(&copy);
    for _ in 0..2 {
        let error = upkeep(&store).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("tlo.db"), "{error}");
    }
}

#[tokio::test]
async fn a_reader_that_stays_does_not_stop_the_writers_and_the_log_is_cut_afterwards() {
    let (_directory, path) = home();
    let store = open(&path);
    store.create(new("a")).await.unwrap();
    let reader = Connection::open(&path).unwrap();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM rows")
        .unwrap();
    let mut n = 0;
    while store.facts().await.unwrap().wal_bytes < 66 << 20 {
        let mut task = new(format!("t{n}"));
        task.args = Payload::of(&"x".repeat(900_000)).unwrap();
        store.create(task).await.unwrap();
        n += 1;
    }
    upkeep(&store).await.unwrap();
    reader.execute_batch("ROLLBACK").unwrap();
    upkeep(&store).await.unwrap();
    assert_eq!(store.facts().await.unwrap().wal_bytes, 0);
    assert_eq!(total(&store).await, n + 1);
}
