//! TLO's own figures; prints one JSON line a run. `scripts/bench` runs it beside the peers.
//!
//! `bench-tlo memory TASKS single|bulk | sqlite DIRECTORY TASKS CALLERS | lone DIRECTORY TIMES
//! | recurring SCHEDULES SECONDS spread|common | idle SCHEDULES SECONDS
//! | claims memory|DIRECTORY few|ready|future|finished|parked TIMES | server STORE TASKS CALLERS CONCURRENCY PREFETCH | pickup STORE TIMES
//! | bare redis URL TASKS CONCURRENCY
//! | bare postgres URL TASKS BATCH | start memory|DIRECTORY TIMES | beside TIMES
//! | soak STORE SECONDS RATE`

mod backlog;
mod bare_postgres;
mod bare_redis;
mod measure;
mod memory;
mod queue;
mod recurring;
mod soak;
mod soak_gauges;
mod sqlite;

use std::path::Path;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| args[index].parse::<usize>().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    let line = runtime.block_on(async {
        match args.first().map(String::as_str) {
            Some("memory") => memory::run(number(1), &args[2]).await,
            Some("sqlite") => sqlite::run(Path::new(&args[1]), number(2), number(3)).await,
            Some("lone") => sqlite::lone(Path::new(&args[1]), number(2)).await,
            Some("recurring") => recurring::run(number(1), number(2), args[3] == "spread").await,
            Some("idle") => recurring::idle(number(1), number(2)).await,
            Some("claims") => queue::claims(&args[1], &args[2], number(3)).await,
            Some("server") => backlog::run(&args[1], number(2), number(3), number(4), number(5)).await,
            Some("pickup") => backlog::pickup(&args[1], number(2)).await,
            Some("submitter") => backlog::submitter(&args[1], number(2)).await,
            Some("bare") if args[1] == "redis" => bare_redis::run(&args[2], number(3), number(4)).await,
            Some("bare") => bare_postgres::run(&args[2], number(3), number(4)).await,
            Some("start") => queue::start(&args[1], number(2)).await,
            Some("beside") => queue::beside(number(1)).await,
            Some("soak") => soak::run(&args[1], number(2), number(3)).await,
            _ => panic!("memory | sqlite | lone | recurring | idle | claims | server | pickup | bare | start | beside | soak"),
        }
    });
    println!("{line}");
    runtime.shutdown_background();
}
