//! Acceptance cases about the queue: order, time, control, locks (the T cases that are the library's).
//!
//! Definitions, names and settings are in `cases_definitions.rs`; T07, T08, T10, T11 and T13 are in `schedule_cases.rs`,
//! T14, T16 and T17 in `recurring_policies.rs`, T34, T35 and T46 in `engine_stop.rs`, T40 in `settings_sections.rs`, T44 in
//! `settings_values.rs` and `cases_cli.rs`.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::time::Duration;

use engine_kit::{Notes, Place, memory, program, until};
use tlo::prelude::*;
use tlo::schedule::Schedule;
use tlo::store::{CountBy, Hint, Patch, SharedStore, TaskFilter, TaskStateStoreExt};
use tlo::task::{Due, NewTask, TaskDef};
use tlo::testing::Harness;
use tlo::{Clock, ErrorKind, IdSource, PageRequest, SystemClock, TaskId};

fn quick(name: &str) -> Task {
    task(name).run(|_: TaskContext, _: ()| async {})
}

/// The queue on every store of this build.
fn stores() -> (Place, Vec<SharedStore>) {
    let place = Place::new();
    let stores = vec![memory(), place.open()];
    (place, stores)
}

fn new(name: &str, id: &str) -> NewTask {
    NewTask::new(TaskId::new(id).unwrap(), name, tlo::Payload::null())
}

#[tokio::test]
async fn t19_due_first_then_immediate_and_the_future_blocks_nothing() {
    for store in stores().1 {
        let now = SystemClock.now();
        let mut future = new("t", "future");
        future.due = Due::In(secs(30));
        let mut due = new("t", "due");
        due.due = Due::At(now.saturating_sub(secs(30)));
        for task in [future, new("t", "immediate"), due] {
            store.create(task).await.unwrap();
        }
        let worker = IdSource::random().worker_id("w").unwrap();
        let claim = async || {
            let claimed = store
                .lease(&worker, "default", &["t"], 1, secs(30))
                .await
                .unwrap();
            claimed.first().map(|task| task.id.to_string())
        };
        assert_eq!(claim().await.as_deref(), Some("due"));
        assert_eq!(claim().await.as_deref(), Some("immediate"));
        assert_eq!(claim().await, None);
        let open = TaskFilter::status([TaskStatus::Pending]);
        assert_eq!(
            store.count(&open, CountBy::All, 100).await.unwrap().total(),
            1
        );
    }
}

#[tokio::test]
async fn t20_tasks_are_counted_per_queue_and_in_total() {
    for store in stores().1 {
        for (id, queue) in [("a", "default"), ("b", "priority"), ("c", "priority")] {
            let mut task = new("t", id);
            task.queue = queue.into();
            store.create(task).await.unwrap();
        }
        let open = TaskFilter::status([TaskStatus::Pending]);
        let counts = store.count(&open, CountBy::Queue, 100).await.unwrap();
        assert_eq!(
            (counts.of("default"), counts.of("priority"), counts.total()),
            (1, 2, 3)
        );
        let worker = IdSource::random().worker_id("w").unwrap();
        store
            .lease(&worker, "priority", &["t"], 1, secs(30))
            .await
            .unwrap();
        let counts = store.count(&open, CountBy::Queue, 100).await.unwrap();
        assert_eq!((counts.of("default"), counts.of("priority")), (1, 1));
        store.delete(&TaskId::new("a").unwrap()).await.unwrap();
        let counts = store.count(&open, CountBy::Queue, 100).await.unwrap();
        assert_eq!(counts.of("default"), 0);
    }
}

