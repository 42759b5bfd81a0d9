//! Schedules when programs start and change, and when clocks are set.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::sync::Arc;
use std::time::Duration;

use engine_kit::{Place, Wrapped, at, decisions};
use tlo::handler::TaskBuilder;
use tlo::prelude::*;
use tlo::store::TaskFilter;
use tlo::testing::{Harness, ManualClock};
use tlo::{Clock, IdSource, MemoryStore, PageRequest};

fn nothing(task: TaskBuilder) -> Task {
    task.run(|_: TaskContext, _: ()| async {})
}

async fn start(task: Task) -> Harness {
    TloContext::for_test().task(task).start().await.unwrap()
}

/// Passes time in which nothing of the program runs.
async fn be_down(tlo: &mut Harness, by: Duration) {
    tlo.clock().advance(by);
    tlo.restart().await.unwrap();
    tlo.run_until_idle().await.unwrap();
}

fn minutes_of(slots: &[Timestamp]) -> Vec<i64> {
    let begin = at("2026-01-05T00:00:00Z").as_micros();
    slots
        .iter()
        .map(|slot| (slot.as_micros() - begin) / 60_000_000)
        .collect()
}

#[tokio::test]
async fn a_start_after_days_without_a_runner_is_in_a_new_period() {
    let task = task("t").every("1h").run_at_start().misfire(Misfire::Skip);
    let mut tlo = start(nothing(task)).await;
    tlo.run_until_idle().await.unwrap();
    be_down(&mut tlo, minutes(3 * 24 * 60 + 30)).await;
    assert_eq!(tlo.started("t"), 2);
}

#[tokio::test]
async fn run_at_start_is_once_per_period_and_cluster() {
    let mut tlo = start(nothing(task("t").every("1h").run_at_start())).await;
    tlo.run_until_idle().await.unwrap();
    assert_eq!(tlo.started("t"), 1);
    be_down(&mut tlo, minutes(10)).await;
    be_down(&mut tlo, minutes(10)).await;
    assert_eq!(tlo.started("t"), 1);
    // The slot at one hour, then a start in the new period.
    tlo.advance(minutes(50)).await.unwrap();
    assert_eq!(tlo.started("t"), 2);
    be_down(&mut tlo, minutes(5)).await;
    assert_eq!(tlo.started("t"), 3);
}

#[tokio::test]
async fn nodes_that_start_together_make_one_run_at_start() {
    let clock = ManualClock::shared();
    let ids = Arc::new(IdSource::seeded(1));
    let store: tlo::store::SharedStore = Arc::new(MemoryStore::new(clock.clone(), ids));
    // The second node reads the cursors before the first writes them, and its clock is a little ahead.
    let late = ManualClock::at(clock.now().saturating_add(millis(3)));
    let define = || nothing(task("t").every("1h").run_at_start());
    let slow = Arc::new(Wrapped {
        marks_at_first: parking_lot::Mutex::new(Some(Vec::new())),
        ..Wrapped::around(store.clone())
    });
    let first = TloContext::for_test()
        .clock(clock.clone())
        .store(store.clone())
        .task(define())
        .start()
        .await
        .unwrap();
    let second = TloContext::for_test()
        .clock(Arc::new(late))
        .store(slow)
        .task(define())
        .start()
        .await
        .unwrap();
    let all = store
        .list(&TaskFilter::name("t"), PageRequest::default())
        .await
        .unwrap();
    assert_eq!(all.items.len(), 1, "{:?}", all.items);
    drop((first, second));
}

#[tokio::test]
async fn reboot_runs_once_per_boot() {
    let mut tlo = start(nothing(task("t").cron("@reboot"))).await;
    tlo.run_until_idle().await.unwrap();
    be_down(&mut tlo, hours(1)).await;
    assert_eq!(tlo.started("t"), 1);
    tlo.clock().reboot();
    be_down(&mut tlo, minutes(1)).await;
    be_down(&mut tlo, minutes(1)).await;
    assert_eq!(tlo.started("t"), 2);
}

#[tokio::test]
async fn a_changed_schedule_goes_on_from_now_and_the_old_node_stands_down() {
    let clock = ManualClock::shared();
    let store: tlo::store::SharedStore = Arc::new(MemoryStore::new(
        clock.clone(),
        Arc::new(IdSource::seeded(1)),
    ));
    let node = |schedule: &'static str| {
        TloContext::for_test()
            .clock(clock.clone())
            .store(store.clone())
            .task(nothing(task("t").every(schedule)))
            .start()
    };
    let mut old = node("10m").await.unwrap();
    old.advance(minutes(25)).await.unwrap();
    let mut new = node("20m").await.unwrap();
    for _ in 0..60 {
        clock.advance(minutes(1));
        old.run_until_idle().await.unwrap();
        new.run_until_idle().await.unwrap();
    }
    assert_eq!(minutes_of(&old.fired("t")), [10, 20]);
    assert_eq!(minutes_of(&new.fired("t")), [45, 65, 85]);
}

