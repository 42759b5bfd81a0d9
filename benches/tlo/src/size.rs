//! What a recurring task takes: definition, handler, cursor and schedule, counted by an allocator that counts.
//!
//! `bench-tlo-size SCHEDULES`

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use tlo::MemoryStore;
use tlo::SystemClock;
use tlo::observe::Observers;
use tlo::prelude::*;
use tlo::registry::{InMemoryTaskRegistry, TaskRegistry};
use tlo::schedule::Schedule;
use tlo::scheduler::Scheduler;
use tlo::store::SharedStore;
use tlo::task::TaskDef;

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

fn live() -> isize {
    LIVE.load(Ordering::Relaxed)
}

/// Bytes of so many: definitions in a registry, their cursors in a store, what a scheduler keeps of them.
async fn parts(schedules: usize) -> [isize; 3] {
    let registry = InMemoryTaskRegistry::default();
    let store: SharedStore = Arc::new(MemoryStore::default());
    let before = live();
    for index in 0..schedules {
        let mut def = TaskDef::new(format!("tick-{index:06}"));
        def.schedule = Some(Schedule::every(hours(1)).expect("schedule"));
        registry.put(def).await.expect("put");
    }
    let defined = live();
    let mut scheduler = Scheduler::new(Arc::clone(&store), SystemClock::shared(), Observers::default(), false);
    scheduler.start(registry.list().await.expect("list")).await.expect("start");
    let scheduled = live();
    drop(scheduler);
    let stored = live();
    [defined - before, stored - defined, scheduled - stored]
}

/// The same in a program that runs, with handlers.
async fn whole(schedules: usize) -> isize {
    let of = |index: usize| task(format!("tick-{index:06}")).every(hours(1)).run(|_: TaskContext, _: ()| async {});
    let before = live();
    let context = TloContext::builder()
        .settings(tlo::settings::SettingsSource::empty())
        .set("task_state_store", "memory")
        .tasks((0..schedules).map(of))
        .build()
        .await
        .expect("context");
    let runner = Runner::new(context);
    let handle = runner.handle();
    let working = tokio::spawn(runner.run_until(std::future::pending()));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let running = live() - before;
    handle.stop();
    working.await.expect("runner").expect("stopped");
    running
}

fn main() {
    let schedules: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    let each = |many: isize, one: isize| (many - one) as f64 / (schedules - 1) as f64;
    let (one, many) = runtime.block_on(async { (parts(1).await, parts(schedules).await) });
    let (one_whole, many_whole) = runtime.block_on(async { (whole(1).await, whole(schedules).await) });
    println!(
        "{}",
        serde_json::json!({
            "system": "tlo memory, size", "schedules": schedules, "bytes_definition": each(many[0], one[0]),
            "bytes_cursor": each(many[1], one[1]), "bytes_scheduler": each(many[2], one[2]), "bytes_whole": each(many_whole, one_whole),
        })
    );
}
