//! Signals to a process of its own.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::process::{Child, Command, Stdio};

use engine_kit::{Place, program, record, until};
use tlo::prelude::*;
use tlo::{Clock, SystemClock, TaskHandle};

async fn submit(context: &TloContext, name: &str) -> TaskHandle {
    context.client().task(name).submit().await.unwrap()
}

async fn running(handle: &TaskHandle) {
    until("it runs", async || {
        handle.status().await.unwrap() == TaskStatus::Running
    })
    .await;
}

/// A process of its own for the tests of signals. Alone it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_of_another_test() {
    let Ok(path) = std::env::var("TLO_TEST_PROCESS") else {
        return;
    };
    let context = program()
        .set("task_state_store", format!("sqlite:{path}"))
        .set("drain_timeout", "20s")
        .set("kill_grace", "200ms")
        .task(
            task("polite").run(|context: TaskContext, _: ()| async move {
                context.cancelled().await;
                TaskResult::<()>::Err(context.interrupted())
            }),
        )
        // Ends soon after it was asked for the first time.
        .task(task("short").run(|context: TaskContext, _: ()| async move {
            context.clock().sleep(millis(700)).await;
        }))
        .build()
        .await
        .unwrap();
    // Should the test be killed that stops it, it ends by itself.
    tokio::select! {
        ran = Runner::new(context).run() => ran.unwrap(),
        () = SystemClock.sleep(secs(600)) => {}
    }
}

struct Process(Child);

impl Process {
    fn start(place: &Place) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process_of_another_test"])
            .env("TLO_TEST_PROCESS", place.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.0.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    async fn ends(&mut self) -> std::process::ExitStatus {
        until("the process ends", async || {
            self.0.try_wait().unwrap().is_some()
        })
        .await;
        self.0.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn f09_sigterm_finishes_what_runs_and_a_second_one_hands_it_back() {
    let place = Place::new();
    let store = place.open();
    let submitting = program()
        .store(store.clone())
        .task(task("polite").declare())
        .task(task("short").declare())
        .build()
        .await
        .unwrap();
    let short = submit(&submitting, "short").await;
    let mut process = Process::start(&place);
    running(&short).await;
    process.signal(rustix::process::Signal::TERM);
    assert!(process.ends().await.success());
    assert_eq!(short.status().await.unwrap(), TaskStatus::Succeeded);

    let polite = submit(&submitting, "polite").await;
    let mut process = Process::start(&place);
    running(&polite).await;
    process.signal(rustix::process::Signal::INT);
    process.signal(rustix::process::Signal::TERM);
    assert!(process.ends().await.success());
    let left = record(&*store, polite.id()).await;
    assert_eq!((left.status, left.attempt), (TaskStatus::Pending, 0));
    let counts = submitting.client().stats().await.unwrap().statuses;
    assert_eq!(counts.of("running"), 0, "nothing stays running for ever");
    assert!(store.capability().shared);
}
