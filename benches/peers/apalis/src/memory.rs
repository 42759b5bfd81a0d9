//! The queue in memory: filled by one caller, then run, 64 at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use apalis::prelude::*;
use tokio::sync::Notify;

use crate::{Email, cpu, email};

struct Counter {
    left: AtomicUsize,
    done: Notify,
}

async fn handle(_: Email, counter: Data<Arc<Counter>>) {
    if counter.left.fetch_sub(1, Ordering::AcqRel) == 1 {
        counter.done.notify_one();
    }
}

pub async fn run(tasks: usize) -> serde_json::Value {
    let counter = Arc::new(Counter { left: AtomicUsize::new(tasks), done: Notify::new() });
    let mut storage = MemoryStorage::new();
    let (cpu_before, started) = (cpu(), Instant::now());
    for number in 0..tasks {
        storage.push(email(number as u64)).await.expect("push");
    }
    let submitted = started.elapsed();
    let worker = WorkerBuilder::new("bench").backend(storage).concurrency(64).data(Arc::clone(&counter)).build(handle);
    let working = tokio::spawn(worker.run());
    counter.done.notified().await;
    let all = started.elapsed();
    let cpu = cpu() - cpu_before;
    working.abort();
    serde_json::json!({
        "system": "apalis-memory 1.0", "submit": "single, one caller", "payload": "about 100 bytes, never serialised", "records": false,
        "tasks": tasks, "us_submit": submitted.as_secs_f64() * 1e6 / tasks as f64, "us_whole": all.as_secs_f64() * 1e6 / tasks as f64,
        "us_cpu": cpu.as_secs_f64() * 1e6 / tasks as f64,
    })
}
