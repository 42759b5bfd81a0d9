//! What the SQLite store costs above bare SQLite: `cargo bench --bench sqlite_rows [-- DIRECTORY]`.
//!
//! Every figure is the median of five rounds, each on a new file with `synchronous=FULL`. Backlog: what the round
//! itself submitted; payload: 64 bytes of JSON; retention: nothing is removed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a program that prints"
)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tlo::store::kv::{Pairs, RowEngine, Rows};
use tlo::store::{Capability, TaskStateStore, TaskStateStoreExt};
use tlo::task::NewTask;
use tlo::{
    Clock, IdSource, Payload, Result, RowStore, SqliteEngine, SqliteOptions, SystemClock, TaskId,
};

const TASKS: usize = 5_000;
const CALLERS: usize = 64;
const LONE: usize = 300;
const ROUNDS: usize = 5;

/// The row writes of one transaction.
type Writes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

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
        self.engine
            .write(&mut |rows| run(&mut RecordingRows(rows, &mut writes)))?;
        self.log.lock().unwrap().push(writes);
        Ok(())
    }
    fn read(&self, run: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()> {
        self.engine.read(run)
    }
}

fn now() -> Duration {
    SystemClock.steady().at
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn task(ids: &IdSource) -> NewTask {
    let args = Payload::parse(format!("{{\"text\":\"{}\"}}", "x".repeat(53))).unwrap();
    NewTask::new(ids.task_id(SystemClock.now()), "greet", args)
}

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

/// Writes recorded transactions with nothing but SQLite in between; gives the time they took.
fn replay(path: &Path, log: &[Writes]) -> Duration {
    let connection = bare(path);
    let started = now();
    for writes in log {
        write(&connection, writes);
    }
    now() - started
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

struct Round {
    submit: f64,
    submit_group: f64,
    submit_bare: f64,
    drain: f64,
    drain_group: f64,
    drain_bare: f64,
}

async fn round(directory: &Path) -> Round {
    let log = Arc::new(Mutex::new(Vec::new()));
    let ids = Arc::new(IdSource::random());
    let engine = SqliteEngine::open(
        SqliteOptions::at(directory.join("store.db")),
        Arc::clone(&ids),
    )
    .unwrap();
    let engine = Recording {
        engine,
        log: Arc::clone(&log),
    };
    let store = Arc::new(RowStore::open(engine, SystemClock::shared(), Arc::clone(&ids)).unwrap());

    let started = now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (store, ids) = (Arc::clone(&store), Arc::clone(&ids));
            tokio::spawn(async move {
                for _ in (caller..TASKS).step_by(CALLERS) {
                    store.create(task(&ids)).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let submitted = now() - started;
    let submits = std::mem::take(&mut *log.lock().unwrap());

    let started = now();
    let workers: Vec<_> = (0..2)
        .map(|n| {
            let (store, ids) = (Arc::clone(&store), Arc::clone(&ids));
            tokio::spawn(async move {
                let worker = ids.worker_id(&format!("w{n}")).unwrap();
                loop {
                    let minute = Duration::from_secs(60);
                    let tasks = store
                        .lease(&worker, "default", &["greet"], CALLERS, minute)
                        .await
                        .unwrap();
                    if tasks.is_empty() {
                        return;
                    }
                    let mut settling = tokio::task::JoinSet::new();
                    for task in tasks {
                        let store = Arc::clone(&store);
                        settling.spawn(async move {
                            let lease = task.lease.as_ref().unwrap().reference();
                            store
                                .succeed(&task.id, lease, Payload::null())
                                .await
                                .unwrap();
                        });
                    }
                    settling.join_all().await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    let drained = now() - started;
    let drains = std::mem::take(&mut *log.lock().unwrap());
    drop(store);

    let rate = |time: Duration| TASKS as f64 / time.as_secs_f64();
    let replayed = directory.join("bare.db");
    let submit_bare = rate(replay(&replayed, &submits));
    let connection = rusqlite::Connection::open(&replayed).unwrap();
    connection
        .pragma_update(None, "synchronous", "FULL")
        .unwrap();
    let before = now();
    for writes in &drains {
        write(&connection, writes);
    }
    Round {
        submit: rate(submitted),
        submit_group: TASKS as f64 / submits.len() as f64,
        submit_bare,
        drain: rate(drained),
        drain_group: TASKS as f64 / drains.len() as f64,
        drain_bare: rate(now() - before),
    }
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
        rounds.push(runtime.block_on(round(directory.path())));
    }
    let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
    let (store, bare) = (
        median(lones.iter().map(|times| times.0).collect()),
        median(lones.iter().map(|times| times.1).collect()),
    );
    println!(
        "lone submit       {store:8.0} µs   bare commit of one row {bare:.0} µs   ratio {:.2}, + {:.0} µs",
        store / bare,
        store - bare
    );
    let (rate, bare, group) = (
        of(|r| r.submit),
        of(|r| r.submit_bare),
        of(|r| r.submit_group),
    );
    println!(
        "submit, 64 callers {rate:7.0} /s   bare, same rows and groups {bare:.0} /s   ratio {:.2}   {group:.0} tasks a transaction",
        rate / bare
    );
    let (rate, bare, group) = (of(|r| r.drain), of(|r| r.drain_bare), of(|r| r.drain_group));
    println!(
        "claim and settle   {rate:7.0} /s   bare, same rows and groups {bare:.0} /s   ratio {:.2}   {group:.0} tasks a transaction",
        rate / bare
    );
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
