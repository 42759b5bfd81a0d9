//! Runs: attempts, back-off, timeouts, panics, results, progress, state, observers, cancels.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine_kit::{Notes, plain_retry};
use tlo::prelude::*;
use tlo::task::{Attempt, AttemptEnd};
use tlo::testing::Harness;

async fn start(task: Task) -> Harness {
    TloContext::for_test().task(task).start().await.unwrap()
}

fn ends(attempts: &[Attempt]) -> Vec<(u32, AttemptEnd)> {
    attempts
        .iter()
        .map(|run| (run.attempt, run.outcome))
        .collect()
}

fn waits(attempts: &[Attempt]) -> Vec<Duration> {
    attempts
        .windows(2)
        .map(|pair| pair[1].started_at.since(pair[0].finished_at))
        .collect()
}

#[tokio::test]
async fn retries_wait_as_the_policy_says_until_the_budget_is_spent() {
    let mut tlo = start(task("bad").max_attempts(5).retry(plain_retry(secs(2))).run(
        |context: TaskContext, _: ()| async move {
            TaskResult::<()>::Err(TaskError::retry(format!("no luck {}", context.attempt())))
        },
    ))
    .await;
    let handle = tlo.client().task("bad").submit().await.unwrap();
    tlo.advance(hours(1)).await.unwrap();
    let record = handle.record().await.unwrap();
    assert_eq!((record.status, record.attempt), (TaskStatus::Failed, 5));
    assert_eq!(
        waits(&record.attempts),
        [secs(2), secs(4), secs(8), secs(16)]
    );
    let errors: Vec<_> = record
        .attempts
        .iter()
        .map(|run| run.error.as_deref())
        .collect();
    assert_eq!(errors[0], Some("no luck 1"));
    assert_eq!(errors[4], Some("no luck 5"));
    assert!(record.finished_at.is_some() && record.started_at.is_some());
    assert!(record.error_group.is_some());
}

#[tokio::test]
async fn fail_cancel_and_snooze_mean_what_they_say() {
    let mut tlo =
        TloContext::for_test()
            .task(task("fails").run(|_: TaskContext, _: ()| async {
                TaskResult::<()>::Err(TaskError::fail("never"))
            }))
            .task(task("cancels").run(|_: TaskContext, _: ()| async {
                TaskResult::<()>::Err(TaskError::cancel("enough"))
            }))
            .task(
                task("snoozes")
                    .max_attempts(1)
                    .run(|context: TaskContext, _: ()| async move {
                        if context.record().leases < 4 {
                            return Err(TaskError::snooze(minutes(1)));
                        }
                        TaskResult::Ok(context.attempt())
                    }),
            )
            .start()
            .await
            .unwrap();
    let failed = tlo.run_inline("fails", &()).await.unwrap();
    assert_eq!((failed.status, failed.attempt), (TaskStatus::Failed, 1));
    let cancelled = tlo.run_inline("cancels", &()).await.unwrap();
    assert_eq!(cancelled.status, TaskStatus::Cancelled);
    assert_eq!(cancelled.error.as_deref(), Some("enough"));
    let snoozed = tlo.run_inline("snoozes", &()).await.unwrap();
    assert_eq!((snoozed.status, snoozed.attempt), (TaskStatus::Pending, 0));
    tlo.advance(minutes(5)).await.unwrap();
    let snoozed = tlo.client().get(&snoozed.id).await.unwrap();
    assert_eq!(
        (snoozed.status, snoozed.attempt, snoozed.leases),
        (TaskStatus::Succeeded, 1, 4)
    );
    assert_eq!(snoozed.result.unwrap().as_str(), "1");
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_and_the_next_task_runs() {
    let mut tlo = TloContext::for_test()
        .task(
            task("bad")
                .max_attempts(2)
                .run(|_: TaskContext, _: ()| async { panic!("oh no") }),
        )
        .task(
            task("sync")
                .max_attempts(1)
                .run(|_: TaskContext, _: ()| panic!("oh dear")),
        )
        .task(task("good").run(|_: TaskContext, _: ()| async {}))
        .set("concurrency", 1)
        .start()
        .await
        .unwrap();
    let bad = tlo.client().task("bad").submit().await.unwrap();
    let sync = tlo.client().task("sync").submit().await.unwrap();
    let good = tlo.client().task("good").submit().await.unwrap();
    tlo.advance(minutes(1)).await.unwrap();
    let bad = bad.record().await.unwrap();
    assert_eq!(
        ends(&bad.attempts),
        [(1, AttemptEnd::Panicked), (2, AttemptEnd::Panicked)]
    );
    assert!(bad.error.unwrap().contains("oh no"));
    assert_eq!(sync.status().await.unwrap(), TaskStatus::Failed);
    assert_eq!(good.status().await.unwrap(), TaskStatus::Succeeded);
}

#[tokio::test]
async fn p16_a_timeout_fails_the_attempt_and_counts() {
    let mut tlo = start(
        task("slow")
            .timeout("1s")
            .max_attempts(2)
            .retry(plain_retry(secs(5)))
            .run(|context: TaskContext, _: ()| async move { context.clock().sleep(secs(3)).await }),
    )
    .await;
    let handle = tlo.client().task("slow").submit().await.unwrap();
    tlo.advance(minutes(1)).await.unwrap();
    let record = handle.record().await.unwrap();
    assert_eq!(
        ends(&record.attempts),
        [(1, AttemptEnd::TimedOut), (2, AttemptEnd::TimedOut)]
    );
    assert_eq!(record.error.as_deref(), Some("timed out after 1s"));
    let ran = record.attempts[0]
        .finished_at
        .since(record.attempts[0].started_at);
    assert!((secs(1)..=millis(1_600)).contains(&ran), "{ran:?}");
}

#[tokio::test]
async fn p18_a_result_without_a_json_form_runs_once_and_says_why() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let mut tlo = start(task("odd").run(move |_: TaskContext, _: ()| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { TaskResult::Ok(std::collections::HashMap::from([(vec![1_u8], 1)])) }
    }))
    .await;
    let record = tlo.run_inline("odd", &()).await.unwrap();
    tlo.advance(hours(1)).await.unwrap();
    assert_eq!(
        (record.status, runs.load(Ordering::SeqCst)),
        (TaskStatus::Failed, 1)
    );
    let error = record.error.unwrap();
    assert!(error.contains("could not be serialised"), "{error}");
}

