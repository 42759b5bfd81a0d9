//! SQLite: the whole way with a runner, and the same row writes with nothing but SQLite.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tlo::prelude::*;
use tlo::store::kv::{Pairs, RowEngine, Rows};
use tlo::store::{Capability, CountBy, TaskFilter};
use tlo::{IdSource, Result, RowStore, SqliteEngine, SqliteOptions, SystemClock};
use tokio::sync::Notify;

use crate::backlog::submit;
use crate::measure::{Email, cpu, email, program};

/// The row writes of one transaction.
pub type Writes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The engine, with a memory of what was written.
#[derive(Debug)]
struct Recording {
    engine: SqliteEngine,
    log: Arc<Mutex<Vec<Writes>>>,
}

struct RecordingRows<'a>(&'a mut dyn Rows, &'a mut Writes);

impl Rows for RecordingRows<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.0.get(key)
    }
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.1.push((key.to_vec(), Some(value.to_vec())));
        self.0.put(key, value)
    }
    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.1.push((key.to_vec(), None));
        self.0.delete(key)
    }
    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        self.0.range(from, until, limit, reverse)
    }
}

impl RowEngine for Recording {
    fn capability(&self) -> Capability {
        self.engine.capability()
    }
    fn write(&self, run: &mut dyn FnMut(&mut dyn Rows) -> Result<()>) -> Result<()> {
        let mut writes = Writes::new();
        self.engine.write(&mut |rows| run(&mut RecordingRows(rows, &mut writes)))?;
        self.log.lock().expect("lock").push(writes);
        Ok(())
    }
    fn read(&self, run: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()> {
        self.engine.read(run)
    }
}

pub fn bare(path: &Path) -> rusqlite::Connection {
    let connection = rusqlite::Connection::open(path).expect("open");
    connection.pragma_update(None, "journal_mode", "wal").expect("wal");
    connection.pragma_update(None, "synchronous", "FULL").expect("full");
    connection
        .execute_batch("CREATE TABLE rows (k BLOB NOT NULL PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID")
        .expect("table");
    connection
}

pub fn write(connection: &rusqlite::Connection, writes: &Writes) {
    let run = |sql| connection.prepare_cached(sql).expect("sql").execute([]).expect("run");
    run("BEGIN IMMEDIATE");
    let mut put = connection.prepare_cached("REPLACE INTO rows VALUES (?1, ?2)").expect("put");
    let mut delete = connection.prepare_cached("DELETE FROM rows WHERE k = ?1").expect("delete");
    for (key, value) in writes {
        match value {
            Some(value) => put.execute((key, value)).expect("put"),
            None => delete.execute([key]).expect("delete"),
        };
    }
    run("COMMIT");
}

async fn context(store: tlo::store::SharedStore, left: Arc<(AtomicUsize, Notify)>) -> TloContext {
    let handler = move |_: TaskContext, _: Email| {
        let left = Arc::clone(&left);
        async move {
            if left.0.fetch_sub(1, Ordering::AcqRel) == 1 {
                left.1.notify_one();
            }
        }
    };
    program()
        .store(store)
        .set("concurrency", 100)
        .task(task("bench").run(handler))
        .build()
        .await
        .expect("context")
}

/// How long the submits took, and all of it with the runs.
struct Took {
    submitted: Duration,
    all: Duration,
    cpu: Duration,
}

/// Submits the tasks, then runs them. Calls `submitted` in between.
async fn pass(store: tlo::store::SharedStore, tasks: usize, callers: usize, submitted: impl FnOnce()) -> Took {
    let left = Arc::new((AtomicUsize::new(tasks), Notify::new()));
    let context = context(store, Arc::clone(&left)).await;
    let client = context.client();
    let (cpu_before, started) = (cpu(), Instant::now());
    submit(&client, tasks, callers).await;
    let in_between = started.elapsed();
    submitted();
    let runner = Runner::new(context);
    let handle = runner.handle();
    let working = tokio::spawn(runner.run_until(std::future::pending()));
    left.1.notified().await;
    let unfinished = TaskFilter::status([TaskStatus::Pending, TaskStatus::Running]);
    while client.store().count(&unfinished, CountBy::All, 0).await.expect("count").total() > 0 {
        tokio::task::yield_now().await;
    }
    let took = Took { submitted: in_between, all: started.elapsed(), cpu: cpu() - cpu_before };
    handle.stop();
    working.await.expect("runner").expect("stopped");
    took
}

fn open(path: &Path, log: Option<&Arc<Mutex<Vec<Writes>>>>) -> tlo::store::SharedStore {
    let ids = Arc::new(IdSource::random());
    let engine = SqliteEngine::open(SqliteOptions::at(path), Arc::clone(&ids)).expect("open");
    let clock = SystemClock::shared();
    match log {
        Some(log) => Arc::new(RowStore::open(Recording { engine, log: Arc::clone(log) }, clock, ids).expect("store")),
        None => Arc::new(RowStore::open(engine, clock, ids).expect("store")),
    }
}

/// The figure, then the same once more to learn what is written, then only those writes.
pub async fn run(directory: &Path, tasks: usize, callers: usize) -> serde_json::Value {
    let took = pass(open(&directory.join("tlo.db"), None), tasks, callers, || ()).await;
    let log = Arc::new(Mutex::new(Vec::new()));
    let store = open(&directory.join("recorded.db"), Some(&log));
    log.lock().expect("lock").clear();
    let mut submit_groups = 0;
    pass(store, tasks, callers, || submit_groups = log.lock().expect("lock").len()).await;
    let log = std::mem::take(&mut *log.lock().expect("lock"));
    let connection = bare(&directory.join("bare.db"));
    let before = Instant::now();
    for writes in &log {
        write(&connection, writes);
    }
    let bare = before.elapsed();
    let rate = |time: Duration| tasks as f64 / time.as_secs_f64();
    serde_json::json!({
        "system": "tlo sqlite", "submit": format!("single, {callers} callers"), "payload": "about 100 bytes", "durability": "FULL",
        "tasks": tasks, "in_per_s": rate(took.submitted), "out_per_s": rate(took.all - took.submitted), "whole_per_s": rate(took.all),
        "us_cpu": took.cpu.as_secs_f64() * 1e6 / tasks as f64, "bare_per_s": rate(bare),
        "submits_a_transaction": tasks as f64 / submit_groups as f64,
        "runs_a_transaction": tasks as f64 / (log.len() - submit_groups) as f64,
    })
}

/// One caller that waits for each answer, in turns with one bare commit of the same record.
pub async fn lone(directory: &Path, times: usize) -> serde_json::Value {
    let options = SqliteOptions::at(directory.join("lone.db"));
    let store = tlo::SqliteStore::open(options, SystemClock::shared(), Arc::new(IdSource::random())).expect("store");
    let context = context(Arc::new(store), Arc::new((AtomicUsize::new(1), Notify::new()))).await;
    let client = context.client();
    let connection = bare(&directory.join("lone-bare.db"));
    let (mut ours, mut bares) = (Vec::new(), Vec::new());
    for number in 0..times {
        let started = Instant::now();
        let handle = client.task("bench").args(&email(number as u64)).submit().await.expect("submit");
        ours.push(started.elapsed().as_secs_f64() * 1e6);
        let record = handle.record().await.expect("record");
        let value = serde_json::to_vec(&record).expect("json");
        let writes = vec![(record.id.as_str().as_bytes().to_vec(), Some(value))];
        let started = Instant::now();
        write(&connection, &writes);
        bares.push(started.elapsed().as_secs_f64() * 1e6);
    }
    let median = |figures: &mut Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let (ours, bare) = (median(&mut ours), median(&mut bares));
    serde_json::json!({"system": "tlo sqlite, lone submit", "times": times, "us_submit": ours, "us_bare": bare})
}