#[tokio::test]
async fn a_clock_set_back_does_not_stop_intervals_and_does_not_repeat_cron_slots() {
    let mut tlo = TloContext::for_test()
        .task(nothing(task("interval").every("1m")))
        .task(nothing(task("cron").cron("* * * * *")))
        .start()
        .await
        .unwrap();
    tlo.advance(hours(2)).await.unwrap();
    assert_eq!((tlo.started("interval"), tlo.started("cron")), (120, 120));
    tlo.clock().set_wall(tlo.now().saturating_sub(minutes(30)));
    // Noticed at the next look, which is never later than half a minute.
    tlo.run_until_idle().await.unwrap();
    tlo.advance(minutes(30)).await.unwrap();
    let intervals = tlo.started("interval");
    assert!((149..=151).contains(&intervals), "{intervals}");
    assert_eq!(tlo.started("cron"), 120);
    tlo.advance(minutes(10)).await.unwrap();
    assert_eq!(tlo.started("cron"), 130);
    let slots = tlo.fired("cron");
    let unique: std::collections::BTreeSet<_> = slots.iter().collect();
    assert_eq!(unique.len(), slots.len());
}

#[tokio::test]
async fn a_clock_that_was_years_ahead_stops_nothing() {
    for restarted in [false, true] {
        let mut tlo = TloContext::for_test()
            .task(nothing(task("interval").every("1h")))
            .task(nothing(task("cron").cron("0 * * * *")))
            .start()
            .await
            .unwrap();
        tlo.advance(hours(3)).await.unwrap();
        let right = tlo.now();
        tlo.clock().set_wall(at("2099-01-01T00:30:00Z"));
        tlo.run_until_idle().await.unwrap();
        assert_eq!((tlo.started("interval"), tlo.started("cron")), (4, 4));
        tlo.clock().set_wall(right);
        if restarted {
            tlo.restart().await.unwrap();
        }
        tlo.run_until_idle().await.unwrap();
        tlo.advance(hours(10)).await.unwrap();
        assert_eq!(tlo.started("cron"), 14, "restarted: {restarted}");
        assert!((13..=14).contains(&tlo.started("interval")));
    }
}

#[tokio::test]
async fn a_clock_set_forward_follows_the_misfire_policy() {
    let mut tlo = start(nothing(task("t").cron("0 * * * *"))).await;
    tlo.advance(hours(2)).await.unwrap();
    tlo.clock().set_wall(tlo.now().saturating_add(hours(10)));
    tlo.run_until_idle().await.unwrap();
    assert_eq!(minutes_of(&tlo.fired("t")), [60, 120, 720]);
    assert_eq!(decisions(&**tlo.store(), "t").await.len(), 1);
}

#[tokio::test]
async fn schedules_survive_the_end_of_the_process_on_sqlite() {
    let place = Place::new();
    let clock = ManualClock::shared();
    let node = || {
        TloContext::for_test()
            .clock(clock.clone())
            .store(place.open_with(clock.clone()))
            .task(nothing(task("t").every("10m")))
            .start()
    };
    let mut tlo = node().await.unwrap();
    tlo.advance(minutes(25)).await.unwrap();
    let first = tlo.fired("t");
    drop(tlo);
    clock.advance(minutes(30));
    let mut tlo = node().await.unwrap();
    tlo.advance(minutes(10)).await.unwrap();
    assert_eq!(minutes_of(&first), [10, 20]);
    assert_eq!(minutes_of(&tlo.fired("t")), [50, 60]);
}

#[tokio::test]
async fn a_year_of_schedules_is_the_same_in_every_run() {
    let mut all = Vec::new();
    for _ in 0..2 {
        let mut tlo = TloContext::for_test()
            .task(nothing(task("hourly").cron("17 * * * *")))
            .task(nothing(
                task("berlin").cron_in("30 2 * * *", "Europe/Berlin"),
            ))
            .start()
            .await
            .unwrap();
        tlo.advance(hours(24 * 365)).await.unwrap();
        assert_eq!(tlo.fired("hourly").len(), 24 * 365);
        assert_eq!(tlo.fired("berlin").len(), 365);
        all.push(format!(
            "{:?}{:?}",
            tlo.fired("berlin"),
            tlo.store().calls()
        ));
    }
    assert_eq!(all[0], all[1]);
}