#[tokio::test]
async fn args_that_do_not_fit_are_an_error_that_names_them() {
    let mut tlo = start(
        task("t")
            .max_attempts(1)
            .run(|_: TaskContext, _: u32| async {}),
    )
    .await;
    let record = tlo.run_inline("t", "seven").await.unwrap();
    assert_eq!(record.status, TaskStatus::Failed);
    let error = record.error.unwrap();
    assert!(error.contains("args do not fit"), "{error}");
}

#[tokio::test]
async fn a_huge_history_keeps_the_first_and_the_last_runs() {
    let mut tlo = start(
        task("t")
            .max_attempts(50)
            .retry(RetryPolicy::fixed(secs(1)))
            .run(|_: TaskContext, _: ()| async {
                TaskResult::<()>::Err(TaskError::retry("é".repeat(20_000)))
            }),
    )
    .await;
    let handle = tlo.client().task("t").submit().await.unwrap();
    tlo.advance(minutes(2)).await.unwrap();
    let record = handle.record().await.unwrap();
    assert_eq!((record.status, record.attempt), (TaskStatus::Failed, 50));
    assert_eq!(record.attempts.len(), 21);
    let numbers: Vec<_> = record.attempts.iter().map(|run| run.attempt).collect();
    assert_eq!((numbers[0], numbers[1], numbers[20]), (1, 31, 50));
    assert!(
        record
            .attempts
            .iter()
            .all(|run| run.error.as_ref().unwrap().len() <= 16 * 1024)
    );
}

