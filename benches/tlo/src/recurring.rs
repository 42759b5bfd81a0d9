//! Tasks that run every second, in memory, every run with its record.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tlo::prelude::*;
use tlo::store::{CountBy, TaskFilter};

use crate::measure::{cpu, program};

type Lateness = Arc<Vec<Mutex<Vec<u32>>>>;

fn wall() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// `spread` gives each its own phase: intervals count from when they were first seen, so the tasks are made in slices.
pub async fn run(schedules: usize, seconds: usize, spread: bool) -> serde_json::Value {
    let lateness: Lateness = Arc::new((0..64).map(|_| Mutex::default()).collect());
    // The last slot of each, and how many between two of them never ran.
    let last: Arc<Vec<AtomicI64>> = Arc::new((0..schedules).map(|_| AtomicI64::new(0)).collect());
    let missed = Arc::new(AtomicI64::new(0));
    let of = |index: usize| {
        let (lateness, last, missed) = (Arc::clone(&lateness), Arc::clone(&last), Arc::clone(&missed));
        let name = format!("tick-{index:06}");
        let run = move |context: TaskContext, _: ()| {
            let due = context.slot().map_or(0, Timestamp::as_micros);
            let before = last[index].swap(due, Ordering::Relaxed);
            if before > 0 {
                missed.fetch_add((due - before) / 1_000_000 - 1, Ordering::Relaxed);
            }
            let now = i64::try_from(wall().as_micros()).unwrap_or(i64::MAX);
            lateness[index % lateness.len()].lock().expect("lock").push(u32::try_from(now - due).unwrap_or(0));
            async {}
        };
        let new = task(name);
        // A cron expression fires on the whole second, as the peers do; an interval counts from its own anchor.
        if spread { new.every(secs(1)).run(run) } else { new.cron("* * * * * *").run(run) }
    };
    let context = program()
        .set("task_state_store", "memory")
        .set("concurrency", 1024)
        .tasks((0..schedules).map(of))
        .build()
        .await
        .expect("context");
    if spread {
        anchors(&context, schedules).await;
    }
    let client = context.client();
    let runner = Runner::new(context);
    let handle = runner.handle();
    let working = tokio::spawn(runner.run_until(std::future::pending()));
    let settle = wall().as_secs() + 3 + schedules as u64 / 20_000;
    let middle = |second: u64| Duration::from_secs(second) + Duration::from_millis(500);
    tokio::time::sleep(middle(settle).saturating_sub(wall())).await;
    for own in lateness.iter() {
        own.lock().expect("lock").clear();
    }
    let before = cpu();
    tokio::time::sleep(middle(settle + seconds as u64).saturating_sub(wall())).await;
    let used = cpu() - before;
    let mut late: Vec<u32> = lateness.iter().flat_map(|own| own.lock().expect("lock").clone()).collect();
    let skipped = client.store().count(&TaskFilter::status([TaskStatus::Failed]), CountBy::All, 0).await.expect("count");
    handle.stop();
    working.await.expect("runner").expect("stopped");
    late.sort_unstable();
    let at = |share: f64| f64::from(late[((late.len() - 1) as f64 * share) as usize]) / 1e3;
    serde_json::json!({
        "system": "tlo memory, recurring", "records": true, "schedules": schedules, "seconds": seconds,
        "phase": if spread { "spread" } else { "common" }, "due": schedules * seconds, "fired": late.len(),
        "missed": missed.load(Ordering::Relaxed),
        "failed": skipped.total(), "us_cpu_per_fire": used.as_secs_f64() * 1e6 / late.len() as f64,
        "late_p01_ms": at(0.01), "late_p25_ms": at(0.25), "late_p50_ms": at(0.5), "late_p75_ms": at(0.75), "late_p99_ms": at(0.99), "late_max_ms": at(1.0),
    })
}

/// Registers the schedules in a hundred slices, ten milliseconds apart: one scheduler after the other makes the cursors.
async fn anchors(context: &TloContext, schedules: usize) {
    let definitions = context.registry().list().await.expect("list");
    let slice = schedules.div_ceil(100).max(1);
    for part in definitions.chunks(slice) {
        let mut scheduler = tlo::scheduler::Scheduler::new(
            Arc::clone(context.store()),
            Arc::clone(context.clock()),
            context.observers().clone(),
            false,
        );
        scheduler.start(part.iter().cloned()).await.expect("start");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Schedules that are not due: what the waiting costs, and that nothing is written.
pub async fn idle(schedules: usize, seconds: usize) -> serde_json::Value {
    let of = |index: usize| task(format!("later-{index:06}")).every(hours(1)).run(|_: TaskContext, _: ()| async {});
    let context = program()
        .set("task_state_store", "memory")
        .tasks((0..schedules).map(of))
        .build()
        .await
        .expect("context");
    let client = context.client();
    let runner = Runner::new(context);
    let handle = runner.handle();
    let working = tokio::spawn(runner.run_until(std::future::pending()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let versions = async || {
        let mut versions = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = client.store().marks("", after.as_deref(), 1000).await.expect("marks");
            let Some(last) = page.last() else { break versions };
            after = Some(last.key.to_string());
            versions.extend(page.into_iter().map(|mark| mark.version));
        }
    };
    let marks = versions().await;
    let before = cpu();
    tokio::time::sleep(Duration::from_secs(seconds as u64)).await;
    let used = cpu() - before;
    let rows = client.store().count(&TaskFilter::default(), CountBy::All, 0).await.expect("count").total();
    let written = versions().await.iter().zip(&marks).filter(|(now, then)| now != then).count();
    handle.stop();
    working.await.expect("runner").expect("stopped");
    serde_json::json!({
        "system": "tlo memory, idle", "schedules": schedules, "seconds": seconds, "cpu_s": used.as_secs_f64(),
        "task_rows": rows, "marks_written": written,
    })
}
