//! Handlers that do not end when they are asked to: their places are free again, what they still do is not recorded, and
//! they are counted.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::sync::{Arc, mpsc};

use engine_kit::{Notes, memory, program, until, within};
use parking_lot::Mutex;
use tlo::prelude::*;
use tlo::task::AttemptEnd;
use tlo::worker::{Heartbeat, Runs, Stop, Worker};
use tlo::{Client, TaskHandle};
use tokio::sync::watch;

/// A worker with one place, and what it tells.
struct Alone {
    client: Client,
    runs: Runs,
    told: Notes<(&'static str, String)>,
    stop: watch::Sender<Stop>,
    running: tokio::task::JoinHandle<tlo::Result<()>>,
    _heartbeat: Heartbeat,
}

impl Alone {
    async fn with(task_of_test: impl Into<Task>) -> Self {
        let told = Notes::default();
        let noted = told.clone();
        let tlo = program()
            .store(memory())
            .set("concurrency", 1)
            .set("kill_grace", "50ms")
            .set("lease", "300ms")
            .observer(move |event: &Lifecycle| match event {
                Lifecycle::LeftBehind { record, why } => {
                    noted.add((why.as_str(), record.id.to_string()));
                }
                Lifecycle::Cancelled { record, .. } => noted.add(("ended", record.id.to_string())),
                Lifecycle::Failed { record, .. } => noted.add(("failed", record.id.to_string())),
                _ => {}
            })
            .task(task_of_test)
            .task(task("quick").run(|_: TaskContext, _: ()| async {}))
            .build()
            .await
            .unwrap();
        let worker = Worker::new(tlo.worker_parts().unwrap());
        let (stop, stopping) = watch::channel(Stop::No);
        Self {
            client: tlo.client(),
            runs: worker.runs(),
            told,
            _heartbeat: worker.heartbeat().unwrap(),
            running: tokio::spawn(worker.run(stopping)),
            stop,
        }
    }

    async fn start(&self, begun: &Notes<()>) -> TaskHandle {
        let handle = self.client.task("deaf").submit().await.unwrap();
        until("it runs", async || begun.len() == 1).await;
        handle
    }

    /// The only place is free although the handler goes on.
    async fn goes_on(&self) {
        let quick = self.client.task("quick").submit().await.unwrap();
        let done = within("another task ends", quick.wait()).await.unwrap();
        assert_eq!(done.status, TaskStatus::Succeeded);
    }

    async fn end(self) {
        self.stop.send(Stop::Drain).unwrap();
        within("the worker stops", self.running)
            .await
            .unwrap()
            .unwrap();
    }
}

/// Blocks until the test lets it go on, and says a last word.
fn deaf_thread(
    begun: &Notes<()>,
    wait: mpsc::Receiver<()>,
) -> impl Fn(TaskContext, ()) -> TaskResult<&'static str> + use<> {
    let begun = begun.clone();
    let wait = Arc::new(Mutex::new(wait));
    move |context: TaskContext, (): ()| {
        begun.add(());
        wait.lock().recv().unwrap();
        context.log("a last word");
        context.progress("more than half")?;
        Ok("late")
    }
}

async fn nothing_late_is_recorded(alone: &Alone, handle: &TaskHandle, status: TaskStatus) {
    let record = handle.record().await.unwrap();
    assert_eq!(record.status, status);
    assert_eq!((record.result, record.progress), (None, None));
    assert_eq!(record.attempts.len(), 1);
    let log = alone.client.log(handle.id(), 1).await.unwrap();
    assert!(log.is_empty(), "{log:?}");
}

#[tokio::test]
async fn a_function_that_ignores_its_token_is_left_behind_and_counted_until_it_returns() {
    let (begun, (go_on, wait)) = (Notes::default(), mpsc::channel());
    let alone = Alone::with(task("deaf").run(deaf_thread(&begun, wait))).await;
    let handle = alone.start(&begun).await;
    assert_eq!((alone.runs.left_behind(), alone.runs.stuck()), (0, 0));
    handle.cancel("enough").await.unwrap();
    within("its run ends", handle.wait()).await.unwrap();
    alone.goes_on().await;
    assert_eq!((alone.runs.left_behind(), alone.runs.stuck()), (1, 1));
    let id = handle.id().to_string();
    assert_eq!(alone.told.all(), [("cancelled", id.clone()), ("ended", id)]);
    go_on.send(()).unwrap();
    until("it has come back", async || alone.runs.stuck() == 0).await;
    nothing_late_is_recorded(&alone, &handle, TaskStatus::Cancelled).await;
    assert_eq!(alone.runs.left_behind(), 1);
    alone.end().await;
}