#[tokio::test]
async fn progress_is_written_with_the_renewals_and_at_the_end() {
    let mut tlo = start(task("t").run(|context: TaskContext, _: ()| async move {
        for done in 1..=5 {
            context.progress(done)?;
            context.clock().sleep(secs(11)).await;
        }
        context.progress("all")?;
        TaskResult::Ok(())
    }))
    .await;
    let handle = tlo.client().task("t").submit().await.unwrap();
    tlo.advance(secs(10)).await.unwrap();
    assert_eq!(
        handle.record().await.unwrap().progress.unwrap().as_str(),
        "1"
    );
    // A renewal that fails keeps the report for the next.
    tlo.advance(secs(9)).await.unwrap();
    tlo.store().fail_next(1);
    tlo.advance(secs(1)).await.unwrap();
    assert_eq!(
        handle.record().await.unwrap().progress.unwrap().as_str(),
        "1"
    );
    tlo.advance(secs(2)).await.unwrap();
    tlo.advance(secs(8)).await.unwrap();
    assert_eq!(
        handle.record().await.unwrap().progress.unwrap().as_str(),
        "3"
    );
    tlo.advance(minutes(1)).await.unwrap();
    let record = handle.record().await.unwrap();
    assert_eq!(
        (record.status, record.progress.unwrap().as_str()),
        (TaskStatus::Succeeded, "\"all\"")
    );
}

#[tokio::test]
async fn handlers_share_state_and_reach_the_client() {
    struct Greeting(&'static str);
    let mut tlo = TloContext::for_test()
        .state(Greeting("hello"))
        .task(
            task("greet").run(|context: TaskContext, name: String| async move {
                let greeting = context.get::<Greeting>()?;
                context
                    .client()
                    .task("log")
                    .args(&format!("{} {name}", greeting.0))
                    .submit()
                    .await?;
                TaskResult::Ok(())
            }),
        )
        .task(
            task("log")
                .run(|_: TaskContext, line: String| async move { TaskResult::Ok(line.len()) }),
        )
        .start()
        .await
        .unwrap();
    tlo.assert_not_submitted("log");
    let record = tlo.run_inline("greet", "ada").await.unwrap();
    assert_eq!(record.status, TaskStatus::Succeeded);
    tlo.assert_submitted("log", "hello ada");
    assert_eq!(tlo.started("log"), 1);
}

#[tokio::test]
async fn observers_are_told_everything_in_order_and_cannot_hurt() {
    let heard = Notes::default();
    let noted = heard.clone();
    let mut tlo = TloContext::for_test()
        .with(|builder| {
            builder
                .observer(|_: &Lifecycle| panic!("a bad observer"))
                .observer(move |event: &Lifecycle| noted.add(event.kind()))
        })
        .task(
            task("t")
                .max_attempts(2)
                .run(|context: TaskContext, _: ()| async move {
                    if context.attempt() == 1 {
                        Err(TaskError::retry("once"))
                    } else {
                        Ok(())
                    }
                }),
        )
        .start()
        .await
        .unwrap();
    tlo.client().task("t").submit().await.unwrap();
    tlo.advance(minutes(1)).await.unwrap();
    assert_eq!(
        heard.all(),
        ["submitted", "started", "retrying", "started", "succeeded"]
    );
}

fn until_cancelled(name: &str) -> Task {
    task(name).run(|context: TaskContext, _: ()| async move {
        context.cancelled().await;
        TaskResult::<()>::Err(context.interrupted())
    })
}

#[tokio::test]
async fn a_cancel_reaches_the_running_handler_at_once() {
    let mut tlo = start(until_cancelled("t")).await;
    let handle = tlo.client().task("t").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Running);
    handle.cancel("enough").await.unwrap();
    // No time passes.
    tlo.run_until_idle().await.unwrap();
    let record = handle.record().await.unwrap();
    assert_eq!(record.status, TaskStatus::Cancelled);
    assert_eq!(ends(&record.attempts), [(1, AttemptEnd::Cancelled)]);
}

#[tokio::test]
async fn a_cancelled_handler_that_succeeds_anyway_has_succeeded() {
    let mut tlo = start(task("t").run(|context: TaskContext, _: ()| async move {
        context.cancelled().await;
        TaskResult::Ok("done")
    }))
    .await;
    let handle = tlo.client().task("t").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    handle.cancel("enough").await.unwrap();
    tlo.run_until_idle().await.unwrap();
    assert_eq!(handle.result::<String>().await.unwrap(), "done");
}

