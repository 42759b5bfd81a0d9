//! A backlog on any store, named by its setting: filled in bulks or one by one, then run; and how soon a task starts that
//! another process submitted.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tlo::TloContext;
use tlo::prelude::*;
use tlo::store::{CountBy, TaskFilter};
use tokio::sync::{Notify, mpsc};

use crate::measure::{Email, OwnMemory, at, cpu, email, most_memory, program};

/// Tasks of one bulk.
const BULK: usize = 1000;

/// Runs that are still to come, and who is told of the last.
type Left = Arc<(AtomicUsize, Notify)>;

async fn context(store: &str, concurrency: usize, prefetch: usize, left: &Left) -> TloContext {
    let left = Arc::clone(left);
    let handler = move |_: TaskContext, _: Email| {
        let left = Arc::clone(&left);
        async move {
            if left.0.fetch_sub(1, Ordering::AcqRel) == 1 {
                left.1.notify_one();
            }
        }
    };
    program()
        .set("task_state_store", store)
        .set("concurrency", concurrency)
        .set("prefetch", prefetch)
        .task(task("bench").run(handler))
        .build()
        .await
        .expect("context")
}

/// Submits in bulks of a thousand when there are no callers, else one by one: each caller waits for its answer.
pub async fn submit(client: &Client, tasks: usize, callers: usize) {
    if callers == 0 {
        for first in (0..tasks).step_by(BULK) {
            let bulk = first..tasks.min(first + BULK);
            let requests = bulk.map(|number| client.task("bench").args(&email(number as u64)));
            client.submit_many(requests).await.expect("submit");
        }
        return;
    }
    let next = Arc::new(AtomicUsize::new(0));
    let calling: Vec<_> = (0..callers)
        .map(|_| {
            let (client, next) = (client.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= tasks {
                        return;
                    }
                    client.task("bench").args(&email(number as u64)).submit().await.expect("submit");
                }
            })
        })
        .collect();
    for call in calling {
        call.await.expect("caller");
    }
}

/// The whole way. The clock of the runs stops at the last call of the handler, as that of the peers does; what is left to
/// write by then is waited for and printed beside it.
pub async fn run(store: &str, tasks: usize, callers: usize, concurrency: usize, prefetch: usize) -> serde_json::Value {
    let left: Left = Arc::new((AtomicUsize::new(tasks), Notify::new()));
    let memory = OwnMemory::watch();
    let context = context(store, concurrency, prefetch, &left).await;
    let client = context.client();
    let (cpu_before, started) = (cpu(), Instant::now());
    submit(&client, tasks, callers).await;
    let submitted = started.elapsed();
    let submitted_at = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let runner = Runner::new(context);
    let handle = runner.handle();
    let working = tokio::spawn(runner.run_until(std::future::pending()));
    left.1.notified().await;
    let run = started.elapsed();
    let cpu = cpu() - cpu_before;
    let unfinished = TaskFilter::status([TaskStatus::Pending, TaskStatus::Running]);
    while client.store().count(&unfinished, CountBy::All, 0).await.expect("count").total() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let all = started.elapsed();
    handle.stop();
    working.await.expect("runner").expect("stopped");
    let rate = |time: Duration| tasks as f64 / time.as_secs_f64();
    serde_json::json!({
        "system": "tlo", "submit": if callers == 0 { "bulk of 1000".to_owned() } else { format!("single, {callers} callers") },
        "payload": "about 100 bytes", "tasks": tasks, "concurrency": concurrency, "prefetch": prefetch, "records": true,
        "in_per_s": rate(submitted), "out_per_s": rate(run - submitted), "settled_per_s": rate(all - submitted),
        "whole_per_s": rate(run), "us_cpu": cpu.as_secs_f64() * 1e6 / tasks as f64,
        "submitted_at": submitted_at, "submit_s": submitted.as_secs_f64(), "whole_s": all.as_secs_f64(), "mib": most_memory(), "own_mib": memory.most(),
    })
}

/// Nanoseconds of the clock that all processes of this machine share.
fn monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// From the submit in another process to the first line of the handler here, on a runner that has nothing else to do.
pub async fn pickup(store: &str, times: usize) -> serde_json::Value {
    let (began, mut begins) = mpsc::unbounded_channel();
    let handler = move |_: TaskContext, submitted: Email| {
        let took = monotonic().saturating_sub(submitted.number);
        began.send(took as f64 / 1e6).expect("somebody listens");
        async {}
    };
    let context = program().set("task_state_store", store).task(task("bench").run(handler)).build().await.expect("context");
    let runner = Runner::new(context);
    let handle = runner.handle();
    let working = tokio::spawn(runner.run_until(std::future::pending()));
    let mut other = Command::new(std::env::current_exe().expect("this program"))
        .args(["submitter", store, &times.to_string()])
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .expect("the other process");
    let mut ready = String::new();
    let mut said = BufReader::new(other.stdout.take().expect("piped"));
    said.read_line(&mut ready).expect("the other process is ready");
    // The first finds connections and statements new on both sides.
    other.stdin.take().expect("piped").write_all(b"go\n").expect("go");
    begins.recv().await.expect("begun");
    let mut took = Vec::new();
    for _ in 0..times {
        took.push(begins.recv().await.expect("begun"));
    }
    assert!(other.wait().expect("the other process").success());
    handle.stop();
    working.await.expect("runner").expect("stopped");
    let (p50, p99, most) = (at(&mut took, 0.5), at(&mut took, 0.99), at(&mut took, 1.0));
    serde_json::json!({"system": "tlo, submit in another process to start", "times": times, "ms_p50": p50, "ms_p99": p99, "ms_max": most})
}

/// The other process: one task each 20 ms, its payload says when it was about to be submitted.
pub async fn submitter(store: &str, times: usize) -> serde_json::Value {
    let left = Arc::new((AtomicUsize::new(usize::MAX), Notify::new()));
    let client = context(store, 1, 0, &left).await.client();
    println!("ready");
    let mut go = String::new();
    std::io::stdin().read_line(&mut go).expect("go");
    for _ in 0..=times {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let request = client.task("bench").args(&email(monotonic()));
        request.submit().await.expect("submit");
    }
    serde_json::json!({"submitted": times})
}
