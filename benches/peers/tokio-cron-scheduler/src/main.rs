//! tokio-cron-scheduler 0.15 doing what TLO's own figures do; prints one JSON line a run.
//!
//! `peer-tokio-cron-scheduler SCHEDULES SECONDS`

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio_cron_scheduler::{Job, JobScheduler};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// User and system time of this process so far.
fn cpu() -> Duration {
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let of = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    of(usage.ru_utime) + of(usage.ru_stime)
}

fn wall() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

async fn run(schedules: usize, seconds: usize) -> serde_json::Value {
    let lateness: Arc<Vec<Mutex<Vec<u32>>>> = Arc::new((0..64).map(|_| Mutex::default()).collect());
    let mut scheduler = JobScheduler::new().await.expect("scheduler");
    for index in 0..schedules {
        let lateness = Arc::clone(&lateness);
        let job = Job::new_async("* * * * * *", move |_, _| {
            let lateness = Arc::clone(&lateness);
            Box::pin(async move {
                // Due on the whole second before.
                lateness[index % lateness.len()].lock().expect("lock").push(wall().subsec_micros());
            })
        });
        scheduler.add(job.expect("job")).await.expect("add");
    }
    scheduler.start().await.expect("start");
    // From the middle of a second to the middle of another one, when everything is running.
    let settle = wall().as_secs() + 3;
    let middle = |second: u64| Duration::from_secs(second) + Duration::from_millis(750);
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
    let _ = scheduler.shutdown().await;
    serde_json::json!({
        "system": "tokio-cron-scheduler 0.15", "records": false, "schedules": schedules, "seconds": seconds,
        "due": schedules * seconds, "fired": late.len(), "us_cpu_per_fire": used.as_secs_f64() * 1e6 / late.len() as f64,
        "late_p50_ms": at(0.5), "late_p99_ms": at(0.99), "late_max_ms": at(1.0),
    })
}

fn main() {
    let args: Vec<usize> = std::env::args().skip(1).map(|arg| arg.parse().expect("a number")).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    println!("{}", runtime.block_on(run(args[0], args[1])));
    runtime.shutdown_background();
}
