//! Steering tasks: one by one and many at once, with an audit event for each act. On memory and on SQLite.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::sync::Arc;

use engine_kit::{Notes, on_each_store};
use tlo::client::{BulkReport, TaskAction};
use tlo::prelude::*;
use tlo::store::{Maintain, Retention, TaskFilter, TaskStateStore};
use tlo::task::{Due, UniqueScope};
use tlo::testing::{Harness, HarnessBuilder};
use tlo::{ErrorKind, TaskId};

/// `good` succeeds, `bad` fails with a number in its error.
fn program() -> HarnessBuilder {
    let bad = task("bad")
        .max_attempts(1)
        .run(|_: TaskContext, n: u32| async move {
            TaskResult::<()>::Err(TaskError::retry(format!("row {n} is locked")))
        });
    TloContext::for_test()
        .task(task("good").run(|_: TaskContext, _: ()| async {}))
        .task(bad)
}

async fn submit(tlo: &Harness, name: &str, count: usize) -> Vec<TaskId> {
    let mut ids = Vec::new();
    for n in 0..count {
        let submit = match name {
            "bad" => tlo.client().task(name).args(&n),
            _ => tlo.client().task(name),
        };
        ids.push(submit.submit().await.unwrap().id().clone());
    }
    ids
}

async fn status(tlo: &Harness, id: &TaskId) -> TaskStatus {
    tlo.client().get(id).await.unwrap().status
}

async fn count(tlo: &Harness, filter: TaskFilter) -> u64 {
    let counts = tlo.client().count(&filter, tlo::store::CountBy::All).await;
    counts.unwrap().total()
}

#[tokio::test]
async fn every_verb_for_one_task_says_who_what_and_why() {
    for (mut tlo, _place) in on_each_store(program).await {
        let ada = tlo.client().acting_as("ada");
        let ids = submit(&tlo, "good", 4).await;
        ada.cancel(&ids[0], "not today").await.unwrap();
        ada.revive(&ids[0]).await.unwrap();
        ada.move_to(&ids[1], "slow").await.unwrap();
        ada.reprioritise(&ids[1], 200).await.unwrap();
        ada.reschedule(&ids[1], Due::In(hours(1))).await.unwrap();
        ada.delete(&ids[2]).await.unwrap();

        let moved = ada.get(&ids[1]).await.unwrap();
        assert_eq!((&*moved.queue, moved.priority), ("slow", 200));
        assert_eq!(moved.run_at, tlo.now().saturating_add(hours(1)));
        let gone = ada.get(&ids[2]).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);

        let audit = ada.audit(None, 100).await.unwrap();
        let told: Vec<_> = audit
            .iter()
            .rev()
            .map(|event| (event.action.as_str(), event.data.target.as_str()))
            .collect();
        let wanted = [
            ("cancel", ids[0].as_str()),
            ("revive", ids[0].as_str()),
            ("move", ids[1].as_str()),
            ("reprioritise", ids[1].as_str()),
            ("reschedule", ids[1].as_str()),
            ("purge", ids[2].as_str()),
        ];
        assert_eq!(told, wanted);
        assert!(
            audit
                .iter()
                .all(|event| event.data.who.as_deref() == Some("ada"))
        );
        assert_eq!(audit[5].data.why.as_deref(), Some("not today"));
        assert_eq!(audit[3].data.to.as_deref(), Some("slow"));

        // What is refused is not in it.
        tlo.run_until_idle().await.unwrap();
        for refused in [
            ada.cancel(&ids[3], "too late").await,
            ada.revive(&ids[3]).await,
            ada.move_to(&ids[3], "slow").await,
        ] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
        }
        assert_eq!(ada.audit(None, 100).await.unwrap(), audit);
        // Pages go back in time.
        let older = ada.audit(Some(audit[1].number), 2).await.unwrap();
        assert_eq!(older, audit[2..4]);
    }
}

/// Upkeep comes with what happens.
async fn upkeep(tlo: &mut Harness) {
    let later = tlo.client().task("good").delay(minutes(1));
    later.submit().await.unwrap();
    tlo.advance(minutes(2)).await.unwrap();
}

#[tokio::test]
async fn audit_events_go_after_ninety_days() {
    for (mut tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        let ids = submit(&tlo, "good", 1).await;
        client.cancel(&ids[0], "old").await.unwrap();
        tlo.clock().advance(hours(24 * 60));
        let id = client
            .task("good")
            .delay(hours(24 * 365))
            .submit()
            .await
            .unwrap();
        client.cancel(id.id(), "young").await.unwrap();
        tlo.clock().advance(hours(24 * 29));
        upkeep(&mut tlo).await;
        assert_eq!(client.audit(None, 10).await.unwrap().len(), 2);
        tlo.clock().advance(hours(24 * 2));
        upkeep(&mut tlo).await;
        let left = client.audit(None, 10).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].data.why.as_deref(), Some("young"));
        assert_eq!(left[0].number, 2, "numbers stay");
    }
}

