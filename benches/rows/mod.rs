//! What stores over rows are measured with: the writes of a store, recorded, and done again with the bare engine.
#![allow(dead_code, reason = "each bench uses its part of this")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tlo::store::kv::{Pairs, RowEngine, Rows};
use tlo::store::{Capability, TaskStateStoreExt};
use tlo::task::NewTask;
use tlo::{Clock, IdSource, Payload, Result, RowStore, SystemClock};

const TASKS: usize = 5_000;
const CALLERS: usize = 64;
pub(crate) const ROUNDS: usize = 5;

/// The row writes of one transaction.
pub(crate) type Writes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The engine, with a memory of what was written.
#[derive(Debug)]
struct Recording<E> {
    engine: E,
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

impl<E: RowEngine> RowEngine for Recording<E> {
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

pub(crate) fn now() -> Duration {
    SystemClock.steady().at
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

pub(crate) fn task(ids: &IdSource) -> NewTask {
    let args = Payload::parse(format!("{{\"text\":\"{}\"}}", "x".repeat(53))).unwrap();
    NewTask::new(ids.task_id(SystemClock.now()), "greet", args)
}

/// What a round gave: rates, and tasks a transaction.
pub(crate) struct Round {
    submit: f64,
    submit_group: f64,
    submit_bare: f64,
    drain: f64,
    drain_group: f64,
    drain_bare: f64,
}

/// Submits and runs tasks on a store over `engine`, and does what was written again by `bare`, which opens an empty
/// database and writes each transaction that it is given.
pub(crate) async fn round<E: RowEngine>(
    ids: &Arc<IdSource>,
    engine: E,
    bare: impl FnOnce() -> Box<dyn FnMut(&Writes)>,
) -> Round {
    let log = Arc::new(Mutex::new(Vec::new()));
    let engine = Recording {
        engine,
        log: Arc::clone(&log),
    };
    let store = Arc::new(RowStore::open(engine, SystemClock::shared(), Arc::clone(ids)).unwrap());

    let started = now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (store, ids) = (Arc::clone(&store), Arc::clone(ids));
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
            let (store, ids) = (Arc::clone(&store), Arc::clone(ids));
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
    let mut bare = bare();
    let mut replay = |log: &[Writes]| {
        let before = now();
        log.iter().for_each(&mut bare);
        rate(now() - before)
    };
    let submit_bare = replay(&submits);
    let drain_bare = replay(&drains);
    Round {
        submit: rate(submitted),
        submit_group: TASKS as f64 / submits.len() as f64,
        submit_bare,
        drain: rate(drained),
        drain_group: TASKS as f64 / drains.len() as f64,
        drain_bare,
    }
}

/// Prints the medians.
pub(crate) fn report(rounds: &[Round]) {
    let of = |figure: fn(&Round) -> f64| median(rounds.iter().map(figure).collect());
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
}
