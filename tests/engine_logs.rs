//! What runs say: written while they run and with their end, kept within limits, fenced.
#![cfg(all(feature = "testing", feature = "sqlite", feature = "log-capture"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::sync::Arc;
use std::sync::mpsc;

use engine_kit::{Place, memory, plain_retry, program, until};
use parking_lot::Mutex;
use tlo::TaskId;
use tlo::handler::TaskContextBuilder;
use tlo::observe::CaptureLogs;
use tlo::prelude::*;
use tlo::store::{SharedStore, StreamId, TaskStateStore};
use tlo::task::{LineLevel, LogLine};
use tracing_subscriber::layer::SubscriberExt;

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

#[tokio::test]
async fn each_attempt_has_a_log_of_its_own() {
    let mut tlo = TloContext::for_test()
        .task(task("t").max_attempts(3).retry(plain_retry(secs(1))).run(
            |context: TaskContext, _: ()| async move {
                let attempt = context.attempt();
                context.log(format!("attempt {attempt} begins"));
                if attempt < 3 {
                    context.log_at(LineLevel::Error, "no luck\nagain");
                    return Err(TaskError::retry("no luck"));
                }
                Ok(())
            },
        ))
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    let handle = client.task("t").submit().await.unwrap();
    tlo.advance(minutes(1)).await.unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Succeeded);
    let second = client.log(handle.id(), 2).await.unwrap();
    assert_eq!(texts(&second), ["attempt 2 begins", "no luck\nagain"]);
    assert_eq!(
        (second[0].level, second[1].level),
        (LineLevel::Info, LineLevel::Error)
    );
    assert_eq!(
        second[0].at,
        handle.record().await.unwrap().attempts[1].started_at
    );
    assert_eq!(
        texts(&client.log(handle.id(), 3).await.unwrap()),
        ["attempt 3 begins"]
    );
    assert!(client.log(handle.id(), 4).await.unwrap().is_empty());
    // A log goes with its task.
    client.delete(handle.id()).await.unwrap();
    assert!(client.log(handle.id(), 2).await.unwrap().is_empty());
}

async fn lines_are_written_while_it_runs(store: SharedStore) {
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = Arc::new(Mutex::new(wait));
    let tlo = program()
        .store(store)
        .task(task("t").run(move |context: TaskContext, _: ()| {
            for number in 0..3 {
                context.log(format!("line {number}"));
                wait.lock().recv().unwrap();
            }
        }))
        .build()
        .await
        .unwrap();
    let client = tlo.client();
    let handle = client.task("t").submit().await.unwrap();
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run());
    // The lease of 30 s is renewed after 10: this is not its doing.
    for number in 0..3 {
        until("the line is there", async || {
            client.log(handle.id(), 1).await.unwrap().len() > number
        })
        .await;
        assert_eq!(handle.status().await.unwrap(), TaskStatus::Running);
        go_on.send(()).unwrap();
    }
    handle.wait().await.unwrap();
    let lines = client.log(handle.id(), 1).await.unwrap();
    assert_eq!(texts(&lines), ["line 0", "line 1", "line 2"]);
    stop.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn lines_are_written_within_a_second_or_so_on_memory() {
    lines_are_written_while_it_runs(memory()).await;
}

#[tokio::test]
async fn lines_are_written_within_a_second_or_so_on_sqlite() {
    lines_are_written_while_it_runs(Place::new().open()).await;
}

#[tokio::test]
async fn a_run_keeps_256_kib_and_says_what_it_dropped() {
    let mut tlo = TloContext::for_test()
        .task(task("t").run(|context: TaskContext, _: ()| async move {
            for number in 0..1_000 {
                context.log(format!("{number:04} {}", "x".repeat(995)));
            }
        }))
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    let handle = client.task("t").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Succeeded);
    let lines = client.log(handle.id(), 1).await.unwrap();
    let bytes: usize = lines.iter().map(|line| line.text.len()).sum();
    assert!((200 * 1024..=257 * 1024).contains(&bytes), "{bytes}");
    let kept = lines.len() - 2;
    assert!(lines[kept].text.contains("the log of this run is full"));
    let dropped = 1_000 - kept;
    let said = format!("dropped: lines {dropped}, bytes {}", dropped * 1_000);
    assert_eq!(lines[kept + 1].text, said);
}