#[tokio::test]
async fn t22_epoch_seconds_are_instants_and_nonsense_is_a_typed_error() {
    let mut tlo = TloContext::for_test()
        .task(quick("t"))
        .start()
        .await
        .unwrap();
    let eta = Timestamp::from_epoch_seconds(1_767_571_260.5).unwrap();
    assert_eq!(eta.to_string(), "2026-01-05T00:01:00.5Z");
    let client = tlo.client();
    let later = client.task("t").at(eta).submit().await.unwrap();
    let past = Timestamp::from_epoch_seconds(-5.0).unwrap();
    let overdue = client.task("t").at(past).submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    assert_eq!(later.record().await.unwrap().run_at, eta);
    assert_eq!(overdue.status().await.unwrap(), TaskStatus::Succeeded);
    for nonsense in [f64::NAN, 1e20, f64::INFINITY] {
        let error = Timestamp::from_epoch_seconds(nonsense).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

#[tokio::test]
async fn t23_rescheduling_puts_first_and_moving_changes_the_counts() {
    for store in stores().1 {
        let mut far = new("t", "far");
        far.due = Due::In(hours(10));
        store.create(far).await.unwrap();
        store.create(new("t", "near")).await.unwrap();
        let far = TaskId::new("far").unwrap();
        let past = SystemClock.now().saturating_sub(secs(5));
        store.reschedule(&far, Due::At(past)).await.unwrap();
        store
            .move_to(&TaskId::new("near").unwrap(), "other")
            .await
            .unwrap();
        let open = TaskFilter::status([TaskStatus::Pending]);
        let counts = store.count(&open, CountBy::Queue, 100).await.unwrap();
        assert_eq!((counts.of("default"), counts.of("other")), (1, 1));
        let worker = IdSource::random().worker_id("w").unwrap();
        let first = store
            .lease(&worker, "default", &["t"], 1, secs(30))
            .await
            .unwrap();
        assert_eq!(first[0].id, far);
    }
}

#[tokio::test]
async fn t25_a_queue_that_was_never_used_is_empty_and_stays_unknown() {
    for store in stores().1 {
        assert!(store.peek("nobody", 10).await.unwrap().is_empty());
        let worker = IdSource::random().worker_id("w").unwrap();
        assert!(
            store
                .lease(&worker, "nobody", &["t"], 1, secs(30))
                .await
                .unwrap()
                .is_empty()
        );
        let counts = store
            .count(&TaskFilter::default(), CountBy::Queue, 100)
            .await
            .unwrap();
        assert!(counts.groups.is_empty());
    }
}

#[tokio::test]
async fn t26_an_instant_without_a_zone_is_refused_and_the_queue_stays_usable() {
    let error = "2026-01-05T12:00:00".parse::<Timestamp>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("2026-01-05T12:00:00"), "{error}");
    let bad: Result<TaskDef, _> = serde_json::from_value(
        serde_json::json!({"name": "t", "schedule": {"at": "2026-01-05T12:00:00"}}),
    );
    assert!(bad.is_err());
    let mut tlo = TloContext::for_test()
        .task(quick("t"))
        .start()
        .await
        .unwrap();
    let record = tlo.run_inline("t", &()).await.unwrap();
    assert_eq!(record.status, TaskStatus::Succeeded);
}

#[tokio::test]
async fn t29_stopping_what_cannot_be_stopped_is_an_error_and_changes_nothing() {
    let mut tlo = TloContext::for_test()
        .task(quick("t"))
        .start()
        .await
        .unwrap();
    let done = tlo.run_inline("t", &()).await.unwrap();
    let error = tlo.client().cancel(&done.id, "too late").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(tlo.client().get(&done.id).await.unwrap(), done);
    let unknown = TaskId::new("nobody").unwrap();
    assert_eq!(
        tlo.client().cancel(&unknown, "").await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn t31_a_lock_is_given_back_on_every_way_out_and_a_held_one_is_not_taken() {
    for store in stores().1 {
        let context = program().store(store.clone()).build().await.unwrap();
        let client = context.client();
        let lock = client.lock("key").await.unwrap().unwrap();
        assert!(client.lock("key").await.unwrap().is_none());
        assert!(client.lock("other").await.unwrap().is_some());
        assert!(
            client.lock("key").await.unwrap().is_none(),
            "the failed try leaves it held"
        );
        lock.release().await.unwrap();
        // On the way out by an error it is dropped.
        let failing = async {
            let _lock = client.lock("key").await?.unwrap();
            "seven"
                .parse::<u32>()
                .map(drop)
                .map_err(|error| tlo::Error::new(ErrorKind::Invalid, "test", error.to_string()))
        };
        failing.await.unwrap_err();
        until("it is free again", async || {
            match client.lock("key").await.unwrap() {
                Some(lock) => lock.release().await.is_ok(),
                None => false,
            }
        })
        .await;
        until("nothing is left of it", async || {
            store
                .count(&TaskFilter::default(), CountBy::All, 100)
                .await
                .unwrap()
                .total()
                == 0
        })
        .await;
    }
}

#[tokio::test]
async fn t31_a_lock_keeps_tasks_of_its_gate_out_and_dies_with_its_holder() {
    let mut tlo = TloContext::for_test()
        .task(
            task("t")
                .gate("user/{id}", 1)
                .run(|_: TaskContext, _: serde_json::Value| async {}),
        )
        .start()
        .await
        .unwrap();
    let lock = tlo.client().lock("user/7").await.unwrap().unwrap();
    let handle = tlo
        .client()
        .task("t")
        .args(&serde_json::json!({"id": 7}))
        .submit()
        .await
        .unwrap();
    tlo.advance(minutes(5)).await.unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Pending);
    assert!(!lock.is_lost());
    lock.release().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Succeeded);

    // A holder that dies: its runtime is gone, and nothing gives the lock back.
    let client = tlo.client();
    let dying = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        std::mem::forget(runtime.block_on(client.lock("user/7")).unwrap().unwrap());
    });
    dying.join().unwrap();
    let args = serde_json::json!({"id": 7});
    let handle = tlo.client().task("t").args(&args).submit().await.unwrap();
    tlo.advance(secs(29)).await.unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Pending);
    tlo.advance(secs(2)).await.unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Succeeded);
}

