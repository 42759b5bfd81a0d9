//! SQLite: pushed one by one by many callers at the durability that `setup` leaves, then run with batch and concurrency 100.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apalis::prelude::*;
use apalis_sqlite::{Config, SqlitePool, SqliteStorage};
use tokio::sync::Notify;

use crate::{Email, cpu, email};

struct Counter {
    left: AtomicUsize,
    done: Notify,
}

async fn handle(_: Email, counter: Data<Arc<Counter>>) -> Result<(), BoxDynError> {
    if counter.left.fetch_sub(1, Ordering::AcqRel) == 1 {
        counter.done.notify_one();
    }
    Ok(())
}

pub async fn run(file: &str, tasks: usize, callers: usize) -> serde_json::Value {
    let pool = SqlitePool::connect(&format!("sqlite://{file}?mode=rwc")).await.expect("connect");
    SqliteStorage::setup(&pool).await.expect("setup");
    let config = Config::default().queue("bench").batch_size(100);
    let storage: SqliteStorage<Email> = SqliteStorage::new(&pool).with_config(config);
    let counter = Arc::new(Counter { left: AtomicUsize::new(tasks), done: Notify::new() });
    let (cpu_before, started) = (cpu(), Instant::now());
    let next = Arc::new(AtomicUsize::new(0));
    let calling: Vec<_> = (0..callers)
        .map(|_| {
            let (mut storage, next) = (storage.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= tasks {
                        return;
                    }
                    // Its writers collide; a caller that wants its task stored tries again.
                    while storage.push(email(number as u64)).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            })
        })
        .collect();
    for call in calling {
        call.await.expect("caller");
    }
    let submitted = started.elapsed();
    let worker =
        WorkerBuilder::new("bench").backend(storage).concurrency(100).data(Arc::clone(&counter)).build(handle);
    let working = tokio::spawn(worker.run());
    counter.done.notified().await;
    let all = started.elapsed();
    let cpu = cpu() - cpu_before;
    working.abort();
    serde_json::json!({
        "system": "apalis-sqlite 1.0", "submit": format!("single, {callers} callers"), "payload": "about 100 bytes",
        "durability": "WAL, as its setup leaves it", "tasks": tasks,
        "in_per_s": tasks as f64 / submitted.as_secs_f64(), "out_per_s": tasks as f64 / (all - submitted).as_secs_f64(),
        "whole_per_s": tasks as f64 / all.as_secs_f64(), "us_cpu": cpu.as_secs_f64() * 1e6 / tasks as f64,
    })
}