#[tokio::test]
async fn a_stale_run_adds_nothing_to_the_log() {
    let clock = tlo::testing::ManualClock::shared();
    let store = Arc::new(tlo::MemoryStore::new(
        clock.clone(),
        Arc::new(tlo::IdSource::random()),
    ));
    let context = async || {
        program()
            .clock(clock.clone())
            .store(store.clone())
            .task(task("t").run(|context: TaskContext, _: ()| async move {
                context.log(format!("lease {}", context.fence()));
                context.cancelled().await;
                context.log("a word from the grave");
                Err::<(), _>(context.interrupted())
            }))
            .build()
            .await
            .unwrap()
    };
    let first = context().await;
    let client = first.client();
    let handle = client.task("t").submit().await.unwrap();
    let mut old = tlo::worker::Worker::new(first.worker_parts().unwrap());
    old.step(true).await;
    tokio::task::yield_now().await;
    // It is not heard of for longer than its lease; another takes over.
    clock.advance(secs(31));
    let second = context().await;
    let mut new = tlo::worker::Worker::new(second.worker_parts().unwrap());
    until("the second one has it", async || {
        new.step(true).await;
        clock.advance(millis(300));
        new.running() == 1
    })
    .await;
    tokio::task::yield_now().await;
    assert!(old.renew().await && new.renew().await);
    tokio::task::yield_now().await;
    old.step(false).await;
    let lines = client.log(handle.id(), 1).await.unwrap();
    let second = client.log(handle.id(), 2).await.unwrap();
    assert_eq!(texts(&lines), [] as [&str; 0]);
    assert_eq!(texts(&second), ["lease 2"]);
}

#[tokio::test]
async fn lines_wait_for_a_store_that_is_away_and_arrive_once() {
    let mut tlo = TloContext::for_test()
        .task(task("t").run(|context: TaskContext, _: ()| async move {
            for number in 0..4 {
                context.log(format!("line {number}"));
                context.clock().sleep(secs(10)).await;
            }
        }))
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    let handle = client.task("t").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    // Renewals at 10 s and 20 s: one does not arrive, of the other the answer is lost.
    tlo.store().be_away(true);
    tlo.advance(secs(10)).await.unwrap();
    tlo.store().be_away(false);
    tlo.store().lose_next_answers(1);
    tlo.advance(minutes(2)).await.unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Succeeded);
    let lines = client.log(handle.id(), 1).await.unwrap();
    assert_eq!(texts(&lines), ["line 0", "line 1", "line 2", "line 3"]);
}

#[tokio::test]
async fn an_attempt_that_snoozes_for_ever_keeps_its_latest_lines() {
    let mut tlo = TloContext::for_test()
        .task(task("t").run(|context: TaskContext, _: ()| async move {
            let turn = context.record().leases;
            context.log(format!("turn {turn}"));
            if turn < 6_000 {
                return Err(TaskError::snooze(millis(1)));
            }
            Ok(())
        }))
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    let handle = client.task("t").submit().await.unwrap();
    tlo.advance(secs(10)).await.unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Succeeded);
    let lines = client.log(handle.id(), 1).await.unwrap();
    assert!((4_096..=5_200).contains(&lines.len()), "{}", lines.len());
    assert_eq!(lines.last().unwrap().text, "turn 6000");
}

