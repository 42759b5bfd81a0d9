//! Work under trouble: submitters and workers over the stores of a server that fails, and the books that must agree at the
//! end. What was answered is there, every end is recorded once, nothing is stuck, and work goes on soon after each fault.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses a part of the kit"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tlo::prelude::*;
use tlo::settings::SettingsSource;
use tlo::store::{SharedStore, TaskFilter, TaskStateStore};
use tlo::{Clock, PageRequest, RunnerHandle, SystemClock, TaskId};

/// Work goes on this soon after a fault is over.
pub(crate) const RESUMES_WITHIN: Duration = Duration::from_secs(10);

/// How long everything may take to end when all is well again.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

const SUBMITTERS: u64 = 4;

/// The seed of a run: `TLO_TEST_SEED`, or a fresh one.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("TLO_TEST_SEED").ok();
    given
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..))
}

/// A twentieth of a count, or all of it in a full proof.
pub(crate) fn counted(full: usize) -> usize {
    if std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full") {
        full
    } else {
        (full / 20).max(1)
    }
}

pub(crate) fn since_boot() -> Duration {
    SystemClock.steady().at
}

/// Waits until a condition holds; false when it does not within this long.
pub(crate) async fn comes_true(limit: Duration, mut condition: impl AsyncFnMut() -> bool) -> bool {
    let begun = since_boot();
    loop {
        if condition().await {
            return true;
        }
        if since_boot().saturating_sub(begun) >= limit {
            return false;
        }
        SystemClock.sleep(Duration::from_millis(2)).await;
    }
}

/// What was done and what was heard of it.
#[derive(Default)]
struct Books {
    acknowledged: Mutex<BTreeSet<TaskId>>,
    /// Submits that were given up unanswered: there or not.
    unsure: Mutex<BTreeSet<TaskId>>,
    /// Each run of the handler: the task and its fence.
    runs: Mutex<BTreeMap<TaskId, Vec<u64>>>,
    ended: AtomicBool,
    answers: AtomicU64,
    errors: AtomicU64,
}

/// Submitters and workers, and what they were answered.
pub(crate) struct Load {
    client: Client,
    books: Arc<Books>,
    submitters: Vec<tokio::task::JoinHandle<()>>,
    workers: Vec<(RunnerHandle, tokio::task::JoinHandle<tlo::Result<()>>)>,
    resumed: Vec<Duration>,
}

/// What came of it.
pub(crate) struct Figures {
    pub(crate) acknowledged: usize,
    /// Acknowledged and not there, which a server may be allowed to lose.
    pub(crate) lost: usize,
    unsure: usize,
    errors: u64,
    runs: usize,
    again: usize,
    longest: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, {} not answered and sent again, {} given up unanswered; {} runs, {} of them again after a lost lease; lost {}, recorded twice 0, stuck 0, work went on after at most {:?}",
            self.acknowledged,
            self.errors,
            self.unsure,
            self.runs,
            self.again,
            self.lost,
            self.longest
        )
    }
}

/// A worker over a store, whose task `ship` answers with the number after the one it is given.
async fn program(store: SharedStore, books: &Arc<Books>) -> TloContext {
    let books = Arc::clone(books);
    let ship = move |context: TaskContext, order: u64| {
        let books = Arc::clone(&books);
        async move {
            let mut runs = books.runs.lock();
            let fences = runs.entry(context.id().clone()).or_default();
            fences.push(context.fence());
            TaskResult::Ok(order + 1)
        }
    };
    let settings = TloContext::builder().settings(SettingsSource::empty());
    settings
        .store(store)
        .set("lease", "2s")
        .set("concurrency", 8)
        .task(task("ship").max_lost(1_000).run(ship))
        .build()
        .await
        .unwrap()
}

/// Submits one after the other; one that is not answered is sent again with the same id until it is.
async fn submit_for_ever(client: Client, books: Arc<Books>, label: String) {
    for n in 0_u64.. {
        let id = TaskId::new(format!("{label}-{n}")).unwrap();
        loop {
            match client.task("ship").id(id.clone()).args(&n).submit().await {
                Ok(handle) => {
                    assert_eq!(*handle.id(), id);
                    books.acknowledged.lock().insert(id);
                    books.answers.fetch_add(1, Ordering::SeqCst);
                    break;
                }
                Err(error) => {
                    assert!(
                        error.is_retryable(),
                        "a fault that passes must say so: {error:?}"
                    );
                    books.errors.fetch_add(1, Ordering::SeqCst);
                    if books.ended.load(Ordering::SeqCst) {
                        books.unsure.lock().insert(id);
                        break;
                    }
                }
            }
            SystemClock.sleep(Duration::from_millis(5)).await;
        }
        if books.ended.load(Ordering::SeqCst) {
            return;
        }
        SystemClock.sleep(Duration::from_millis(2)).await;
    }
}