/// Runs of a key never overlap; those of another may.
#[tokio::test]
async fn t32_tasks_exclusive_by_a_key_never_overlap() {
    let spans = Notes::default();
    let noted = spans.clone();
    let mut tlo = TloContext::for_test()
        .task(task("sync").exclusive("{user_id}").run(
            move |context: TaskContext, args: serde_json::Value| {
                let noted = noted.clone();
                async move {
                    let begun = context.clock().now();
                    context.clock().sleep(secs(10)).await;
                    noted.add((args["user_id"].clone(), begun, context.clock().now()));
                }
            },
        ))
        .start()
        .await
        .unwrap();
    for user in [123, 123, 456, 123, 456] {
        tlo.client()
            .task("sync")
            .args(&serde_json::json!({"user_id": user}))
            .submit()
            .await
            .unwrap();
    }
    let error = tlo
        .client()
        .task("sync")
        .args(&serde_json::json!({}))
        .submit()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("user_id"), "{error}");
    tlo.advance(minutes(2)).await.unwrap();
    let spans = spans.all();
    assert_eq!(spans.len(), 5);
    let overlap = |same: bool| {
        spans.iter().enumerate().any(|(n, one)| {
            spans[n + 1..]
                .iter()
                .any(|other| (one.0 == other.0) == same && one.1 < other.2 && other.1 < one.2)
        })
    };
    assert!(!overlap(true), "{spans:?}");
    assert!(overlap(false), "{spans:?}");
}

#[tokio::test]
async fn t37_an_interval_runs_a_bad_task_hurts_nobody_and_submits_are_run() {
    let context = program()
        .task(quick("tick").into_every(millis(50)))
        .task(
            task("bad")
                .every(millis(50))
                .run(|_: TaskContext, _: ()| async {
                    TaskResult::<()>::Err(TaskError::retry("always"))
                }),
        )
        .task(quick("manual"))
        .build()
        .await
        .unwrap();
    let client = context.client();
    let runner = Runner::new(context);
    let handle = runner.handle();
    let running = tokio::spawn(runner.run_until(std::future::pending()));
    let count = async |status: TaskStatus, name: &str| {
        let filter = TaskFilter {
            name: Some(name.to_owned()),
            ..TaskFilter::status([status])
        };
        client.count(&filter, CountBy::All).await.unwrap().total()
    };
    let begun = SystemClock.steady().at;
    until("it ticks", async || {
        count(TaskStatus::Succeeded, "tick").await >= 3
    })
    .await;
    let took = SystemClock.steady().at - begun;
    assert!(
        took >= millis(100),
        "{took:?}: the first run is the next slot"
    );
    until("the bad one fails", async || {
        count(TaskStatus::Failed, "bad").await >= 3
    })
    .await;
    let manual = client.task("manual").submit().await.unwrap();
    assert_eq!(
        manual.wait_for(secs(5)).await.unwrap().status,
        TaskStatus::Succeeded
    );
    let ticked = count(TaskStatus::Succeeded, "tick").await;
    until("it ticks on", async || {
        count(TaskStatus::Succeeded, "tick").await > ticked + 2
    })
    .await;
    handle.stop();
    running.await.unwrap().unwrap();
}

/// Gives a task that was made elsewhere a schedule.
trait IntoEvery {
    fn into_every(self, period: Duration) -> Task;
}

impl IntoEvery for Task {
    fn into_every(mut self, period: Duration) -> Task {
        self.def.schedule = Some(Schedule::every(period).unwrap());
        self
    }
}

#[tokio::test]
async fn t43_the_store_says_what_exists_and_what_does_not() {
    for store in stores().1 {
        store.create(new("t", "a")).await.unwrap();
        let again = store.create(new("t", "a")).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AlreadyExists);
        let nobody = TaskId::new("nobody").unwrap();
        let patch = Patch {
            priority: Some(9),
            ..Patch::default()
        };
        for error in [
            store.update(&nobody, patch).await.unwrap_err(),
            store.delete(&nobody).await.unwrap_err(),
            store.read(&nobody).await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains("nobody"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_submit_wakes_the_worker_by_a_hint() {
    let store = memory();
    let mut hints = store.hints();
    store.create(new("t", "a")).await.unwrap();
    assert_eq!(hints.next().await, Some(Hint::Ready("default".into())));
}

#[tokio::test]
async fn a_harness_is_the_same_in_every_run() {
    let run = async || {
        let mut tlo: Harness = TloContext::for_test()
            .task(quick("t").into_every(secs(7)))
            .start()
            .await
            .unwrap();
        tlo.advance(minutes(10)).await.unwrap();
        let page = tlo
            .client()
            .list(&TaskFilter::default(), PageRequest::default())
            .await
            .unwrap();
        let ids: Vec<_> = page
            .items
            .iter()
            .map(|item| item.record.to_json().to_string())
            .collect();
        (ids, tlo.now(), tlo.store().calls())
    };
    assert_eq!(run().await, run().await);
}
