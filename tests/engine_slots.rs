//! A free place is used at once, whatever runs in the others.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

mod engine_kit;

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use engine_kit::{Notes, Place, memory, program, until};
use tlo::prelude::*;
use tlo::store::SharedStore;
use tlo::task::AttemptEnd;
use tlo::{Clock, SystemClock};

const SLOW: usize = 100;

/// Keeps threads until it is opened.
#[derive(Default)]
struct Barrier {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Barrier {
    fn wait(&self) {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.opened.wait(open).unwrap();
        }
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

/// From submit to start, of quick tasks one after the other, beside slow ones that take all places but one.
async fn starts(store: SharedStore, slow: Task, quick: &'static str) -> Vec<Duration> {
    let began: Notes<Duration> = Notes::default();
    let (by_future, by_thread) = (began.clone(), began.clone());
    let tlo = program()
        .store(store)
        .set("concurrency", SLOW + 1)
        .set("kill_grace", "50ms")
        .task(slow)
        .task(task("future").run(move |_: TaskContext, _: ()| {
            by_future.add(SystemClock.steady().at);
            async {}
        }))
        .task(task("thread").run(move |_: TaskContext, _: ()| {
            by_thread.add(SystemClock.steady().at);
        }))
        .build()
        .await
        .unwrap();
    let client = tlo.client();
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run());
    let slow: Vec<_> = (0..SLOW).map(|_| client.task("slow")).collect();
    let slow = client.submit_many(slow).await.unwrap();
    for handle in &slow {
        until("a slow one runs", async || {
            handle.status().await.unwrap() == TaskStatus::Running
        })
        .await;
    }
    let mut took = Vec::new();
    for number in 0..40 {
        let begun = SystemClock.steady().at;
        let handle = client.task(quick).submit().await.unwrap();
        engine_kit::within("it ends", handle.wait()).await.unwrap();
        took.push(began.all()[number] - begun);
    }
    took.sort_unstable();
    for handle in &slow {
        handle.cancel("enough").await.unwrap();
    }
    stop.stop();
    running.await.unwrap().unwrap();
    took
}

/// Waits for its token.
fn waiting() -> Task {
    task("slow").run(|context: TaskContext, _: ()| async move { context.cancelled().await })
}

fn say(what: &str, took: &[Duration]) {
    println!(
        "submit to start of a quick task beside {SLOW} slow ones, {what}: median {:?}, at most {:?}",
        took[took.len() / 2],
        took[took.len() - 1]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quick_task_starts_at_once_beside_100_slow_ones() {
    for quick in ["future", "thread"] {
        let took = starts(memory(), waiting(), quick).await;
        say(&format!("memory, {quick}"), &took);
        // The best of them is what TLO takes; a machine with other work to do adds to the rest.
        assert!(took[0] < millis(5), "{took:?}");
    }
    let took = starts(Place::new().open(), waiting(), "future").await;
    say("sqlite, future", &took);
}

/// Slow functions each keep a thread: the quick one must find one more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quick_function_starts_at_once_beside_100_blocked_ones() {
    let barrier = Arc::new(Barrier::default());
    let blocked = Arc::clone(&barrier);
    let slow = task("slow").run(move |_: TaskContext, _: ()| blocked.wait());
    let took = tokio::select! {
        took = starts(memory(), slow, "thread") => Some(took),
        () = SystemClock.sleep(secs(60)) => None,
    };
    barrier.open();
    let took = took.expect("a quick function must not wait behind blocked ones");
    say("memory, functions", &took);
    assert!(took[0] < millis(5), "{took:?}");
}

#[tokio::test]
async fn args_that_do_not_fit_count_as_attempts_and_end_as_a_dead_letter() {
    let mut tlo = TloContext::for_test()
        .task(
            task("t")
                .max_attempts(3)
                .run(|_: TaskContext, _: u32| async {}),
        )
        .task(
            task("sync")
                .max_attempts(1)
                .run(|_: TaskContext, _: u32| {}),
        )
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    let handle = client.task("t").args("seven").submit().await.unwrap();
    let sync = client.task("sync").args("seven").submit().await.unwrap();
    tlo.advance(hours(1)).await.unwrap();
    let record = handle.record().await.unwrap();
    assert_eq!((record.status, record.attempt), (TaskStatus::Failed, 3));
    let ends: Vec<_> = record.attempts.iter().map(|run| run.outcome).collect();
    assert_eq!(ends, [AttemptEnd::Failed; 3]);
    for run in &record.attempts {
        let error = run.error.as_ref().unwrap();
        assert!(
            error.contains("args do not fit") && error.contains("seven"),
            "{error}"
        );
    }
    // It is found with others of its kind, keeps its args, and can be run again when the handler is mended.
    assert!(record.error_group.is_some());
    assert_eq!(record.args.as_str(), "\"seven\"");
    assert_eq!(sync.status().await.unwrap(), TaskStatus::Failed);
    client.revive(handle.id()).await.unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Pending);
}

#[tokio::test]
async fn a_start_deadline_can_be_an_instant() {
    let mut tlo = TloContext::for_test()
        .task(task("t").run(|_: TaskContext, _: ()| async {}))
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    let at = tlo.now().saturating_add(secs(10));
    let late = client.task("t").delay(secs(11)).expires_at(at);
    let late = late.submit().await.unwrap();
    let early = client.task("t").delay(secs(9)).expires_at(at);
    let early = early.submit().await.unwrap();
    tlo.advance(minutes(1)).await.unwrap();
    assert_eq!(early.status().await.unwrap(), TaskStatus::Succeeded);
    let record = late.record().await.unwrap();
    assert_eq!((record.status, record.attempt), (TaskStatus::Cancelled, 0));
}
