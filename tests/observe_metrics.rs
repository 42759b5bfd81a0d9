//! `observe::Metrics`: what a recorder of the `metrics` facade hears, with bounded labels.
#![cfg(all(feature = "metrics", feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;
mod metrics_kit;

use std::time::Duration;

use engine_kit::{on_each_store, plain_retry};
use metrics_kit::Kept;
use tlo::TaskId;
use tlo::observe::Metrics;
use tlo::prelude::*;
use tlo::schedule::Misfire;
use tlo::store::{ClaimRequest, Lanes, TaskStateStore};
use tlo::task::UniqueScope;
use tlo::testing::{Harness, HarnessBuilder};

fn program(metrics: &Metrics) -> HarnessBuilder {
    let flaky = task("flaky")
        .max_attempts(2)
        .retry(plain_retry(secs(60)))
        .run(|context: TaskContext, _: ()| async move {
            context.clock().sleep(secs(3)).await;
            TaskResult::<()>::Err(TaskError::retry("no luck"))
        });
    let nap = task("nap").run(|context: TaskContext, _: ()| async move {
        match context.record().attempts.len() {
            0 => TaskResult::<()>::Err(TaskError::snooze(minutes(5))),
            _ => Err(TaskError::cancel("enough")),
        }
    });
    let observer = metrics.clone();
    TloContext::for_test()
        .with(move |builder| builder.observer(observer.clone()))
        .task(flaky)
        .task(nap)
        .task(task("good").run(|_: TaskContext, _: ()| async {}))
        .task(
            task("tick")
                .cron("*/10 * * * *")
                .misfire(Misfire::Skip)
                .run(|_: TaskContext, _: ()| async {}),
        )
}

async fn sample(metrics: &Metrics, tlo: &Harness) {
    let store: &dyn TaskStateStore = &**tlo.store();
    metrics.sample(store, tlo.now()).await.unwrap();
}

#[tokio::test]
async fn what_happens_is_counted_once_and_timed() {
    let kept = Kept::default();
    let _here = metrics::set_default_local_recorder(&kept);
    let metrics = Metrics::default();
    assert!(kept.described().contains(&"tlo_run_seconds".to_owned()));
    for (mut tlo, _place) in on_each_store(|| program(&metrics)).await {
        let before = |key: &str| kept.of(key).unwrap_or(0.0);
        let keys = [
            (
                "tlo_tasks_submitted_total{queue=\"default\",name=\"flaky\"}",
                1.0,
            ),
            (
                "tlo_tasks_submitted_total{queue=\"default\",name=\"good\"}",
                2.0,
            ),
            (
                "tlo_tasks_deduplicated_total{queue=\"default\",name=\"good\"}",
                1.0,
            ),
            (
                "tlo_runs_started_total{queue=\"default\",name=\"flaky\"}",
                2.0,
            ),
            (
                "tlo_runs_ended_total{queue=\"default\",name=\"flaky\",outcome=\"retried\"}",
                1.0,
            ),
            (
                "tlo_runs_ended_total{queue=\"default\",name=\"flaky\",outcome=\"failed\"}",
                1.0,
            ),
            (
                "tlo_runs_ended_total{queue=\"default\",name=\"nap\",outcome=\"snoozed\"}",
                1.0,
            ),
            (
                "tlo_runs_ended_total{queue=\"default\",name=\"nap\",outcome=\"cancelled\"}",
                1.0,
            ),
            (
                "tlo_runs_ended_total{queue=\"default\",name=\"good\",outcome=\"lost\"}",
                1.0,
            ),
            (
                "tlo_runs_ended_total{queue=\"default\",name=\"good\",outcome=\"succeeded\"}",
                2.0,
            ),
            ("tlo_slots_total{name=\"tick\",outcome=\"fired\"}", 1.0),
            ("tlo_slots_total{name=\"tick\",outcome=\"skipped\"}", 6.0),
        ];
        let was: Vec<f64> = keys.iter().map(|(key, _)| before(key)).collect();
        let client = tlo.client();
        // One of them is lost by a worker that never says a word again.
        client.task("good").submit().await.unwrap();
        let request = ClaimRequest {
            worker: tlo::WorkerId::new("dead").unwrap(),
            lanes: Lanes::new(["default"], ["good"]),
            limit: 1,
            ttl: secs(30),
        };
        assert_eq!(tlo.store().claim(request).await.unwrap().tasks.len(), 1);
        for _ in 0..2 {
            let good = client
                .task("good")
                .unique("k", UniqueScope::WhileUnfinished);
            good.submit().await.unwrap();
        }
        client.task("flaky").submit().await.unwrap();
        client.task("nap").submit().await.unwrap();
        tlo.advance(minutes(9)).await.unwrap();
        // Nothing of the program runs for an hour, and then for a slot.
        tlo.clock().advance(minutes(54));
        tlo.restart().await.unwrap();
        tlo.run_until_idle().await.unwrap();
        tlo.advance(minutes(8)).await.unwrap();
        for ((key, grown), was) in keys.iter().zip(was) {
            assert_eq!(before(key) - was, *grown, "{key} of {:?}", kept.keys());
        }
        let key = "tlo_run_seconds{queue=\"default\",name=\"flaky\",outcome=\"failed\"}";
        let took = kept.all(key);
        assert!(
            took.last().is_some_and(|took| (3.0..3.1).contains(took)),
            "{took:?}"
        );
        let waits = kept.all("tlo_wait_seconds{queue=\"default\",name=\"flaky\"}");
        assert!(waits.iter().all(|wait| *wait < 1.0), "{waits:?}");
    }
}

