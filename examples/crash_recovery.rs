//! A worker is killed in the middle of a task, and another one finishes it where the first came to.
//!
//! Run it with `cargo run --example crash_recovery`. It starts itself once more as the worker that is killed.
#![allow(clippy::print_stdout, reason = "examples talk")]

use std::process::{Child, Command};

use tlo::prelude::*;
use tlo::task::AttemptEnd;
use tlo::{Clock, SystemClock};

/// How long a worker may be silent before others take over what it runs.
const LEASE: &str = "1s";

/// Imports rows, one each 20 ms. What an attempt reported stays with the task, so the next one goes on from there.
async fn import(context: TaskContext, rows: u64) -> TaskResult<String> {
    let (attempt, fence) = (context.attempt(), context.fence());
    let reported = context.record().progress.as_ref();
    let from: u64 = reported.map_or(Ok(0), Payload::decode)?;
    println!("  attempt {attempt} with fence {fence} begins behind row {from}");
    for row in from..rows {
        context.clock().sleep(millis(20)).await;
        // Written with the next heartbeat, which also keeps the lease.
        context.progress(row + 1)?;
    }
    Ok(format!(
        "{rows} rows, the last {} by attempt {attempt}",
        rows - from
    ))
}

async fn program(file: &str) -> tlo::Result<TloContext> {
    TloContext::builder()
        .set("task_state_store", format!("sqlite:{file}"))
        .set("lease", LEASE)
        .task(task("import").run(import))
        .build()
        .await
}

/// The worker that is killed: this program again.
fn start_worker(file: &str) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["worker", file])
        .spawn()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    if let [_, role, file] = args.as_slice()
        && role == "worker"
    {
        // Should nobody kill it, it ends by itself.
        let patience = SystemClock.sleep(secs(60));
        Runner::new(program(file).await?)
            .run_until(patience)
            .await?;
        return Ok(());
    }

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("tlo.db").display().to_string();
    let tlo = program(&file).await?;
    let handle = tlo.client().task("import").args(&100).submit().await?;
    println!("submitted {}", handle.id());

    let mut worker = start_worker(&file)?;
    while handle.record().await?.progress.is_none() {
        if let Some(status) = worker.try_wait()? {
            return Err(format!("the worker ended by itself: {status}").into());
        }
        SystemClock.sleep(millis(10)).await;
    }
    // SIGKILL on Unix: nothing of it can tidy up or say goodbye.
    worker.kill()?;
    worker.wait()?;
    let record = handle.record().await?;
    let lease = record.lease.as_ref().ok_or("the task is not leased")?;
    println!(
        "killed {}; the task is still {} under its lease until {}",
        lease.worker, record.status, lease.until
    );

    let client = tlo.client();
    // Another worker, which happens to be this process.
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run());
    let result: String = handle.result().await?;
    stop.stop();
    running.await??;

    println!("finished: {result}");
    let record = handle.record().await?;
    let why = client.why(record.id.as_str()).await?;
    println!("$ tlo why {}\n{why}", record.id);
    println!(
        "status {}, lost {}, fence {}; the lost run used up none of its {} attempts",
        record.status, record.lost, record.fence, record.max_attempts
    );
    let ends: Vec<_> = record
        .attempts
        .iter()
        .map(|attempt| attempt.outcome)
        .collect();
    assert_eq!(ends, [AttemptEnd::Lost, AttemptEnd::Succeeded]);
    assert_eq!((record.lost, record.fence, record.spent()), (1, 2, 1));
    Ok(())
}
