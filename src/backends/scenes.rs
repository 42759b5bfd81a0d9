//! What tests of interleavings share: how many schedules they try, a clock to move, and short words for common steps.
//!
//! `TLO_PROOF=full` tries out more than 100,000 schedules in all, otherwise a twentieth. `TLO_SEED` repeats a run; the
//! seed is printed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]
#![allow(
    clippy::print_stdout,
    reason = "counts and seeds are part of the result"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, Runner};

use crate::clock::{Clock, Steady};
use crate::id::{TaskId, WorkerId};
use crate::payload::Payload;
use crate::store::{ClaimRequest, Commit, Create, Guard, Lanes, Op};
use crate::task::{Ended, Gate, LeaseRef, NewTask, Settlement, TaskStateRecord, decide};
use crate::timestamp::Timestamp;

/// Schedules of each scene in a full proof: by chance, and by priorities that change a few times, which finds what needs
/// one of them to be held up for long.
const BY_CHANCE: usize = 7_000;
const BY_PRIORITY: usize = 3_000;

/// The lease of every claim.
pub(super) const TTL: Duration = Duration::from_secs(30);

/// Tries a scene out.
pub(super) fn explore(name: &str, scene: fn()) {
    let is_full = std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full");
    let seed = std::env::var("TLO_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    let size = if is_full { 1 } else { 20 };
    let (chance, priority) = (BY_CHANCE / size, BY_PRIORITY / size);
    println!("{name}: {} schedules, TLO_SEED={seed}", chance + priority);
    let random = RandomScheduler::new_from_seed(seed, chance);
    let tried = Runner::new(random, config()).run(scene);
    let pct = PctScheduler::new_from_seed(seed, 3, priority);
    let tried = tried + Runner::new(pct, config()).run(scene);
    assert_eq!(tried, chance + priority);
}

/// Whether some schedule of a scene fails: for scenes with a bug in them.
pub(super) fn finds_a_bug(name: &str, scene: fn()) -> bool {
    let random = RandomScheduler::new_from_seed(fastrand::u64(..), BY_CHANCE);
    let mut config = config();
    config.failure_persistence = FailurePersistence::None;
    let tried = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&tried);
    let run = std::panic::AssertUnwindSafe(|| {
        Runner::new(random, config).run(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            scene();
        })
    });
    let is_found = std::panic::catch_unwind(run).is_err();
    let tried = tried.load(Ordering::SeqCst);
    println!("{name}: found {is_found}, after {tried} schedules");
    is_found
}

fn config() -> Config {
    let mut config = Config::new();
    // Frames of builds that are not optimised are large.
    config.silence_warnings = true;
    config.stack_size = 0x10_0000;
    config.failure_persistence = FailurePersistence::Print;
    config
}

/// Both hands of a clock, in seconds.
#[derive(Debug, Default)]
pub(super) struct Hands(AtomicU64);

impl Hands {
    pub(super) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    fn at(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

#[async_trait::async_trait]
impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH.saturating_add(self.at())
    }

    fn steady(&self) -> Steady {
        Steady {
            boot: 1,
            at: self.at(),
        }
    }

    async fn sleep(&self, _: Duration) {
        std::future::pending::<()>().await;
    }
}

pub(super) fn id(text: &str) -> TaskId {
    TaskId::new(text).unwrap()
}

pub(super) fn task(text: &str) -> NewTask {
    NewTask::new(id(text), "greet", Payload::null())
}

/// A task that runs alone among those of the key.
pub(super) fn alone(text: &str, key: &str) -> NewTask {
    let mut task = task(text);
    let (key, limit) = (key.to_owned(), 1);
    task.gates.push(Gate { key, limit });
    task
}

pub(super) fn create(task: NewTask) -> Commit {
    let lease_to = None;
    Commit::of([Op::Create(Box::new(Create { task, lease_to }))])
}

pub(super) fn request(worker: &str, limit: usize) -> ClaimRequest {
    ClaimRequest {
        worker: WorkerId::new(worker).unwrap(),
        lanes: Lanes::new(["default"], ["greet"]),
        limit,
        ttl: TTL,
    }
}

pub(super) fn lease(record: &TaskStateRecord) -> LeaseRef {
    record.lease.as_ref().unwrap().reference()
}

fn held(record: &TaskStateRecord) -> Guard {
    Guard::Held(record.id.clone(), lease(record))
}

pub(super) fn succeed(record: &TaskStateRecord) -> Commit {
    let success = Box::new(Settlement::success(Payload::null()));
    Commit::of([Op::Settle(record.id.clone(), success)]).when(held(record))
}

pub(super) fn extend(record: &TaskStateRecord) -> Commit {
    Commit::of([Op::Extend(record.id.clone(), TTL)]).when(held(record))
}

/// What a reaper writes for a lost lease.
pub(super) fn reap(record: &TaskStateRecord) -> Commit {
    let lost = Box::new(decide(Ended::Lost, record, 0.0));
    let ended = Guard::Expired(record.id.clone(), record.fence);
    Commit::of([Op::Settle(record.id.clone(), lost)]).when(ended)
}

/// Begins each of these as a thread of its own.
pub(super) fn all_at_once<T: Send + 'static>(
    threads: Vec<Box<dyn FnOnce() -> T + Send>>,
) -> Vec<T> {
    let threads: Vec<_> = threads.into_iter().map(shuttle::thread::spawn).collect();
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect()
}

/// The clock as stores take it.
pub(super) fn clock() -> (Arc<Hands>, Arc<dyn Clock>) {
    let hands = Arc::new(Hands::default());
    (hands.clone(), hands)
}
