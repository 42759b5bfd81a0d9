//! apalis 1.0 doing what TLO's own figures do; prints one JSON line a run.
//!
//! `peer-apalis memory TASKS | sqlite FILE TASKS CALLERS | cron SCHEDULES SECONDS
//! | redis URL TASKS CALLERS BATCH | postgres URL TASKS CALLERS BATCH`

mod memory;
mod push;
mod recurring;
mod servers;
mod sqlite;

use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

fn email(number: u64) -> Email {
    Email {
        number,
        to: "ada@example.org".to_owned(),
        text: "thank you for your order, it is on its way".to_owned(),
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| args[index].parse::<usize>().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    let line = runtime.block_on(async {
        match args.first().map(String::as_str) {
            Some("memory") => memory::run(number(1)).await,
            Some("sqlite") => sqlite::run(&args[1], number(2), number(3)).await,
            Some("cron") => recurring::run(number(1), number(2)).await,
            Some("redis") => servers::redis(&args[1], number(2), number(3), number(4)).await,
            Some("postgres") => servers::postgres(&args[1], number(2), number(3), number(4)).await,
            _ => panic!("memory | sqlite | cron | redis | postgres"),
        }
    });
    println!("{line}");
    // Workers that still wait are not waited for.
    runtime.shutdown_background();
}