#[tokio::test]
async fn a_cancelled_handler_that_does_not_listen_is_left_behind_after_its_grace() {
    let mut tlo = TloContext::for_test()
        .set("kill_grace", "5s")
        .task(task("deaf").run(|_: TaskContext, _: ()| std::future::pending::<()>()))
        .task(task("tidy").run(|context: TaskContext, _: ()| async move {
            context.need_grace(minutes(1));
            context.cancelled().await;
            context.clock().sleep(secs(40)).await;
            TaskResult::<()>::Err(context.interrupted())
        }))
        .task(task("late").run(|context: TaskContext, _: ()| async move {
            context.cancelled().await;
            context.need_grace(secs(30));
            std::future::pending::<()>().await;
        }))
        .start()
        .await
        .unwrap();
    let late = tlo.client().task("late").submit().await.unwrap();
    let deaf = tlo.client().task("deaf").submit().await.unwrap();
    let tidy = tlo.client().task("tidy").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    deaf.cancel("enough").await.unwrap();
    tidy.cancel("enough").await.unwrap();
    late.cancel("enough").await.unwrap();
    tlo.advance(millis(4_999)).await.unwrap();
    assert_eq!(deaf.status().await.unwrap(), TaskStatus::Running);
    tlo.advance(millis(1)).await.unwrap();
    assert_eq!(deaf.status().await.unwrap(), TaskStatus::Cancelled);
    // What was asked for after the cancel counts from the cancel, too.
    tlo.advance(millis(24_999)).await.unwrap();
    assert_eq!(late.status().await.unwrap(), TaskStatus::Running);
    tlo.advance(millis(1)).await.unwrap();
    assert_eq!(late.status().await.unwrap(), TaskStatus::Cancelled);
    tlo.advance(secs(9)).await.unwrap();
    assert_eq!(tidy.status().await.unwrap(), TaskStatus::Running);
    tlo.advance(secs(2)).await.unwrap();
    assert_eq!(tidy.status().await.unwrap(), TaskStatus::Cancelled);
}

#[tokio::test]
async fn a_cancel_in_the_last_moment_is_told_as_what_it_became() {
    let heard = Notes::default();
    let noted = heard.clone();
    // The handler cancels its own task and then asks for another try.
    let mut tlo = TloContext::for_test()
        .with(|builder| builder.observer(move |event: &Lifecycle| noted.add(event.kind())))
        .task(task("t").run(|context: TaskContext, _: ()| async move {
            context.client().cancel(context.id(), "enough").await?;
            TaskResult::<()>::Err(TaskError::retry("once more"))
        }))
        .start()
        .await
        .unwrap();
    let record = tlo.run_inline("t", &()).await.unwrap();
    assert_eq!(record.status, TaskStatus::Cancelled);
    assert_eq!(
        heard.all(),
        ["submitted", "started", "steered", "cancelled"]
    );
}

#[tokio::test]
async fn a_waiting_task_is_cancelled_at_once_and_a_revived_one_has_a_fresh_budget() {
    let mut tlo = start(
        task("t")
            .max_attempts(1)
            .run(|context: TaskContext, _: ()| async move {
                if context.record().leases == 1 {
                    Err(TaskError::retry("once"))
                } else {
                    Ok(())
                }
            }),
    )
    .await;
    let later = tlo
        .client()
        .task("t")
        .delay(hours(1))
        .submit()
        .await
        .unwrap();
    later.cancel("not today").await.unwrap();
    assert_eq!(later.status().await.unwrap(), TaskStatus::Cancelled);
    assert_eq!(
        later.cancel("again").await.unwrap_err().kind(),
        tlo::ErrorKind::Conflict
    );
    let failed = tlo.run_inline("t", &()).await.unwrap();
    assert_eq!(failed.status, TaskStatus::Failed);
    tlo.client().revive(&failed.id).await.unwrap();
    tlo.run_until_idle().await.unwrap();
    let revived = tlo.client().get(&failed.id).await.unwrap();
    assert_eq!(revived.status, TaskStatus::Succeeded);
    assert_eq!(revived.attempts.len(), 2);
}

#[tokio::test]
async fn an_expired_task_is_cancelled_instead_of_started() {
    let mut tlo = start(task("t").run(|_: TaskContext, _: ()| async {})).await;
    let handle = tlo
        .client()
        .task("t")
        .delay(minutes(2))
        .expires_in(minutes(1))
        .submit()
        .await
        .unwrap();
    tlo.advance(minutes(3)).await.unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Cancelled);
    assert_eq!(tlo.started("t"), 0);
}
