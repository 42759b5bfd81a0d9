//! What the SQLite store costs above bare SQLite: `cargo bench --bench sqlite_rows [-- DIRECTORY]`.
//!
//! Every figure is the median of five rounds, each on a new file with `synchronous=FULL`. Backlog: what the round
//! itself submitted; payload: 64 bytes of JSON; retention: nothing is removed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a program that prints"
)]

mod rows;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rows::{ROUNDS, Round, Writes, median, now, report, round, task};
use tlo::store::{TaskStateStore, TaskStateStoreExt};
use tlo::{Clock, IdSource, SqliteEngine, SqliteOptions, SystemClock, TaskId};

const LONE: usize = 300;

fn bare(path: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .pragma_update(None, "journal_mode", "wal")
        .unwrap();
    connection
        .pragma_update(None, "synchronous", "FULL")
        .unwrap();
    connection
        .execute_batch(
            "CREATE TABLE rows (k BLOB NOT NULL PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID",
        )
        .unwrap();
    connection
}

fn write(connection: &rusqlite::Connection, writes: &Writes) {
    let begin = |sql| connection.prepare_cached(sql).unwrap().execute([]).unwrap();
    begin("BEGIN IMMEDIATE");
    let mut put = connection
        .prepare_cached("REPLACE INTO rows VALUES (?1, ?2)")
        .unwrap();
    let mut delete = connection
        .prepare_cached("DELETE FROM rows WHERE k = ?1")
        .unwrap();
    for (key, value) in writes {
        match value {
            Some(value) => put.execute((key, value)).unwrap(),
            None => delete.execute([key]).unwrap(),
        };
    }
    begin("COMMIT");
}

async fn one_round(directory: &Path) -> Round {
    let ids = Arc::new(IdSource::random());
    let options = SqliteOptions::at(directory.join("store.db"));
    let engine = SqliteEngine::open(options, Arc::clone(&ids)).unwrap();
    let connection = bare(&directory.join("bare.db"));
    let write_bare = move |writes: &Writes| write(&connection, writes);
    round(&ids, engine, || Box::new(write_bare)).await
}

/// Medians of one caller that waits for each answer, in µs: the store, and one bare row of the same size.
async fn lone(directory: &Path) -> (f64, f64) {
    let ids = Arc::new(IdSource::random());
    let options = SqliteOptions::at(directory.join("lone.db"));
    let store = tlo::SqliteStore::open(options, SystemClock::shared(), Arc::clone(&ids)).unwrap();
    let connection = bare(&directory.join("lone-bare.db"));
    let mut times = (Vec::new(), Vec::new());
    // In turns, so that both meet the same disk.
    for _ in 0..LONE {
        let new = task(&ids);
        let id: TaskId = new.id.clone();
        let started = now();
        store.create(new).await.unwrap();
        times.0.push((now() - started).as_secs_f64() * 1e6);
        let value = serde_json::to_vec(&store.read(&id).await.unwrap()).unwrap();
        let writes = vec![(id.as_str().as_bytes().to_vec(), Some(value))];
        let started = now();
        write(&connection, &writes);
        times.1.push((now() - started).as_secs_f64() * 1e6);
    }
    (median(times.0), median(times.1))
}

/// CPU of this process so far, in milliseconds; Linux only.
fn cpu() -> Option<f64> {
    let mut nanos = 0.0;
    for thread in std::fs::read_dir("/proc/self/task").ok()? {
        let times = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        nanos += times.split(' ').next()?.parse::<f64>().ok()?;
    }
    Some(nanos / 1e6)
}

/// CPU that a minute of listening to a store where nothing happens costs, in milliseconds.
async fn idle(directory: &Path) -> Option<f64> {
    let options = SqliteOptions::at(directory.join("idle.db"));
    let ids = Arc::new(IdSource::random());
    let store = tlo::SqliteStore::open(options, SystemClock::shared(), ids).unwrap();
    let _hints = store.hints();
    let before = cpu()?;
    SystemClock.sleep(Duration::from_secs(10)).await;
    Some((cpu()? - before) * 6.0)
}

fn main() {
    let directory = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut rounds = Vec::new();
    let mut lones = Vec::new();
    for _ in 0..ROUNDS {
        let directory = tempfile::tempdir_in(&directory).unwrap();
        lones.push(runtime.block_on(lone(directory.path())));
        rounds.push(runtime.block_on(one_round(directory.path())));
    }
    let (store, bare) = (
        median(lones.iter().map(|times| times.0).collect()),
        median(lones.iter().map(|times| times.1).collect()),
    );
    println!(
        "lone submit       {store:8.0} µs   bare commit of one row {bare:.0} µs   ratio {:.2}, + {:.0} µs",
        store / bare,
        store - bare
    );
    report(&rounds);
    // A runtime whose idle threads do not end meanwhile: their time would be missing.
    drop(runtime);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let directory = tempfile::tempdir_in(&directory).unwrap();
    if let Some(cpu) = runtime.block_on(idle(directory.path())) {
        println!("listening, idle    {cpu:7.1} ms of CPU a minute");
    }
}
