//! TLO's own figures; prints one JSON line a run.
//!
//! `bench-tlo memory TASKS single|bulk | …`

mod measure;
mod memory;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| args[index].parse::<usize>().expect("a number");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    let line = runtime.block_on(async {
        match args.first().map(String::as_str) {
            Some("memory") => memory::run(number(1), &args[2]).await,
            _ => panic!("memory TASKS single|bulk"),
        }
    });
    println!("{line}");
    runtime.shutdown_background();
}