#[tokio::test]
async fn an_attempt_that_snoozes_for_ever_keeps_about_a_mebibyte() {
    // Written with the end of a turn, and with a renewal of its lease before.
    for pause in [0_u64, 15] {
        let mut tlo = TloContext::for_test()
            .task(
                task("t").run(move |context: TaskContext, _: ()| async move {
                    let turn = context.record().leases;
                    for line in 0..turn % 7 * 30 {
                        context.log(format!("turn {turn} {line} {}", "x".repeat(1_000)));
                    }
                    context.log(format!("turn {turn}"));
                    context.clock().sleep(secs(pause)).await;
                    match turn {
                        50 => Ok(()),
                        _ => Err(TaskError::snooze(millis(1))),
                    }
                }),
            )
            .start()
            .await
            .unwrap();
        let client = tlo.client();
        let handle = client.task("t").submit().await.unwrap();
        tlo.advance(minutes(40)).await.unwrap();
        assert_eq!(handle.status().await.unwrap(), TaskStatus::Succeeded);
        let lines = client.log(handle.id(), 1).await.unwrap();
        let bytes: usize = lines.iter().map(|line| line.text.len()).sum();
        // All turns said four times as much.
        assert!((800_000..=1_700_000).contains(&bytes), "{pause}: {bytes}");
        assert_eq!(lines.last().unwrap().text, "turn 50");
    }
}

#[tokio::test]
async fn what_handlers_say_with_tracing_is_in_the_log_of_their_run() {
    let subscriber = tracing_subscriber::registry().with(CaptureLogs::default());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tracing::info!("outside of any run");
    let tlo = program()
        .store(memory())
        .task(task("async").run(|_: TaskContext, _: ()| async {
            tracing::info!(rows = 7, name = "x", "imported");
            tracing::debug!("not important enough");
            let inside = tracing::info_span!("a span of its own");
            let spawned = async { tracing::warn!("spawned") };
            tokio::spawn(tracing::Instrument::instrument(spawned, inside))
                .await
                .unwrap();
        }))
        .task(task("sync").run(|context: TaskContext, _: ()| {
            tracing::error!(code = 3, "from a thread");
            context.log("and this");
        }))
        .build()
        .await
        .unwrap();
    let client = tlo.client();
    let by_future = client.task("async").submit().await.unwrap();
    let by_thread = client.task("sync").submit().await.unwrap();
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run());
    by_future.wait().await.unwrap();
    by_thread.wait().await.unwrap();
    stop.stop();
    running.await.unwrap().unwrap();
    let lines = client.log(by_future.id(), 1).await.unwrap();
    assert_eq!(texts(&lines), ["imported rows=7 name=\"x\"", "spawned"]);
    assert_eq!(lines[1].level, LineLevel::Warn);
    let lines = client.log(by_thread.id(), 1).await.unwrap();
    assert_eq!(texts(&lines), ["from a thread code=3", "and this"]);
    assert_eq!(lines[0].level, LineLevel::Error);
}

#[tokio::test]
async fn a_run_that_says_nothing_writes_nothing_and_a_test_sees_what_is_said() {
    let mut tlo = TloContext::for_test()
        .task(task("t").run(|_: TaskContext, _: ()| async {}))
        .start()
        .await
        .unwrap();
    let handle = tlo.client().task("t").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    let stream = StreamId::new(handle.id().as_str(), "log/1").unwrap();
    let events = tlo.store().events(&stream, 0, 10).await.unwrap();
    assert!(events.is_empty());
    assert!(
        tlo.client()
            .log(&TaskId::new("nobody").unwrap(), 1)
            .await
            .unwrap()
            .is_empty()
    );
    let context = TaskContextBuilder::new("t").build();
    context.log("hello");
    assert_eq!(texts(&context.logged()), ["hello"]);
}

#[tokio::test]
async fn many_short_lines_change_nothing_about_a_run() {
    let mut tlo = TloContext::for_test()
        .task(task("t").run(|context: TaskContext, wait: u64| async move {
            for number in 0..25_000 {
                context.log(format!("{:10}", number % 2 * wait));
            }
            context.clock().sleep(secs(wait)).await;
        }))
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    // Written with the end of the run, and with a renewal of its lease.
    for wait in [0_u64, 15] {
        let handle = client.task("t").args(&wait).submit().await.unwrap();
        tlo.advance(minutes(1)).await.unwrap();
        let done = handle.record().await.unwrap();
        assert_eq!((done.status, done.leases), (TaskStatus::Succeeded, 1));
        assert!(client.log(handle.id(), 1).await.unwrap().len() > 2_000);
    }
}
