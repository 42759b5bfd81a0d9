//! Leases: kept while a handler lives; taken back when a worker is lost.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::sync::Arc;

use engine_kit::{Notes, Place, memory, plain_retry, program, record, until, until_within};
use tlo::prelude::*;
use tlo::store::SharedStore;
use tlo::task::AttemptEnd;
use tlo::testing::{Harness, ManualClock};
use tlo::worker::{Stop, Worker};
use tlo::{Clock, IdSource, MemoryStore, SystemClock, TaskStateRecord};

/// Several nodes of one program on one store and one clock.
struct Cluster {
    clock: Arc<ManualClock>,
    store: SharedStore,
    ids: u64,
}

impl Cluster {
    fn new() -> Self {
        let clock = ManualClock::shared();
        let store = MemoryStore::new(clock.clone(), Arc::new(IdSource::seeded(9)));
        Self {
            clock,
            store: Arc::new(store),
            ids: 0,
        }
    }

    async fn node(&mut self, task: Task) -> Harness {
        self.ids += 1;
        TloContext::for_test()
            .clock(self.clock.clone())
            .store(self.store.clone())
            .seed(self.ids)
            .task(task)
            .start()
            .await
            .unwrap()
    }
}

/// Runs for an hour on the node where `dies` is true, and not at all elsewhere.
fn mortal(dies: bool, max_lost: u32) -> Task {
    task("t")
        .max_attempts(2)
        .max_lost(max_lost)
        .retry(plain_retry(secs(2)))
        .run(move |context: TaskContext, _: ()| async move {
            if dies {
                context.clock().sleep(hours(1)).await;
            }
            TaskResult::Ok(context.fence())
        })
}

fn ends(record: &TaskStateRecord) -> Vec<AttemptEnd> {
    record.attempts.iter().map(|run| run.outcome).collect()
}

#[tokio::test]
async fn a_lost_worker_is_replaced_when_its_lease_ends_and_eats_no_budget() {
    let mut cluster = Cluster::new();
    let mut first = cluster.node(mortal(true, 5)).await;
    let handle = first.client().task("t").submit().await.unwrap();
    // It lives longer than its lease, which is renewed.
    first.advance(minutes(5)).await.unwrap();
    assert_eq!(record(&*cluster.store, handle.id()).await.leases, 1);
    drop(first);
    let mut second = cluster.node(mortal(false, 5)).await;
    second.advance(secs(19)).await.unwrap();
    let waiting = record(&*cluster.store, handle.id()).await;
    assert_eq!((waiting.status, waiting.leases), (TaskStatus::Running, 1));
    second.advance(secs(12)).await.unwrap();
    let done = record(&*cluster.store, handle.id()).await;
    assert_eq!(done.status, TaskStatus::Succeeded, "{done:?}");
    assert_eq!((done.attempt, done.lost, done.spent()), (2, 1, 1));
    assert_eq!(ends(&done), [AttemptEnd::Lost, AttemptEnd::Succeeded]);
    assert!(
        second
            .events()
            .iter()
            .any(|event| matches!(event, Lifecycle::Lost { .. }))
    );
}

#[tokio::test]
async fn a_task_that_takes_its_workers_down_fails_at_max_lost() {
    for (max_lost, losses) in [(3, 3), (0, 1)] {
        let mut cluster = Cluster::new();
        let mut node = cluster.node(mortal(true, max_lost)).await;
        let handle = node.client().task("t").submit().await.unwrap();
        for _ in 0..losses {
            node.advance(secs(20)).await.unwrap();
            drop(node);
            node = cluster.node(mortal(true, max_lost)).await;
            node.advance(minutes(1)).await.unwrap();
        }
        let failed = record(&*cluster.store, handle.id()).await;
        assert_eq!((failed.status, failed.lost), (TaskStatus::Failed, losses));
        assert!(failed.error.unwrap().contains("worker lost"));
    }
}

