//! graphile_worker 0.14 doing what TLO's own figures do on PostgreSQL; prints one JSON line.
//!
//! `peer-graphile-worker URL TASKS CALLERS CONCURRENCY LOCAL_QUEUE`: `CALLERS` of 0 means bulks of a thousand, `LOCAL_QUEUE` of
//! 0 means that there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use graphile_worker::{IntoTaskHandlerResult, JobSpec, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions};
use tokio::sync::Notify;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tasks of one bulk.
const BULK: usize = 1000;

/// Runs that are still to come. Handlers get nothing but their payload.
static LEFT: AtomicUsize = AtomicUsize::new(0);
static DONE: Notify = Notify::const_new();

/// User and system time of this process so far.
fn cpu() -> Duration {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let of = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    of(usage.ru_utime) + of(usage.ru_stime)
}

/// A JSON payload of about 100 bytes.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Email {
    number: u64,
    to: String,
    text: String,
}

fn email(number: usize) -> Email {
    Email {
        number: number as u64,
        to: "ada@example.org".to_owned(),
        text: "thank you for your order, it is on its way".to_owned(),
    }
}

impl TaskHandler for Email {
    const IDENTIFIER: &'static str = "email";

    async fn run(self, _: WorkerContext) -> impl IntoTaskHandlerResult {
        if LEFT.fetch_sub(1, Ordering::AcqRel) == 1 {
            DONE.notify_one();
        }
        Ok::<(), String>(())
    }
}

async fn run(url: &str, tasks: usize, callers: usize, concurrency: usize, local_queue: usize) -> serde_json::Value {
    LEFT.store(tasks, Ordering::Release);
    let mut options = WorkerOptions::default()
        .database_url(url)
        .max_pg_conn(20)
        .concurrency(concurrency)
        .poll_interval(Duration::from_millis(5))
        .define_job::<Email>();
    if local_queue > 0 {
        // Its best: jobs are fetched in large batches and their ends written in batches, too.
        options = options
            .local_queue(LocalQueueConfig::default().with_size(local_queue))
            .complete_job_batch_delay(Duration::from_millis(5));
    }
    let worker = Arc::new(options.init().await.expect("init"));
    let (cpu_before, started) = (cpu(), Instant::now());
    if callers == 0 {
        let (utils, spec) = (worker.create_utils(), JobSpec::default());
        for first in (0..tasks).step_by(BULK) {
            let bulk: Vec<_> = (first..tasks.min(first + BULK)).map(|number| (email(number), &spec)).collect();
            utils.add_jobs(&bulk).await.expect("add jobs");
        }
    } else {
        let next = Arc::new(AtomicUsize::new(0));
        let calling: Vec<_> = (0..callers)
            .map(|_| {
                let (utils, next) = (worker.create_utils(), Arc::clone(&next));
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= tasks {
                            return;
                        }
                        utils.add_job(email(number), JobSpec::default()).await.expect("add job");
                    }
                })
            })
            .collect();
        for call in calling {
            call.await.expect("caller");
        }
    }
    let submitted = started.elapsed();
    let running = Arc::clone(&worker);
    let working = tokio::spawn(async move { running.run().await });
    DONE.notified().await;
    let all = started.elapsed();
    let cpu = cpu() - cpu_before;
    working.abort();
    let rate = |time: Duration| tasks as f64 / time.as_secs_f64();
    serde_json::json!({
        "system": "graphile_worker 0.14", "submit": if callers == 0 { "bulk of 1000".to_owned() } else { format!("single, {callers} callers") },
        "payload": "about 100 bytes", "tasks": tasks, "concurrency": concurrency, "local_queue": local_queue,
        "in_per_s": rate(submitted), "out_per_s": rate(all - submitted), "whole_per_s": rate(all),
        "us_cpu": cpu.as_secs_f64() * 1e6 / tasks as f64,
    })
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| args[index].parse::<usize>().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    let line = runtime.block_on(run(&args[0], number(1), number(2), number(3), number(4)));
    println!("{line}");
    // Workers that still wait are not waited for.
    runtime.shutdown_background();
}
