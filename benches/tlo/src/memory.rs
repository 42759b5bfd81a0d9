//! The store in memory: filled by one caller, then run by a runner; every record is kept in full.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tlo::prelude::*;
use tlo::store::{Commit, Create, Op};
use tokio::sync::Notify;

use crate::measure::{Email, cpu, email, program};

/// Tasks of one bulk submit.
const BULK: usize = 1000;

/// The second of two rounds: the first one finds the memory.
pub async fn run(tasks: usize, submit: &str) -> serde_json::Value {
    round(tasks, submit).await;
    round(tasks, submit).await
}

async fn round(tasks: usize, submit: &str) -> serde_json::Value {
    let left = Arc::new((AtomicUsize::new(tasks), Notify::new()));
    let counter = Arc::clone(&left);
    let handler = move |_: TaskContext, _: Email| {
        let counter = Arc::clone(&counter);
        async move {
            if counter.0.fetch_sub(1, Ordering::AcqRel) == 1 {
                counter.1.notify_one();
            }
        }
    };
    let context = program()
        .set("task_state_store", "memory")
        .set("concurrency", 64)
        .task(task("bench").run(handler))
        .build()
        .await
        .expect("context");
    let client = context.client();
    let (cpu_before, started) = (cpu(), Instant::now());
    if submit == "single" {
        for number in 0..tasks {
            client.task("bench").args(&email(number as u64)).submit().await.expect("submit");
        }
    } else {
        let def = context.registry().get("bench").await.expect("registry").expect("definition");
        for first in (0..tasks).step_by(BULK) {
            let now = context.clock().now();
            let create = |number: usize| {
                let args = Payload::of(&email(number as u64)).expect("payload");
                let task = def.submission(context.ids().task_id(now), args).expect("task");
                Commit::of([Op::Create(Box::new(Create { task, lease_to: None }))])
            };
            let commits = (first..tasks.min(first + BULK)).map(create).collect();
            for committed in client.store().commit(commits).await.expect("commit") {
                committed.expect("committed");
            }
        }
    }
    let submitted = started.elapsed();
    let runner = Runner::new(context);
    let handle = runner.handle();
    let working = tokio::spawn(runner.run_until(std::future::pending()));
    left.1.notified().await;
    // The last handler was called; the figure ends when its record says so.
    loop {
        let unfinished = tlo::store::TaskFilter::status([TaskStatus::Pending, TaskStatus::Running]);
        let open = client.store().count(&unfinished, tlo::store::CountBy::All, 0).await.expect("count");
        if open.total() == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    let all = started.elapsed();
    let cpu = cpu() - cpu_before;
    handle.stop();
    working.await.expect("runner").expect("stopped");
    serde_json::json!({
        "system": "tlo memory", "submit": submit, "payload": "about 100 bytes of JSON, decoded by the handler", "records": true,
        "tasks": tasks, "us_submit": submitted.as_secs_f64() * 1e6 / tasks as f64, "us_whole": all.as_secs_f64() * 1e6 / tasks as f64,
        "us_cpu": cpu.as_secs_f64() * 1e6 / tasks as f64,
    })
}
