//! What a recurring task takes: definition, handler, cursor and schedule, counted by an allocator that counts.
//!
//! `bench-tlo-size SCHEDULES`

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use tlo::prelude::*;

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size as isize - layout.size() as isize, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let schedules: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    let bytes = |schedules: usize| {
        runtime.block_on(async move {
            let of = |index: usize| task(format!("tick-{index:06}")).every(hours(1)).run(|_: TaskContext, _: ()| async {});
            let before = LIVE.load(Ordering::Relaxed);
            let context =
                TloContext::builder().settings(tlo::settings::SettingsSource::empty()).set("task_state_store", "memory").tasks((0..schedules).map(of)).build().await.expect("context");
            let built = LIVE.load(Ordering::Relaxed) - before;
            let runner = Runner::new(context);
            let handle = runner.handle();
            let working = tokio::spawn(runner.run_until(std::future::pending()));
            tokio::time::sleep(Duration::from_secs(3)).await;
            let running = LIVE.load(Ordering::Relaxed) - before;
            handle.stop();
            working.await.expect("runner").expect("stopped");
            (built, running)
        })
    };
    let (one, many) = (bytes(1), bytes(schedules));
    let each = |many: isize, one: isize| (many - one) as f64 / (schedules - 1) as f64;
    println!(
        "{}",
        serde_json::json!({
            "system": "tlo memory, size", "schedules": schedules, "bytes_defined": each(many.0, one.0),
            "bytes_each": each(many.1, one.1),
        })
    );
}