#[tokio::test]
async fn a_bulk_of_one_step_is_one_commit_and_leaves_no_record() {
    for (tlo, _place) in on_each_store(program).await {
        let client = tlo.client().acting_as("ada");
        submit(&tlo, "good", 30).await;
        submit(&tlo, "bad", 5).await;
        let bulk = client.bulk(TaskAction::Cancel, TaskFilter::name("good"));
        assert_eq!(bulk.count().await.unwrap(), 30);
        let report = bulk.why("the wrong file").run().await.unwrap();
        let wanted = BulkReport {
            done: 30,
            ..BulkReport::default()
        };
        assert_eq!(report, wanted);
        assert_eq!(
            count(&tlo, TaskFilter::status([TaskStatus::Cancelled])).await,
            30
        );
        assert_eq!(count(&tlo, TaskFilter::default()).await, 35);
        let audit = client.audit(None, 10).await.unwrap();
        assert_eq!(audit.len(), 1);
        assert_eq!(audit[0].action, "cancel");
        assert_eq!(audit[0].data.target, "tasks with name \"good\"");
        assert_eq!(audit[0].data.count, Some(30));
        assert_eq!(audit[0].data.who.as_deref(), Some("ada"));
        // Nothing matches any more: nothing is done and nothing is noted.
        let again = client.bulk(TaskAction::Cancel, TaskFilter::name("good"));
        assert_eq!(again.run().await.unwrap(), BulkReport::default());
        assert_eq!(client.audit(None, 10).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_long_bulk_is_a_record_with_progress() {
    for (mut tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        submit(&tlo, "bad", 1_200).await;
        tlo.run_until_idle().await.unwrap();
        let seen: Notes<u64> = Notes::default();
        let notes = seen.clone();
        let report = client
            .bulk(
                TaskAction::Revive(Due::In(hours(1))),
                TaskFilter::name("bad"),
            )
            .why("the lock is gone")
            .on_progress(move |so_far| notes.add(so_far.done))
            .run()
            .await
            .unwrap();
        assert_eq!(
            (report.done, report.refused, report.stopped),
            (1_200, 0, false)
        );
        assert_eq!(seen.all(), [500, 1_000, 1_200]);
        let run = client.get(&report.run.clone().unwrap()).await.unwrap();
        assert_eq!(
            (&*run.name, run.status),
            ("tlo.bulk", TaskStatus::Succeeded)
        );
        let result: serde_json::Value = run.result.unwrap().decode().unwrap();
        assert_eq!(result["done"], 1_200);
        let audit = client.audit(None, 10).await.unwrap();
        let actions: Vec<_> = audit.iter().map(|event| event.action.as_str()).collect();
        assert_eq!(actions, ["revive", "revive begun"]);
        assert_eq!(audit[0].data.count, Some(1_200));
        assert_eq!(audit[0].data.run, report.run);
        assert_eq!(
            count(&tlo, TaskFilter::status([TaskStatus::Pending])).await,
            1_200
        );
    }
}

#[tokio::test]
async fn a_throttled_bulk_takes_its_time_and_can_be_stopped() {
    for (mut tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        submit(&tlo, "bad", 50).await;
        tlo.run_until_idle().await.unwrap();
        let begun = tlo.now();
        let bulk = client.bulk(
            TaskAction::Revive(Due::In(hours(9))),
            TaskFilter::name("bad"),
        );
        let running = tokio::spawn(bulk.rate(10).run());
        let open = TaskFilter {
            name: Some("tlo.bulk".to_owned()),
            ..TaskFilter::status([TaskStatus::Running])
        };
        let waiting = TaskFilter::status([TaskStatus::Pending]);
        for step in 1..=3 {
            engine_kit::until("a step is done", async || {
                count(&tlo, waiting.clone()).await == step * 10
            })
            .await;
            engine_kit::until("it sleeps", async || tlo.clock().sleepers() > 0).await;
            assert_eq!(count(&tlo, open.clone()).await, 1);
            assert_eq!(tlo.now(), begun.saturating_add(secs(step - 1)));
            if step == 3 {
                let runs = client
                    .list(&open, tlo::PageRequest::default())
                    .await
                    .unwrap();
                let run = &runs.items[0].record;
                let progress: serde_json::Value = run.progress.as_ref().unwrap().decode().unwrap();
                assert_eq!(progress["done"], 30);
                client.cancel(&run.id, "enough").await.unwrap();
            }
            tlo.clock().advance(secs(1));
        }
        let report = running.await.unwrap().unwrap();
        assert_eq!((report.done, report.stopped), (40, true));
        let run = client.get(&report.run.unwrap()).await.unwrap();
        assert_eq!(run.status, TaskStatus::Cancelled);
        tlo.run_until_idle().await.unwrap();
        assert_eq!(
            count(&tlo, TaskFilter::status([TaskStatus::Failed])).await,
            10
        );
    }
}

#[tokio::test]
async fn a_bulk_whose_process_dies_ends_as_failed_with_what_it_did() {
    for (mut tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        submit(&tlo, "bad", 50).await;
        tlo.run_until_idle().await.unwrap();
        let bulk = client.bulk(TaskAction::Delete, TaskFilter::name("bad"));
        let running = tokio::spawn(bulk.rate(10).run());
        engine_kit::until("a step is done", async || {
            count(&tlo, TaskFilter::name("bad")).await == 40
        })
        .await;
        engine_kit::until("it sleeps", async || tlo.clock().sleepers() > 0).await;
        running.abort();
        let _ = running.await;
        tlo.advance(minutes(2)).await.unwrap();
        let filter = TaskFilter::name("tlo.bulk");
        let runs = client.list(&filter, tlo::PageRequest::default());
        let run = runs.await.unwrap().items.remove(0).record;
        assert_eq!(run.status, TaskStatus::Failed);
        let progress: serde_json::Value = run.progress.unwrap().decode().unwrap();
        assert_eq!(progress["done"], 10);
        let audit = client.audit(None, 10).await.unwrap();
        assert_eq!(audit.len(), 1);
        assert_eq!(audit[0].action, "purge begun");
        // Nobody can go on with it, so it is not revived with what else has failed.
        let bulk = client
            .bulk(TaskAction::Revive(Due::Now), TaskFilter::default())
            .all();
        assert_eq!(bulk.run().await.unwrap().done, 40);
        assert_eq!(status(&tlo, &run.id).await, TaskStatus::Failed);
    }
}

#[tokio::test]
async fn what_refuses_is_counted_and_named_and_the_others_are_done() {
    for (mut tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        let submitter = tlo.client();
        let keyed = |n: u32| {
            let submit = submitter.task("bad").args(&n);
            submit.unique("the one", UniqueScope::WhileUnfinished)
        };
        let first = keyed(1).submit().await.unwrap();
        tlo.run_until_idle().await.unwrap();
        let others = submit(&tlo, "bad", 3).await;
        tlo.run_until_idle().await.unwrap();
        let owner = keyed(2).delay(hours(1)).submit().await.unwrap();
        let report = client
            .bulk(
                TaskAction::Revive(Due::In(hours(2))),
                TaskFilter::name("bad"),
            )
            .run()
            .await
            .unwrap();
        assert_eq!((report.done, report.refused), (3, 1));
        assert_eq!(report.refusals[0].id, *first.id());
        assert!(
            report.refusals[0].why.contains(owner.id().as_str()),
            "{report:?}"
        );
        for id in &others {
            assert_eq!(status(&tlo, id).await, TaskStatus::Pending);
        }
        assert_eq!(status(&tlo, first.id()).await, TaskStatus::Failed);
        assert_eq!(
            client.audit(None, 1).await.unwrap()[0].data.refused,
            Some(1)
        );
    }
}

#[tokio::test]
async fn errors_of_one_group_are_revived_together() {
    for (mut tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        let ids = submit(&tlo, "bad", 3).await;
        let other = client.task("bad").args("text").submit().await.unwrap();
        tlo.run_until_idle().await.unwrap();
        let filter = TaskFilter {
            error_group: Some("row # is locked".to_owned()),
            ..TaskFilter::default()
        };
        let report = client
            .bulk(TaskAction::Revive(Due::Now), filter)
            .run()
            .await
            .unwrap();
        assert_eq!(report.done, 3);
        assert_eq!(status(&tlo, other.id()).await, TaskStatus::Failed);
        tlo.run_until_idle().await.unwrap();
        let record = client.get(&ids[0]).await.unwrap();
        assert_eq!(
            (record.status, record.attempts.len()),
            (TaskStatus::Failed, 2)
        );
    }
}

#[tokio::test]
async fn nothing_is_done_to_everything_by_accident() {
    let (tlo, _place) = on_each_store(program).await.remove(0);
    let client = tlo.client();
    submit(&tlo, "good", 3).await;
    for action in [
        TaskAction::Cancel,
        TaskAction::Revive(Due::Now),
        TaskAction::Move("slow".to_owned()),
        TaskAction::Reprioritise(9),
        TaskAction::Reschedule(Due::Now),
        TaskAction::Delete,
    ] {
        let bulk = client.bulk(action, TaskFilter::default());
        assert_eq!(bulk.count().await.unwrap_err().kind(), ErrorKind::Invalid);
        let error = bulk.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("the filter is empty"), "{error}");
    }
    let every = TaskFilter {
        id_prefix: Some(String::new()),
        ..TaskFilter::default()
    };
    let error = client.bulk(TaskAction::Cancel, every).run().await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Invalid);
    let wrong = TaskFilter::status([TaskStatus::Succeeded]);
    let error = client
        .bulk(TaskAction::Cancel, wrong)
        .run()
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "succeeded tasks are not there to cancel; it is for pending and running ones"
    );
    // A lock is no task, and neither is the record of a run.
    let lock = client.lock("mine").await.unwrap().unwrap();
    let running = TaskFilter::status([TaskStatus::Running]);
    let bulk = client.bulk(TaskAction::Cancel, running.clone());
    assert_eq!(bulk.count().await.unwrap(), 0);
    let report = bulk.run().await.unwrap();
    assert_eq!((report.done, report.refused), (0, 0));
    let held = client
        .list(&running, tlo::PageRequest::first(1))
        .await
        .unwrap();
    let held = held.items[0].record.id.clone();
    client.cancel(&held, "").await.unwrap();
    let error = client.revive(&held).await.unwrap_err();
    assert!(error.to_string().contains("nobody could go on"), "{error}");
    lock.release().await.unwrap();
    // What waits is deleted only when the filter says so.
    let all = client.bulk(TaskAction::Delete, TaskFilter::default()).all();
    assert_eq!(all.run().await.unwrap().done, 0);
    let waiting = TaskFilter::status([TaskStatus::Pending]);
    assert_eq!(
        client
            .bulk(TaskAction::Delete, waiting)
            .run()
            .await
            .unwrap()
            .done,
        3
    );
}

