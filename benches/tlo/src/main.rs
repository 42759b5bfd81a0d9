//! TLO's own figures; prints one JSON line a run. `scripts/bench` runs it beside the peers.
//!
//! `bench-tlo memory TASKS single|bulk | sqlite DIRECTORY TASKS CALLERS | lone DIRECTORY TIMES
//! | recurring SCHEDULES SECONDS spread|common | idle SCHEDULES SECONDS
//! | claims memory|DIRECTORY few|ready|future|finished|parked TIMES | many DIRECTORY TASKS | start memory|DIRECTORY TIMES | beside TIMES`

mod measure;
mod memory;
mod queue;
mod recurring;
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
            Some("many") => queue::many(&args[1], number(2)).await,
            Some("start") => queue::start(&args[1], number(2)).await,
            Some("beside") => queue::beside(number(1)).await,
            _ => panic!("memory | sqlite | lone | recurring | idle | claims | many | start | beside"),
        }
    });
    println!("{line}");
    runtime.shutdown_background();
}