impl Load {
    /// A worker for each store; the submitters share the stores.
    pub(crate) async fn begin(stores: &[SharedStore]) -> Self {
        let books = Arc::<Books>::default();
        let mut workers = Vec::new();
        let mut clients = Vec::new();
        for store in stores {
            let context = program(Arc::clone(store), &books).await;
            clients.push(context.client());
            let runner = Runner::new(context);
            let handle = runner.handle();
            workers.push((handle, tokio::spawn(runner.run())));
        }
        let mut load = Self {
            client: clients[0].clone(),
            books,
            submitters: Vec::new(),
            workers,
            resumed: Vec::new(),
        };
        // They have begun: a program that cannot reach its store at its start says so and ends.
        for client in &clients {
            let first = client.task("ship").args(&1_u64).submit().await.unwrap();
            first.wait().await.unwrap();
        }
        for n in 0..SUBMITTERS {
            let client = clients[usize::try_from(n).unwrap() % clients.len()].clone();
            let submitting = submit_for_ever(client, Arc::clone(&load.books), format!("s{n}"));
            load.submitters.push(tokio::spawn(submitting));
        }
        load
    }

    /// Submits that were answered so far.
    pub(crate) fn answers(&self) -> u64 {
        self.books.answers.load(Ordering::SeqCst)
    }

    /// Waits until so many more submits were answered.
    pub(crate) async fn more_answers(&self, more: u64) {
        let wanted = self.answers() + more;
        let came = comes_true(ENDS_WITHIN, async || self.answers() >= wanted).await;
        assert!(came, "submits are not answered any more");
    }

    /// All is well from now on: waits until a task that is submitted from now on has been run, and notes how long it took.
    pub(crate) async fn resumes(&mut self) -> Duration {
        let begun = since_boot();
        let mut heard = String::new();
        let resumed = comes_true(ENDS_WITHIN, async || {
            let submitted = self.client.task("ship").args(&1_u64).submit().await;
            let ended = match submitted {
                Ok(handle) => handle.wait_for(RESUMES_WITHIN).await.map(drop),
                Err(error) => Err(error),
            };
            ended.map_err(|error| heard = format!("{error:?}")).is_ok()
        });
        let resumed = resumed.await;
        let took = since_boot().saturating_sub(begun);
        assert!(
            resumed && took <= RESUMES_WITHIN,
            "work went on after {took:?}; {heard}"
        );
        self.resumed.push(took);
        took
    }

    /// Ends it and compares the books with what `store` holds, which goes around whatever is in the way of the others.
    pub(crate) async fn check(self, store: &dyn TaskStateStore) -> Figures {
        let figures = self.check_losses(store).await;
        assert_eq!(figures.lost, 0, "{figures}");
        figures
    }

    /// The same for a server that may lose what it acknowledged.
    pub(crate) async fn check_losses(self, store: &dyn TaskStateStore) -> Figures {
        self.books.ended.store(true, Ordering::SeqCst);
        for submitter in self.submitters {
            submitter.await.unwrap();
        }
        let open = TaskFilter::status([TaskStatus::Pending, TaskStatus::Running]);
        let mut stuck = Vec::new();
        let all_ended = comes_true(ENDS_WITHIN, async || {
            let page = store.list(&open, PageRequest::first(10)).await.unwrap();
            stuck = page.items;
            stuck.is_empty()
        })
        .await;
        assert!(all_ended, "stuck: {stuck:?}");
        let books = &self.books;
        let acknowledged = books.acknowledged.lock().clone();
        let runs = books.runs.lock().clone();
        let ids: Vec<TaskId> = acknowledged.iter().cloned().collect();
        let mut lost = 0;
        for ids in ids.chunks(500) {
            for (id, record) in ids.iter().zip(store.get(ids).await.unwrap()) {
                let Some(record) = record else {
                    lost += 1;
                    continue;
                };
                assert_eq!(record.status, TaskStatus::Succeeded, "{id}: {record:?}");
                let wins = record
                    .attempts
                    .iter()
                    .filter(|attempt| attempt.outcome == tlo::task::AttemptEnd::Succeeded);
                assert_eq!(wins.count(), 1, "{id} has ended more than once: {record:?}");
                let n: u64 = record.args.decode().unwrap();
                let result: u64 = record.result.as_ref().unwrap().decode().unwrap();
                assert_eq!(result, n + 1, "{id}");
                let fences = &runs[id];
                let different: BTreeSet<_> = fences.iter().collect();
                assert_eq!(different.len(), fences.len(), "{id} ran twice on one lease");
            }
        }
        assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
        for (handle, running) in self.workers {
            handle.stop();
            running.await.unwrap().unwrap();
        }
        let all: usize = runs.values().map(Vec::len).sum();
        Figures {
            acknowledged: acknowledged.len(),
            lost,
            unsure: books.unsure.lock().len(),
            errors: books.errors.load(Ordering::SeqCst),
            again: all - runs.len(),
            runs: all,
            longest: self.resumed.into_iter().max().unwrap_or_default(),
        }
    }
}