#[tokio::test]
async fn waiting_tasks_are_moved_reprioritised_and_rescheduled_together() {
    for (mut tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        let ids = submit(&tlo, "good", 3).await;
        let all = TaskFilter::name("good");
        for action in [
            TaskAction::Move("slow".to_owned()),
            TaskAction::Reprioritise(77),
            TaskAction::Reschedule(Due::In(hours(3))),
        ] {
            assert_eq!(
                client.bulk(action, all.clone()).run().await.unwrap().done,
                3
            );
        }
        let record = client.get(&ids[2]).await.unwrap();
        assert_eq!((&*record.queue, record.priority), ("slow", 77));
        assert_eq!(record.run_at, tlo.now().saturating_add(hours(3)));
        tlo.advance(minutes(1)).await.unwrap();
    }
}

#[tokio::test]
async fn a_running_task_that_is_cancelled_with_others_is_asked_to_stop() {
    let started = Arc::new(tokio::sync::Notify::new());
    let shared = Arc::clone(&started);
    let builder =
        TloContext::for_test().task(task("long").run(move |context: TaskContext, (): ()| {
            let started = Arc::clone(&shared);
            async move {
                started.notify_one();
                context.cancelled().await;
                TaskResult::<()>::Err(TaskError::cancel("as asked"))
            }
        }));
    let mut tlo = builder.start().await.unwrap();
    let handle = tlo.client().task("long").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    started.notified().await;
    let bulk = tlo
        .client()
        .bulk(TaskAction::Cancel, TaskFilter::default())
        .all();
    assert_eq!(bulk.why("enough").run().await.unwrap().done, 1);
    tlo.run_until_idle().await.unwrap();
    let record = handle.record().await.unwrap();
    assert_eq!(record.status, TaskStatus::Cancelled);
    assert_eq!(record.error.as_deref(), Some("enough"));
}

#[tokio::test]
async fn retention_leaves_the_audit_alone() {
    let (tlo, _place) = on_each_store(program).await.remove(0);
    let id = submit(&tlo, "good", 1).await.remove(0);
    tlo.client().cancel(&id, "gone").await.unwrap();
    let retention = Retention {
        age: None,
        count: Some(0),
    };
    let request = Maintain {
        retention,
        limit: 100,
    };
    assert_eq!(tlo.store().maintain(request).await.unwrap().removed, 1);
    assert_eq!(tlo.client().audit(None, 10).await.unwrap().len(), 1);
}
