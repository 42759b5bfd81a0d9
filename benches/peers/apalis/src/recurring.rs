//! One worker for each of many schedules that fire every second.

use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use apalis::prelude::*;
use apalis_cron::{CronScheduler, Tick};
use std::sync::Mutex;

use crate::cpu;

type Lateness = Arc<Vec<Mutex<Vec<u32>>>>;

#[derive(Clone)]
struct Own {
    index: usize,
    lateness: Lateness,
}

async fn handle(tick: Tick, own: Data<Own>) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let late = now.saturating_sub(Duration::from_secs(tick.get_timestamp()));
    own.lateness[own.index % own.lateness.len()].lock().expect("lock").push(late.as_micros() as u32);
}

pub async fn run(schedules: usize, seconds: usize) -> serde_json::Value {
    let lateness: Lateness = Arc::new((0..64).map(|_| Mutex::default()).collect());
    let schedule = cron::Schedule::from_str("* * * * * *").expect("cron");
    for index in 0..schedules {
        let worker = WorkerBuilder::new(format!("bench-{index}"))
            .backend(CronScheduler::new(schedule.clone()))
            .data(Own { index, lateness: Arc::clone(&lateness) })
            .build(handle);
        tokio::spawn(worker.run());
    }
    let wall = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // From the middle of a second to the middle of another one, when everything is running.
    let settle = wall().as_secs() + 3;
    let middle = |second: u64| Duration::from_secs(second) + Duration::from_millis(500);
    tokio::time::sleep(middle(settle).saturating_sub(wall())).await;
    for own in lateness.iter() {
        own.lock().expect("lock").clear();
    }
    let before = cpu();
    tokio::time::sleep(middle(settle + seconds as u64).saturating_sub(wall())).await;
    let used = cpu() - before;
    let mut late: Vec<u32> = lateness.iter().flat_map(|own| own.lock().expect("lock").clone()).collect();
    late.sort_unstable();
    let at = |share: f64| f64::from(late[((late.len() - 1) as f64 * share) as usize]) / 1e3;
    serde_json::json!({
        "system": "apalis-cron 1.0", "records": false, "schedules": schedules, "seconds": seconds, "due": schedules * seconds,
        "fired": late.len(), "us_cpu_per_fire": used.as_secs_f64() * 1e6 / late.len() as f64,
        "late_p50_ms": at(0.5), "late_p99_ms": at(0.99), "late_max_ms": at(1.0),
    })
}