#[tokio::test]
async fn a_function_that_outlives_its_timeout_is_left_behind() {
    let (begun, (go_on, wait)) = (Notes::default(), mpsc::channel());
    let task = task("deaf").timeout("50ms").max_attempts(1);
    let alone = Alone::with(task.run(deaf_thread(&begun, wait))).await;
    let handle = alone.start(&begun).await;
    let ended = within("its run ends", handle.wait()).await.unwrap();
    assert_eq!(ended.attempts[0].outcome, AttemptEnd::TimedOut);
    alone.goes_on().await;
    assert_eq!((alone.runs.left_behind(), alone.runs.stuck()), (1, 1));
    let id = handle.id().to_string();
    assert_eq!(
        alone.told.all(),
        [("timed out", id.clone()), ("failed", id)]
    );
    go_on.send(()).unwrap();
    until("it has come back", async || alone.runs.stuck() == 0).await;
    nothing_late_is_recorded(&alone, &handle, TaskStatus::Failed).await;
    alone.end().await;
}

#[tokio::test]
async fn a_future_that_ignores_its_token_is_dropped() {
    struct Dropped(Notes<()>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.add(());
        }
    }
    let (begun, dropped) = (Notes::default(), Notes::default());
    let (beginning, noted) = (begun.clone(), dropped.clone());
    let alone = Alone::with(task("deaf").run(move |_: TaskContext, _: ()| {
        let guard = Dropped(noted.clone());
        beginning.add(());
        async move {
            std::future::pending::<()>().await;
            drop(guard);
        }
    }))
    .await;
    let handle = alone.start(&begun).await;
    handle.cancel("enough").await.unwrap();
    within("its run ends", handle.wait()).await.unwrap();
    alone.goes_on().await;
    // Nothing of it is left.
    assert_eq!((alone.runs.left_behind(), alone.runs.stuck()), (1, 0));
    until("it is dropped", async || dropped.len() == 1).await;
    alone.end().await;
}

/// It can neither be dropped nor be told: it never waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_future_that_blocks_its_thread_is_given_up() {
    let (begun, (go_on, wait)) = (Notes::default(), mpsc::channel());
    let blocks = deaf_thread(&begun, wait);
    let alone = Alone::with(task("deaf").run(move |context: TaskContext, args: ()| {
        let said = blocks(context, args);
        async move { said }
    }))
    .await;
    let handle = alone.start(&begun).await;
    handle.cancel("enough").await.unwrap();
    within("its run ends", handle.wait()).await.unwrap();
    alone.goes_on().await;
    assert_eq!((alone.runs.left_behind(), alone.runs.stuck()), (1, 1));
    let id = handle.id().to_string();
    assert_eq!(alone.told.all(), [("cancelled", id.clone()), ("ended", id)]);
    go_on.send(()).unwrap();
    // Its late end frees nothing a second time.
    until("it has come back", async || alone.runs.stuck() == 0).await;
    nothing_late_is_recorded(&alone, &handle, TaskStatus::Cancelled).await;
    assert_eq!(alone.told.len(), 2);
    alone.goes_on().await;
    alone.end().await;
}

#[tokio::test]
async fn a_function_hears_of_a_stop_that_hands_back_at_once() {
    let (begun, heard) = (Notes::default(), Notes::default());
    let (begins, hears) = (begun.clone(), heard.clone());
    let function = move |context: TaskContext, (): ()| {
        begins.add(());
        for _ in 0..10_000 {
            if context.is_cancelled() {
                hears.add(());
                break;
            }
            std::thread::park_timeout(millis(1));
        }
    };
    let alone = Alone::with(task("deaf").run(function)).await;
    let handle = alone.start(&begun).await;
    alone.stop.send(Stop::Release).unwrap();
    until("it hears of it", async || heard.len() == 1).await;
    let stopped = within("the worker stops", alone.running).await;
    stopped.unwrap().unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Pending);
}
