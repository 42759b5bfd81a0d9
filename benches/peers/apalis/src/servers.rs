//! Redis and PostgreSQL: pushed in bulks of a thousand, or one by one by many callers, then run.

use std::time::{Duration, Instant};

use apalis::prelude::*;
use apalis_postgres::{PgPool, PostgresStorage};
use apalis_redis::RedisStorage;

use crate::push::{Counter, handle, push};
use crate::{Email, cpu};

fn line(system: &str, tasks: usize, callers: usize, batch: usize, submitted: Duration, all: Duration, cpu: Duration) -> serde_json::Value {
    let rate = |time: Duration| tasks as f64 / time.as_secs_f64();
    serde_json::json!({
        "system": system, "submit": if callers == 0 { "bulk of 1000".to_owned() } else { format!("single, {callers} callers") },
        "payload": "about 100 bytes", "tasks": tasks, "batch": batch,
        "in_per_s": rate(submitted), "out_per_s": rate(all - submitted), "whole_per_s": rate(all),
        "us_cpu": cpu.as_secs_f64() * 1e6 / tasks as f64,
    })
}

/// `callers` of 0 means bulks; `batch` is what is fetched and run at once.
pub async fn redis(url: &str, tasks: usize, callers: usize, batch: usize) -> serde_json::Value {
    let connection = apalis_redis::connect(url).await.expect("connect");
    let mut config = apalis_redis::Config::default().queue("bench");
    config.batch_size = batch;
    let storage: RedisStorage<Email> = RedisStorage::new(connection).with_config(config);
    let counter = Counter::new(tasks);
    let (cpu_before, started) = (cpu(), Instant::now());
    push(&storage, tasks, callers).await;
    let submitted = started.elapsed();
    let worker = WorkerBuilder::new("bench").backend(storage).concurrency(batch).data(counter.clone()).build(handle);
    let working = tokio::spawn(worker.run());
    counter.done.notified().await;
    let all = started.elapsed();
    working.abort();
    line("apalis-redis 1.0", tasks, callers, batch, submitted, all, cpu() - cpu_before)
}

pub async fn postgres(url: &str, tasks: usize, callers: usize, batch: usize) -> serde_json::Value {
    let pool = PgPool::connect(url).await.expect("connect");
    PostgresStorage::setup(&pool).await.expect("setup");
    let config = apalis_postgres::Config::default().queue("bench").batch_size(batch);
    let storage: PostgresStorage<Email> = PostgresStorage::new(&pool).with_config(config);
    let counter = Counter::new(tasks);
    let (cpu_before, started) = (cpu(), Instant::now());
    push(&storage, tasks, callers).await;
    let submitted = started.elapsed();
    let worker = WorkerBuilder::new("bench").backend(storage).concurrency(batch).data(counter.clone()).build(handle);
    let working = tokio::spawn(worker.run());
    counter.done.notified().await;
    let all = started.elapsed();
    working.abort();
    line("apalis-postgres 1.0", tasks, callers, batch, submitted, all, cpu() - cpu_before)
}