#[tokio::test]
async fn gauges_are_those_of_the_store_and_go_back_to_nothing() {
    for (place, mut tlo) in [0, 1].into_iter().zip(both().await) {
        let kept = Kept::default();
        let _here = metrics::set_default_local_recorder(&kept);
        let metrics = Metrics::default();
        let client = tlo.0.client();
        let mut ids: Vec<TaskId> = Vec::new();
        for delay in [Duration::ZERO, Duration::ZERO, hours(1)] {
            let mail = client
                .task("mail")
                .queue("mail")
                .delay(delay)
                .allow_unknown();
            ids.push(mail.submit().await.unwrap().id().clone());
        }
        tlo.0.clock().advance(secs(40));
        sample(&metrics, &tlo.0).await;
        let gauge = |name: &str| kept.of(&format!("{name}{{queue=\"mail\"}}"));
        assert_eq!(gauge("tlo_tasks_waiting"), Some(3.0), "store {place}");
        assert_eq!(gauge("tlo_tasks_running"), Some(0.0));
        assert_eq!(gauge("tlo_oldest_ready_seconds"), Some(40.0));
        for id in &ids {
            client.delete(id).await.unwrap();
        }
        sample(&metrics, &tlo.0).await;
        assert_eq!(gauge("tlo_tasks_waiting"), Some(0.0));
        assert_eq!(gauge("tlo_oldest_ready_seconds"), Some(0.0));
        tlo.0.run_until_idle().await.unwrap();
    }
}

async fn both() -> Vec<(Harness, engine_kit::Place)> {
    on_each_store(TloContext::for_test).await
}

#[tokio::test]
async fn labels_are_bounded() {
    let kept = Kept::default();
    let _here = metrics::set_default_local_recorder(&kept);
    let metrics = Metrics::with_labels(2);
    let observer = metrics.clone();
    let tlo = TloContext::for_test().with(move |builder| builder.observer(observer.clone()));
    let tlo = tlo.start().await.unwrap();
    for name in 0..100 {
        let task = tlo.client().task(format!("n{name}")).allow_unknown();
        task.submit().await.unwrap();
    }
    let label =
        |name: &str| format!("tlo_tasks_submitted_total{{queue=\"default\",name=\"{name}\"}}");
    assert_eq!(kept.keys(), [label("n0"), label("n1"), label("other")]);
    assert_eq!(kept.of(&label("other")), Some(98.0));
}
