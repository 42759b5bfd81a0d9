//! Processes that share a store where no kernel tells which boot of the machine it is: each has a steady clock of its own.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod stores;

use std::sync::Arc;
use std::time::Duration;

use stores::{TreeEngine, Trees};
use tlo::store::{
    Commit, Effect, Guard, Op, Refusal, TaskFilter, TaskStateStore, TaskStateStoreExt,
};
use tlo::task::{Ended, NewTask, decide};
use tlo::testing::ManualClock;
use tlo::{Clock, IdSource, PageRequest, Payload, RowStore, TaskId, TaskStateRecord, WorkerId};

const LEASE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(10);

/// A process: its clock, whose steady hand began when it did, and its handle of the store.
struct Process {
    clock: Arc<ManualClock>,
    store: RowStore<TreeEngine>,
}

impl Process {
    fn start(engine: &TreeEngine, number: u64, knows_boot: bool) -> Self {
        let clock = ManualClock::shared();
        for _ in 0..number {
            clock.reboot();
        }
        if !knows_boot {
            clock.hide_boot();
        }
        let ids = Arc::new(IdSource::seeded(number));
        let store =
            RowStore::open(engine.clone(), Arc::clone(&clock) as Arc<dyn Clock>, ids).unwrap();
        Self { clock, store }
    }

    async fn lease(&self) -> Arc<TaskStateRecord> {
        let worker = WorkerId::new("w#1").unwrap();
        let leased = self.store.lease(&worker, "default", &["greet"], 1, LEASE);
        leased.await.unwrap().pop().unwrap()
    }

    async fn ended(&self) -> usize {
        let expired = TaskFilter {
            lease_expired: true,
            ..TaskFilter::default()
        };
        let page = self.store.list(&expired, PageRequest::first(10)).await;
        page.unwrap().items.len()
    }

    async fn take_back(&self, record: &TaskStateRecord) -> Result<Vec<Effect>, Refusal> {
        let settlement = decide(Ended::Lost, record, 0.0);
        let commit = Commit::of([Op::Settle(record.id.clone(), Box::new(settlement))])
            .when(Guard::Expired(record.id.clone(), record.fence));
        self.store.commit(vec![commit]).await.unwrap().remove(0)
    }

    /// How long until a claim should look again.
    async fn look_again_in(&self) -> Option<Duration> {
        let claims = self
            .store
            .claim(tlo::store::ClaimRequest {
                worker: WorkerId::new("w#2").unwrap(),
                lanes: tlo::store::Lanes::new(["default"], ["greet"]),
                limit: 1,
                ttl: LEASE,
            })
            .await
            .unwrap();
        assert!(claims.tasks.is_empty());
        claims.next_due.map(|due| due.since(claims.now))
    }
}

async fn create(process: &Process) {
    let task = NewTask::new(TaskId::new("a").unwrap(), "greet", Payload::null());
    process.store.create(task).await.unwrap();
}

fn advance(processes: &[&Process], by: Duration) {
    for process in processes {
        process.clock.advance(by);
    }
}

#[tokio::test]
async fn a_live_lease_is_not_stolen_by_a_process_with_another_steady_clock() {
    let engine = Trees::default().engine("shared");
    let holder = Process::start(&engine, 1, false);
    let other = Process::start(&engine, 2, false);
    create(&holder).await;
    let record = holder.lease().await;
    assert_eq!(other.ended().await, 0);
    assert!(matches!(
        other.take_back(&record).await,
        Err(Refusal::NotExpired(_))
    ));
    assert_eq!(other.look_again_in().await, Some(LEASE + GRACE));
    // A wall clock that is set a little loses nothing either.
    advance(&[&holder, &other], LEASE + GRACE - Duration::from_micros(1));
    assert_eq!(other.ended().await, 0);
    let lease = record.lease.as_ref().unwrap().reference();
    let id = record.id.clone();
    let extend = Commit::of([Op::Extend(id.clone(), LEASE)]).when(Guard::Held(id, lease));
    holder.store.commit(vec![extend]).await.unwrap()[0]
        .clone()
        .unwrap();
    advance(&[&holder, &other], LEASE + GRACE - Duration::from_micros(1));
    assert_eq!(other.ended().await, 0);
    advance(&[&holder, &other], Duration::from_micros(1));
    assert_eq!((holder.ended().await, other.ended().await), (1, 1));
    assert_eq!(other.look_again_in().await, Some(Duration::ZERO));
    other.take_back(&record).await.unwrap();
    assert_eq!(other.ended().await, 0);
}

#[tokio::test]
async fn a_process_that_learns_to_do_without_a_boot_steals_nothing() {
    let engine = Trees::default().engine("shared");
    let before = Process::start(&engine, 1, true);
    let after = Process::start(&engine, 2, false);
    create(&before).await;
    let record = before.lease().await;
    assert_eq!(after.ended().await, 0);
    assert!(after.take_back(&record).await.is_err());
    assert_eq!(after.look_again_in().await, Some(Duration::from_secs(1)));
    advance(&[&before, &after], LEASE + GRACE);
    assert_eq!(after.ended().await, 1);
    after.take_back(&record).await.unwrap();
}

#[tokio::test]
async fn a_lease_without_a_boot_is_seen_by_those_that_know_theirs() {
    let engine = Trees::default().engine("shared");
    let hidden = Process::start(&engine, 1, false);
    let known = Process::start(&engine, 2, true);
    create(&hidden).await;
    let record = hidden.lease().await;
    assert_eq!(known.ended().await, 0);
    assert_eq!(known.look_again_in().await, Some(LEASE + GRACE));
    advance(&[&hidden, &known], LEASE + GRACE);
    assert_eq!(known.ended().await, 1);
    known.take_back(&record).await.unwrap();
}
