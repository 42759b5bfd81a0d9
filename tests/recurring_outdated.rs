//! What was before a schedule changed, or piles up over a long time, does not stop it.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

mod engine_kit;

use std::sync::Arc;
use std::time::Duration;

use engine_kit::decisions;
use tlo::observe::Observers;
use tlo::schedule::{Misfire, Overlap, Schedule};
use tlo::scheduler::Scheduler;
use tlo::store::{SharedStore, TaskFilter, TaskStateStore, TaskStateStoreExt};
use tlo::task::{TaskDef, TaskStatus};
use tlo::testing::ManualClock;
use tlo::{Clock, IdSource, MemoryStore, PageRequest};

const PERIOD: Duration = Duration::from_secs(600);

fn place() -> (SharedStore, Arc<ManualClock>) {
    let clock = ManualClock::shared();
    let ids = Arc::new(IdSource::seeded(1));
    let store = MemoryStore::new(Arc::clone(&clock) as Arc<dyn Clock>, ids);
    (Arc::new(store), clock)
}

fn def(version: Option<&str>) -> TaskDef {
    let mut def = TaskDef::new("t");
    def.version = version.map(Arc::from);
    def.schedule = Some(Schedule::every(PERIOD).unwrap());
    def
}

async fn started(
    store: &SharedStore,
    clock: &Arc<ManualClock>,
    defs: impl IntoIterator<Item = TaskDef>,
) -> Scheduler {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let mut scheduler = Scheduler::new(Arc::clone(store), clock, Observers::default(), true);
    let defs: Vec<_> = defs.into_iter().map(Arc::new).collect();
    scheduler.start(defs).await.unwrap();
    scheduler
}

/// Status and version of the runs, oldest first.
async fn runs(store: &dyn TaskStateStore) -> Vec<(TaskStatus, Option<String>)> {
    let all = store
        .list(&TaskFilter::default(), PageRequest::first(100))
        .await
        .unwrap();
    let of = |record: &tlo::TaskStateRecord| {
        let version = record.version.as_ref().map(ToString::to_string);
        (record.status, version)
    };
    all.items.iter().map(|item| of(&item.record)).collect()
}

#[tokio::test]
async fn a_run_of_a_version_that_is_gone_does_not_stop_the_schedule() {
    let (store, clock) = place();
    let mut scheduler = started(&store, &clock, [def(Some("1"))]).await;
    clock.advance(PERIOD);
    scheduler.tick().await.unwrap();
    let waits = |version: &str| (TaskStatus::Pending, Some(version.to_owned()));
    assert_eq!(runs(&*store).await, [waits("1")]);

    let mut old = def(Some("1"));
    old.schedule = None;
    let mut scheduler = started(&store, &clock, [old, def(Some("2"))]).await;
    clock.advance(PERIOD);
    scheduler.tick().await.unwrap();
    assert_eq!(
        runs(&*store).await,
        [waits("1")],
        "this process still has it"
    );

    let mut scheduler = started(&store, &clock, [def(Some("2"))]).await;
    clock.advance(PERIOD);
    scheduler.tick().await.unwrap();
    let cancelled = (TaskStatus::Cancelled, Some("1".to_owned()));
    assert_eq!(runs(&*store).await, [cancelled, waits("2")]);
}

#[tokio::test]
async fn a_run_of_a_version_that_another_worker_has_is_waited_for() {
    let (store, clock) = place();
    let mut scheduler = started(&store, &clock, [def(Some("1"))]).await;
    clock.advance(PERIOD);
    scheduler.tick().await.unwrap();
    let worker = tlo::client::WorkerInfo {
        pid: 1,
        version: String::new(),
        queues: vec!["default".to_owned()],
        names: vec!["t".to_owned()],
        versions: Some([("t".to_owned(), ["1".to_owned()].into())].into()),
        concurrency: 1,
        declares: None,
    };
    let said = tlo::Payload::of(&worker).unwrap();
    store
        .put_mark("worker/w#1", said, None, Some(PERIOD * 3 / 2))
        .await
        .unwrap();
    let mut scheduler = started(&store, &clock, [def(Some("2"))]).await;
    clock.advance(PERIOD);
    scheduler.tick().await.unwrap();
    assert_eq!(runs(&*store).await.len(), 1);
    // It said nothing for long enough to be gone.
    clock.advance(PERIOD);
    scheduler.tick().await.unwrap();
    assert_eq!(runs(&*store).await.len(), 2);
}

#[tokio::test]
async fn the_notes_of_a_schedule_do_not_grow_for_ever() {
    let (store, clock) = place();
    let mut skipping = def(None);
    skipping.policy.misfire = Misfire::Skip;
    skipping.policy.overlap = Overlap::Allow;
    let mut scheduler = started(&store, &clock, [skipping]).await;
    for _ in 0..1_100 {
        // The slot is a quarter of a period late, which is too late.
        clock.advance(PERIOD * 5 / 4);
        scheduler.tick().await.unwrap();
    }
    let notes = decisions(&*store, "t").await;
    let last = notes.last().unwrap().number;
    assert!(last > 1_000, "{last} notes were made");
    assert!(
        (900..=1_000).contains(&notes.len()),
        "{} are kept",
        notes.len()
    );
}