#[tokio::test]
async fn lost_leases_are_taken_back_by_workers_that_always_find_work_or_have_no_place_free() {
    let mut cluster = Cluster::new();
    let mut first = cluster.node(mortal(true, 5)).await;
    let handle = first.client().task("t").submit().await.unwrap();
    first.run_until_idle().await.unwrap();
    drop(first);
    // The other node has one place, which a long task keeps taken.
    let long = task("long")
        .run(|context: TaskContext, _: ()| async move { context.clock().sleep(hours(2)).await });
    let mut busy = TloContext::for_test()
        .clock(cluster.clock.clone())
        .store(cluster.store.clone())
        .set("concurrency", 1)
        .task(long)
        .start()
        .await
        .unwrap();
    busy.client().task("long").submit().await.unwrap();
    busy.advance(minutes(2)).await.unwrap();
    let waiting = record(&*cluster.store, handle.id()).await;
    assert_eq!((waiting.status, waiting.lost), (TaskStatus::Pending, 1));
}

#[tokio::test]
async fn a_worker_does_not_take_its_own_lease_back_after_the_machine_slept() {
    let mut cluster = Cluster::new();
    let mut node = cluster.node(mortal(true, 5)).await;
    let handle = node.client().task("t").submit().await.unwrap();
    node.run_until_idle().await.unwrap();
    // Nothing ran for ten minutes, no renewal either; then everything at once.
    cluster.clock.advance(minutes(10));
    node.run_until_idle().await.unwrap();
    node.advance(hours(1)).await.unwrap();
    let done = record(&*cluster.store, handle.id()).await;
    assert_eq!(
        (done.status, done.leases, done.lost),
        (TaskStatus::Succeeded, 1, 0)
    );
}

#[tokio::test]
async fn a_stale_run_is_told_and_its_end_is_not_recorded() {
    let why = Notes::default();
    let noted = why.clone();
    let stale = task("t").run(move |context: TaskContext, _: ()| {
        let noted = noted.clone();
        async move {
            context.cancelled().await;
            noted.add(context.interruption());
            TaskResult::Ok("stale")
        }
    });
    let mut cluster = Cluster::new();
    let mut first = cluster.node(stale).await;
    let handle = first.client().task("t").submit().await.unwrap();
    first.run_until_idle().await.unwrap();
    // The first node hangs; the second takes over.
    cluster.clock.advance(minutes(1));
    let mut second = cluster
        .node(task("t").run(|_: TaskContext, _: ()| async { TaskResult::Ok("fresh") }))
        .await;
    second.run_until_idle().await.unwrap();
    // The first wakes up.
    first.advance(secs(20)).await.unwrap();
    assert_eq!(why.all(), [Some(Interruption::LeaseLost)]);
    let done = record(&*cluster.store, handle.id()).await;
    assert_eq!(done.result.unwrap().as_str(), "\"fresh\"");
    assert!(
        first
            .events()
            .iter()
            .any(|event| matches!(event, Lifecycle::LeaseLost { .. }))
    );
    assert!(
        !first
            .events()
            .iter()
            .any(|event| matches!(event, Lifecycle::Succeeded { .. }))
    );
}

#[tokio::test]
async fn a_task_with_its_own_lease_keeps_that_one() {
    let mut cluster = Cluster::new();
    let define = |lease: &'static str| {
        task("t")
            .lease(lease)
            .run(|context: TaskContext, _: ()| async move { context.clock().sleep(hours(1)).await })
    };
    let mut node = cluster.node(define("5m")).await;
    let handle = node.client().task("t").submit().await.unwrap();
    node.advance(secs(15)).await.unwrap();
    let lease = record(&*cluster.store, handle.id()).await.lease.unwrap();
    assert_eq!(lease.until.since(node.now()), secs(295));
}

