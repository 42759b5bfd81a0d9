//! A run of a schedule that somebody asks for obeys its rule of overlapping.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use engine_kit::on_each_store;
use tlo::prelude::*;
use tlo::testing::HarnessBuilder;

fn program() -> HarnessBuilder {
    // Nobody ends it but a cancel.
    let report = task("report").every("2m").overlap(Overlap::Replace).run(
        |context: TaskContext, _: ()| async move {
            context.cancelled().await;
            TaskResult::<()>::Err(context.interrupted())
        },
    );
    TloContext::for_test().task(report)
}

#[tokio::test]
async fn it_replaces_the_unfinished_runs_where_slots_do() {
    for (mut tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        let submitted = client.task("report").submit().await.unwrap();
        tlo.advance(minutes(2)).await.unwrap();
        let slot: tlo::TaskId = "report@2026-01-05T00:02:00Z".parse().unwrap();
        assert_eq!(client.get(&slot).await.unwrap().status, TaskStatus::Running);

        let first = client.run_schedule("report", None).await.unwrap();
        assert!(first.is_new());
        tlo.run_until_idle().await.unwrap();
        let replaced = client.get(&slot).await.unwrap();
        assert_eq!(replaced.status, TaskStatus::Cancelled);
        assert_eq!(first.status().await.unwrap(), TaskStatus::Running);

        // And itself by the next one.
        tlo.advance(secs(1)).await.unwrap();
        let second = client.run_schedule("report", None).await.unwrap();
        tlo.run_until_idle().await.unwrap();
        assert_eq!(first.status().await.unwrap(), TaskStatus::Cancelled);
        assert_eq!(second.status().await.unwrap(), TaskStatus::Running);
        // What was submitted by its name belongs to whoever submitted it.
        assert_eq!(submitted.status().await.unwrap(), TaskStatus::Running);
        assert_eq!(client.audit(None, 10).await.unwrap().len(), 2);

        // And a slot replaces a run that was asked for.
        tlo.advance(minutes(2)).await.unwrap();
        assert_eq!(second.status().await.unwrap(), TaskStatus::Cancelled);
    }
}
