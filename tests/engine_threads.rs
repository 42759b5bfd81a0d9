//! A handler that keeps its thread holds up nothing that another thread could do.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::sync::{Arc, mpsc};

use engine_kit::{Notes, memory, program, until};
use parking_lot::Mutex;
use tlo::prelude::*;

/// Which of two threads takes up what is chance.
const ROUNDS: usize = 100;

/// Batches of tasks, one of which keeps one of two threads; all others end meanwhile, and so does one that comes later.
async fn others_end(first: &'static str, others: usize) {
    let (go_on, wait) = mpsc::channel::<()>();
    let (wait, begun) = (Arc::new(Mutex::new(wait)), Notes::default());
    let noted = begun.clone();
    let tlo = program()
        .store(memory())
        .set("concurrency", 16)
        .task(task("busy").run(move |_: TaskContext, _: ()| {
            let (wait, noted) = (Arc::clone(&wait), noted.clone());
            async move {
                noted.add(());
                let _ = wait.lock().recv();
            }
        }))
        .task(task("waits").run(|_: TaskContext, _: ()| tokio::task::yield_now()))
        .task(task("quick").run(|_: TaskContext, _: ()| async {}))
        .build()
        .await
        .unwrap();
    let client = tlo.client();
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run_until(std::future::pending()));
    for round in 1..=ROUNDS {
        let names = (0..others).map(|_| first).chain(["busy"]);
        let names = names.chain((0..others).map(|_| "quick"));
        let batch = names.map(|name| client.task(name));
        let handles = client.submit_many(batch).await.unwrap();
        until("it keeps its thread", async || begun.len() == round).await;
        let later = client.task("quick").submit().await.unwrap();
        for handle in handles.iter().chain([&later]) {
            if handle.record().await.unwrap().name.as_ref() != "busy" {
                until("another ends", async || {
                    handle.status().await.unwrap() == TaskStatus::Succeeded
                })
                .await;
            }
        }
        go_on.send(()).unwrap();
    }
    stop.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_not_begun_begins_on_another_thread() {
    others_end("quick", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_begun_goes_on_on_another_thread() {
    others_end("waits", 1).await;
}