#[tokio::test]
async fn dropping_a_runner_aborts_its_runs_and_leaves_their_leases() {
    struct Dropped(Notes<&'static str>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.add("dropped");
        }
    }
    let notes = Notes::default();
    let noted = notes.clone();
    let store = memory();
    let context = program()
        .store(store.clone())
        .task(task("t").run(move |_: TaskContext, _: ()| {
            let guard = Dropped(noted.clone());
            async move {
                guard.0.add("began");
                std::future::pending::<()>().await;
                drop(guard);
            }
        }))
        .build()
        .await
        .unwrap();
    let handle = context.client().task("t").submit().await.unwrap();
    let running = tokio::spawn(Runner::new(context).run_until(std::future::pending()));
    until("it runs", async || notes.len() == 1).await;
    running.abort();
    until("the run is gone", async || notes.len() == 2).await;
    assert_eq!(notes.all(), ["began", "dropped"]);
    let left = record(&*store, handle.id()).await;
    assert_eq!(
        (left.status, left.lease.is_some()),
        (TaskStatus::Running, true)
    );
}

#[tokio::test]
async fn a_worker_whose_stop_channel_is_gone_still_settles_at_once() {
    let context = program()
        .store(memory())
        .task(task("t").run(|_: TaskContext, _: ()| async {}))
        .build()
        .await
        .unwrap();
    let (stop, stopping) = tokio::sync::watch::channel(Stop::No);
    let working = tokio::spawn(Worker::new(context.worker_parts().unwrap()).run(stopping));
    drop(stop);
    for _ in 0..3 {
        let handle = context.client().task("t").submit().await.unwrap();
        let done = handle.wait_for(secs(5)).await.unwrap();
        assert_eq!(done.status, TaskStatus::Succeeded);
    }
    working.abort();
}

#[tokio::test]
async fn a_cancel_from_another_process_reaches_the_handler_long_before_the_heartbeat() {
    let place = Place::new();
    let context = program()
        .store(place.open())
        .task(task("t").run(|context: TaskContext, _: ()| async move {
            context.cancelled().await;
            TaskResult::<()>::Err(context.interrupted())
        }))
        .build()
        .await
        .unwrap();
    let handle = context.client().task("t").submit().await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(Runner::new(context).run_until(async { drop(stopped.await) }));
    until("it runs", async || {
        handle.status().await.unwrap() == TaskStatus::Running
    })
    .await;
    // Another handle on the file sends no hint that says what it did.
    let other = program().store(place.open()).build().await.unwrap();
    let begun = tlo::SystemClock.steady().at;
    other
        .client()
        .cancel(handle.id(), "from outside")
        .await
        .unwrap();
    let done = handle.wait_for(secs(8)).await.unwrap();
    let took = tlo::SystemClock.steady().at - begun;
    assert_eq!(done.status, TaskStatus::Cancelled);
    // The lease is 30 s, so a renewal would have come after up to 10.
    assert!(took < secs(4), "{took:?}");
    drop(stop);
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_shorter_lease_that_comes_later_is_renewed_in_its_own_time() {
    let waits = || |context: TaskContext, _: ()| async move { context.cancelled().await };
    let tlo = program()
        .store(memory())
        .task(task("long").run(waits()))
        .task(task("short").lease(secs(2)).run(waits()))
        .build()
        .await
        .unwrap();
    let client = tlo.client();
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run());
    let begun = async |name: &str| {
        let handle = client.task(name).submit().await.unwrap();
        until("it runs", async || {
            handle.status().await.unwrap() == TaskStatus::Running
        })
        .await;
        handle
    };
    begun("long").await;
    let short = begun("short").await;
    // The lease of the other one, of 30 s, is renewed after 10.
    until_within("its own lease is there", secs(5), async || {
        let lease = short.record().await.unwrap().lease.unwrap();
        lease.until.since(SystemClock.now()) <= secs(2)
    })
    .await;
    stop.stop_with(tlo::settings::StopBehavior::Cancel);
    running.await.unwrap().unwrap();
}
