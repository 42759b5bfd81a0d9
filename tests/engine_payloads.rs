//! What a run leaves is bounded as what it is given is.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test may fail here")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tlo::ErrorKind;
use tlo::prelude::*;

#[tokio::test]
async fn a_result_above_the_limit_is_a_recorded_failure_and_is_not_tried_again() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let say = task("say")
        .max_attempts(5)
        .run(move |_: TaskContext, length: usize| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move { TaskResult::Ok("x".repeat(length)) }
        });
    let mut tlo = TloContext::for_test()
        .task(say)
        .set("payload_limit", 100)
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    let fits = client.task("say").args(&98).submit().await.unwrap();
    let large = client.task("say").args(&99).submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    assert_eq!(fits.result::<String>().await.unwrap().len(), 98);
    let record = large.record().await.unwrap();
    assert_eq!(record.status, TaskStatus::Failed);
    let error = record.error.clone().unwrap();
    assert!(
        error.contains("101 bytes") && error.contains("100"),
        "{error}"
    );
    assert_eq!(record.result, None);
    assert_eq!(record.attempts.len(), 1);
    assert!(record.error_group.is_some());
    assert_eq!(runs.load(Ordering::SeqCst), 2);
    let told = large.result::<String>().await.unwrap_err();
    assert_eq!(told.kind(), ErrorKind::TaskFailed);
}

#[tokio::test]
async fn a_report_above_the_limit_is_an_error_of_the_caller() {
    let report = task("report").run(|context: TaskContext, _: ()| async move {
        let error = context.progress("x".repeat(200)).unwrap_err();
        context.progress("short")?;
        TaskResult::Ok(error.kind().as_str())
    });
    let mut tlo = TloContext::for_test()
        .task(report)
        .set("payload_limit", 100)
        .start()
        .await
        .unwrap();
    let handle = tlo.client().task("report").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    assert_eq!(handle.result::<String>().await.unwrap(), "too large");
}

#[cfg(all(unix, feature = "command"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_said_more_than_the_limit_succeeds_with_less_of_it() {
    use tlo::handler::builtin::CommandHandler;
    for limit in [20, 300] {
        let tlo = TloContext::builder()
            .settings(tlo::settings::SettingsSource::empty())
            .set("payload_limit", limit)
            .task(task("say").run(CommandHandler::shell("yes | head -c 5000")))
            .build()
            .await
            .unwrap();
        let client = tlo.client();
        let runner = tokio::spawn(Runner::new(tlo).run());
        let handle = client.task("say").submit().await.unwrap();
        let result: serde_json::Value = handle.result().await.unwrap();
        assert!(result.to_string().len() <= limit);
        assert_eq!(result.is_null(), limit == 20);
        runner.abort();
    }
}
