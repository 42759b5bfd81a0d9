//! In memory an occurrence begins in the write that makes it, when nobody waits whose turn it would be.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::sync::Arc;

use engine_kit::{Notes, program, until};
use tlo::prelude::*;
use tlo::store::{SharedStore, TaskFilter, TaskStateStoreExt};
use tlo::testing::{ManualClock, ProbeStore};
use tlo::{MemoryStore, PageRequest, Payload, TaskId, TaskStateRecord};
use tokio::sync::Semaphore;

fn run(context: TloContext) -> (tlo::RunnerHandle, tokio::task::JoinHandle<tlo::Result<()>>) {
    let runner = Runner::new(context);
    let handle = runner.handle();
    (
        handle,
        tokio::spawn(runner.run_until(std::future::pending())),
    )
}

async fn occurrences(client: &tlo::Client, name: &str) -> Vec<TaskStateRecord> {
    let filter = TaskFilter {
        name: Some(name.to_owned()),
        ..TaskFilter::default()
    };
    let page = client.list(&filter, PageRequest::first(100)).await.unwrap();
    page.items.into_iter().map(|item| item.record).collect()
}

async fn rule(store: &SharedStore, gate: &str, rule: &str) {
    let rule = Payload::parse(rule).unwrap();
    let key = format!("gate/{gate}");
    store.put_mark(&key, rule, None, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_occurrence_is_leased_as_it_is_made_and_its_record_says_all_the_same() {
    let probe = ProbeStore::around(Arc::new(MemoryStore::default()));
    let context = program()
        .store(probe.clone())
        .task(
            task("tick")
                .every("20ms")
                .run(
                    |context: TaskContext, _: ()| async move { TaskResult::Ok(context.attempt()) },
                ),
        )
        .build()
        .await
        .unwrap();
    let client = context.client();
    let (handle, done) = run(context);
    let ended = async || {
        let records = occurrences(&client, "tick").await;
        let ended = |record: &&TaskStateRecord| record.status == TaskStatus::Succeeded;
        records.iter().filter(ended).count()
    };
    until("ten ran", async || ended().await >= 10).await;
    handle.stop();
    done.await.unwrap().unwrap();
    // Each was leased, and hardly any by a claim.
    let calls = probe.calls();
    assert!(calls.leased >= 10 && calls.claim <= 5, "{calls:?}");
    let records = occurrences(&client, "tick").await;
    for record in records
        .iter()
        .filter(|record| record.status == TaskStatus::Succeeded)
    {
        assert_eq!((record.attempt, record.leases, record.fence), (1, 1, 1));
        assert_eq!(record.result.as_ref().unwrap().as_str(), "1");
        assert_eq!(record.attempts.len(), 1);
        let (started, slot) = (record.started_at.unwrap(), record.slot.unwrap());
        assert!(started >= slot && record.finished_at.unwrap() >= started);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_the_place_with_a_higher_priority_has_it_first() {
    let order: Notes<&str> = Notes::default();
    let gate = Arc::new(Semaphore::new(0));
    let noted = |name: &'static str| {
        let order = order.clone();
        move |_: TaskContext, _: ()| {
            order.add(name);
            async {}
        }
    };
    let held = Arc::clone(&gate);
    let context = program()
        .set("concurrency", 1)
        .task(task("slow").run(move |_: TaskContext, _: ()| {
            let held = Arc::clone(&held);
            async move { held.acquire().await.unwrap().forget() }
        }))
        .task(task("tick").every("20ms").priority(1).run(noted("tick")))
        .task(task("urgent").priority(9).run(noted("urgent")))
        .build()
        .await
        .unwrap();
    let client = context.client();
    let slow = client.task("slow").submit().await.unwrap();
    let (handle, done) = run(context);
    until("the only place is taken", async || {
        slow.status().await.unwrap() == TaskStatus::Running
    })
    .await;
    let before = order.len();
    let mut urgent = Vec::new();
    for _ in 0..20 {
        urgent.push(client.task("urgent").submit().await.unwrap());
    }
    until("a slot waits", async || {
        let records = occurrences(&client, "tick").await;
        records
            .iter()
            .any(|record| record.status == TaskStatus::Pending)
    })
    .await;
    gate.add_permits(1);
    for handle in &urgent {
        handle.wait().await.unwrap();
    }
    handle.stop();
    done.await.unwrap().unwrap();
    let order = order.all();
    assert_eq!(order[before..before + 20], ["urgent"; 20], "{order:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_and_a_queue_that_is_not_served_hold_occurrences_back() {
    let ran: Notes<TaskId> = Notes::default();
    let noted = || {
        let ran = ran.clone();
        move |context: TaskContext, _: ()| {
            ran.add(context.id().clone());
            async {}
        }
    };
    let context = program()
        .set("queues", ["default"])
        .task(task("paused").every("20ms").run(noted()))
        .task(task("elsewhere").every("20ms").queue("other").run(noted()))
        .task(task("free").every("20ms").run(noted()))
        .build()
        .await
        .unwrap();
    let (client, store) = (context.client(), Arc::clone(context.store()));
    rule(&store, "task/paused", r#"{"paused": true}"#).await;
    let (handle, done) = run(context);
    let free = |id: &TaskId| id.as_str().starts_with("free@");
    until("ten of the free one ran", async || {
        ran.all().iter().filter(|id| free(id)).count() >= 10
    })
    .await;
    assert!(ran.all().iter().all(free), "{:?}", ran.all());
    for name in ["paused", "elsewhere"] {
        let records = occurrences(&client, name).await;
        assert!(!records.is_empty());
        for record in records {
            assert_eq!((record.status, record.leases), (TaskStatus::Pending, 0));
        }
    }
    rule(&store, "task/paused", "{}").await;
    until("it runs when the pause is over", async || {
        ran.all()
            .iter()
            .any(|id| id.as_str().starts_with("paused@"))
    })
    .await;
    handle.stop_with(tlo::StopBehavior::Ignore);
    done.await.unwrap().unwrap();
}

#[tokio::test]
async fn of_slots_that_replace_each_other_only_the_newest_begins() {
    let ran: Notes<Option<Timestamp>> = Notes::default();
    let clock = ManualClock::shared();
    let noted = ran.clone();
    let context = program()
        .clock(clock.clone())
        .store(Arc::new(MemoryStore::new(
            clock.clone(),
            Arc::new(tlo::IdSource::random()),
        )))
        .task(task("first").run(|_: TaskContext, _: ()| async {}))
        .task(
            task("tick")
                .every("10m")
                .misfire(Misfire::All { max: 10 })
                .overlap(Overlap::Replace)
                .run(move |context: TaskContext, _: ()| {
                    noted.add(context.record().slot);
                    async move { context.cancelled().await }
                }),
        )
        .build()
        .await
        .unwrap();
    let client = context.client();
    let first = client.task("first").submit().await.unwrap();
    let (handle, done) = run(context);
    first.wait().await.unwrap();
    clock.advance(minutes(45));
    until("the slots are decided", async || {
        occurrences(&client, "tick").await.len() == 4
    })
    .await;
    until("the newest runs", async || ran.len() > 0).await;
    let records = occurrences(&client, "tick").await;
    let newest = records.iter().filter_map(|record| record.slot).max();
    assert_eq!(ran.all(), [newest]);
    handle.stop_with(tlo::settings::StopBehavior::Cancel);
    done.await.unwrap().unwrap();
}

/// Which of four schedules of two queues ran, in order, when all came due at the same time and there was one place.
async fn order_of_slots(weights: Option<&str>) -> Vec<&'static str> {
    let ran: Notes<&'static str> = Notes::default();
    let clock = ManualClock::shared();
    let noted = |name: &'static str| {
        let ran = ran.clone();
        move |_: TaskContext, _: ()| {
            ran.add(name);
            async {}
        }
    };
    let store = MemoryStore::new(clock.clone(), Arc::new(tlo::IdSource::random()));
    let probe = ProbeStore::around(Arc::new(store));
    let every = |name: &'static str, queue: &str, priority| {
        let task = task(name).queue(queue).priority(priority);
        task.every("10m").run(noted(name))
    };
    let mut program = program()
        .clock(clock.clone())
        .store(probe.clone())
        .set("concurrency", 1)
        .set("queues", ["first", "second"])
        .task(every("b", "second", 9))
        .task(every("a", "second", 8))
        .task(every("c", "first", 1))
        .task(every("d", "first", 2))
        .task(
            task("warm")
                .queue("first")
                .run(|_: TaskContext, _: ()| async {}),
        );
    if let Some(queue) = weights {
        program = program.set(
            "queue_weights",
            std::collections::BTreeMap::from([(queue, 9)]),
        );
    }
    let context = program.build().await.unwrap();
    let client = context.client();
    let warm = client.task("warm").submit().await.unwrap();
    let (handle, done) = run(context);
    warm.wait().await.unwrap();
    until("the worker has looked for more", async || {
        probe.calls().claim > 1
    })
    .await;
    clock.advance(minutes(10));
    until("all ran", async || ran.len() == 4).await;
    handle.stop();
    done.await.unwrap().unwrap();
    ran.all()
}

#[tokio::test]
async fn when_places_are_short_the_first_queue_begins_first_and_turns_are_left_to_claims() {
    assert_eq!(order_of_slots(None).await, ["d", "c", "b", "a"]);
    let order = order_of_slots(Some("first")).await;
    assert_eq!(order[0], "d", "{order:?}");
}
