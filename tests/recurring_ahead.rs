//! What is decided ahead is what would be decided in its time, whatever happens in between.
//!
//! `TLO_TEST_SEED` repeats a run.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

use std::sync::Arc;
use std::time::Duration;

use tlo::observe::Observers;
use tlo::prelude::*;
use tlo::scheduler::Scheduler;
use tlo::store::{SharedStore, TaskFilter, TaskStateStoreExt};
use tlo::task::TaskDef;
use tlo::testing::ManualClock;
use tlo::{Clock, IdSource, MemoryStore, PageRequest, SystemClock};

/// One of each policy, some of them due at the same instants.
fn definitions() -> Vec<Arc<TaskDef>> {
    let on_seconds = |name: &str| task(name).cron("* * * * * *");
    let tasks = [
        on_seconds("plain"),
        on_seconds("skip").misfire(Misfire::Skip).grace(millis(8)),
        on_seconds("all").misfire(Misfire::All { max: 5 }),
        on_seconds("overlaps").overlap(Overlap::Allow),
        on_seconds("replaces").overlap(Overlap::Replace),
        on_seconds("few").max_runs(40),
        on_seconds("jitters").jitter(millis(300)),
        task("quick").every(millis(250)),
        task("half").every(millis(500)).overlap(Overlap::Allow),
        task("minutes").cron("* * * * *"),
    ];
    let defs = tasks.map(|task| Arc::new(task.declare().def));
    defs.into()
}

/// A store with one scheduler that looks ahead now and then, or never, and another that never does.
struct World {
    store: SharedStore,
    mine: Scheduler,
    other: Scheduler,
}

impl World {
    async fn start(clock: &Arc<ManualClock>) -> Self {
        let ids = Arc::new(IdSource::seeded(1));
        let store: SharedStore = Arc::new(MemoryStore::new(clock.clone(), ids));
        let scheduler = || {
            let observers = Observers::default();
            Scheduler::new(Arc::clone(&store), clock.clone(), observers, false)
        };
        let (mut mine, mut other) = (scheduler(), scheduler());
        mine.start(definitions()).await.unwrap();
        other.start(definitions()).await.unwrap();
        Self { store, mine, other }
    }

    /// Some of what waits runs and succeeds.
    async fn work(&self, names: &[&str]) {
        let worker = IdSource::seeded(2).worker_id("w").unwrap();
        let ttl = Duration::from_secs(30);
        let claimed = self.store.lease(&worker, "default", names, 8, ttl).await;
        for task in claimed.unwrap() {
            let lease = task.lease.as_ref().unwrap().reference();
            let nothing = tlo::Payload::null();
            self.store.succeed(&task.id, lease, nothing).await.unwrap();
        }
    }

    /// Everything that was decided: runs, cursors and notes.
    async fn decided(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut request = PageRequest::first(1_000);
        loop {
            let all = TaskFilter::default();
            let page = self.store.list(&all, request).await.unwrap();
            let said = page.items.iter().map(|item| {
                let record = &item.record;
                format!("{} at {} {}", record.id, record.run_at, record.status)
            });
            found.extend(said);
            if page.complete {
                break;
            }
            request.after = page.next;
        }
        for mark in self.store.marks("cursor/", None, 1_000).await.unwrap() {
            found.push(format!("{}: {}", mark.key, mark.value));
        }
        for def in definitions() {
            let stream = tlo::store::StreamId::new(&*def.name, "decisions").unwrap();
            let notes = self.store.events(&stream, 0, 10_000).await.unwrap();
            found.extend(
                notes
                    .iter()
                    .map(|note| format!("{} {}", note.kind, note.data)),
            );
        }
        found.sort();
        found
    }
}

#[tokio::test]
async fn who_looks_ahead_decides_the_same() {
    let seed = std::env::var("TLO_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::try_from(SystemClock.now().as_micros()).unwrap());
    let chance = IdSource::seeded(seed);
    let (mut looked, mut compared) = (0, 0);
    for _ in 0..20 {
        let clock = ManualClock::shared();
        let mut ahead = World::start(&clock).await;
        let mut plain = World::start(&clock).await;
        for _ in 0..60 {
            let until_next = ahead.mine.next_due().map(|at| at.since(clock.now()));
            let step = match (chance.unit() * 8.0) as u32 {
                // Short of the next slot, at it, and just behind it.
                0..=4 => until_next
                    .unwrap_or_default()
                    .saturating_sub(Duration::from_millis((chance.unit() * 25.0) as u64)),
                5 => Duration::from_secs_f64(chance.unit() / 20.0),
                6 => Duration::from_secs_f64(chance.unit() * 3.0),
                _ => Duration::from_secs_f64(chance.unit() * 100.0),
            };
            clock.advance(step);
            if chance.unit() < 0.05 {
                let back = Duration::from_secs_f64(chance.unit() * 90.0);
                clock.set_wall(clock.now().saturating_sub(back));
            }
            if chance.unit() < 0.7 {
                looked += ahead.mine.look_ahead();
                clock.advance(Duration::from_secs_f64(chance.unit() / 40.0));
            }
            let (other_first, works) = (chance.unit() < 0.2, chance.unit() < 0.5);
            for world in [&mut ahead, &mut plain] {
                if other_first {
                    world.other.tick().await.unwrap();
                }
                if works {
                    world
                        .work(&["plain", "all", "half", "replaces", "quick"])
                        .await;
                }
                world.mine.tick().await.unwrap();
            }
            let (seen, wanted) = (ahead.decided().await, plain.decided().await);
            compared += wanted.len();
            assert_eq!(seen, wanted, "TLO_TEST_SEED={seed}");
        }
    }
    println!(
        "decided {looked} slots ahead, compared {compared} runs, cursors and notes, seed {seed}"
    );
    assert!(looked > 500 && compared > 50_000);
}
