//! What becomes of slots: missed, overlapping, limited, spread; and of schedules when programs and clocks change.
#![cfg(feature = "testing")]

mod engine_kit;

use std::sync::Arc;
use std::time::Duration;

use engine_kit::{Notes, Place, at, decisions};
use tlo::handler::TaskBuilder;
use tlo::prelude::*;
use tlo::store::{TaskFilter, TaskStateStore};
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
async fn the_first_run_is_the_next_slot_and_intervals_do_not_drift() {
    let mut tlo = start(nothing(task("t").every("10m"))).await;
    tlo.run_until_idle().await.unwrap();
    assert!(tlo.fired("t").is_empty());
    tlo.advance(hours(1)).await.unwrap();
    assert_eq!(minutes_of(&tlo.fired("t")), [10, 20, 30, 40, 50, 60]);
    assert_eq!(tlo.started("t"), 6);
}

#[tokio::test]
async fn t14_one_entry_for_missed_slots_and_none_when_nothing_is_due() {
    let mut tlo = start(nothing(task("t").every("10m"))).await;
    be_down(&mut tlo, minutes(25)).await;
    assert_eq!(minutes_of(&tlo.fired("t")), [20]);
    let all = tlo
        .client()
        .list(&TaskFilter::name("t"), PageRequest::default())
        .await
        .unwrap();
    assert_eq!(all.items.len(), 1);
    assert_eq!(all.items[0].record.id.as_str(), "t@2026-01-05T00:20:00Z");
    // The same instant again, on this node and on one that starts: nothing.
    tlo.run_until_idle().await.unwrap();
    be_down(&mut tlo, Duration::ZERO).await;
    assert_eq!(tlo.fired("t").len(), 1);
}

#[tokio::test]
async fn misfire_once_runs_the_newest_and_notes_the_others_as_one_range() {
    let mut tlo = start(nothing(task("t").every("10m"))).await;
    be_down(&mut tlo, hours(24)).await;
    assert_eq!(minutes_of(&tlo.fired("t")), [24 * 60]);
    let noted = decisions(&**tlo.store(), "t").await;
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].kind, "skipped");
    let data: serde_json::Value = noted[0].data.decode().unwrap();
    assert_eq!(data["count"], 143);
    assert_eq!(data["from"], "2026-01-05T00:10:00Z");
    assert_eq!(data["to"], "2026-01-05T23:50:00Z");
    assert_eq!(data["why"], "misfire");
}

#[tokio::test]
async fn misfire_skip_runs_only_what_is_on_time() {
    let mut tlo = start(nothing(
        task("t").every("10m").misfire(Misfire::Skip).grace("2m"),
    ))
    .await;
    be_down(&mut tlo, minutes(25)).await;
    assert!(tlo.fired("t").is_empty());
    let noted = decisions(&**tlo.store(), "t").await;
    let data: serde_json::Value = noted[0].data.decode().unwrap();
    assert_eq!((data["count"].as_u64(), noted.len()), (Some(2), 1));
    be_down(&mut tlo, minutes(6)).await;
    assert_eq!(minutes_of(&tlo.fired("t")), [30]);
}

#[tokio::test]
async fn misfire_all_makes_up_for_the_newest_oldest_first() {
    let order = Notes::default();
    let noted = order.clone();
    let mut tlo = start(
        task("t")
            .every("10m")
            .misfire(Misfire::All { max: 3 })
            .overlap(Overlap::Queue)
            .run(move |context: TaskContext, _: ()| {
                noted.add(context.slot().unwrap());
                async {}
            }),
    )
    .await;
    be_down(&mut tlo, minutes(65)).await;
    assert_eq!(minutes_of(&order.all()), [40, 50, 60]);
    let skipped = decisions(&**tlo.store(), "t").await;
    let data: serde_json::Value = skipped[0].data.decode().unwrap();
    assert_eq!((data["count"].as_u64(), skipped.len()), (Some(3), 1));
}

#[tokio::test]
async fn overlap_skip_leaves_one_decision_for_a_range_and_runs_again_after_it() {
    let mut tlo = start(
        task("slow")
            .every("10m")
            .run(|context: TaskContext, _: ()| async move {
                context.clock().sleep(minutes(35)).await;
            }),
    )
    .await;
    tlo.advance(hours(2)).await.unwrap();
    // A run from 10 to 45 covers 20, 30 and 40; the one from 50 to 85 covers 60, 70 and 80.
    assert_eq!(minutes_of(&tlo.fired("slow")), [10, 50, 90]);
    let noted = decisions(&**tlo.store(), "slow").await;
    let ranges: Vec<serde_json::Value> = noted
        .iter()
        .map(|event| {
            assert_eq!(event.kind, "overlapped");
            event.data.decode().unwrap()
        })
        .collect();
    assert_eq!(ranges.len(), 2, "{ranges:?}");
    for (range, (from, to, behind)) in ranges.iter().zip([
        ("00:20:00Z", "00:40:00Z", "slow@2026-01-05T00:10:00Z"),
        ("01:00:00Z", "01:20:00Z", "slow@2026-01-05T00:50:00Z"),
    ]) {
        assert_eq!(range["count"], 3);
        assert!(range["from"].as_str().unwrap().ends_with(from), "{range}");
        assert!(range["to"].as_str().unwrap().ends_with(to), "{range}");
        assert_eq!(range["behind"], behind);
    }
}

#[tokio::test]
async fn overlapped_slots_survive_a_restart_and_do_not_count_as_runs() {
    let mut tlo = start(task("slow").every("10m").max_runs(2).run(
        |context: TaskContext, _: ()| async move {
            context.clock().sleep(minutes(35)).await;
        },
    ))
    .await;
    tlo.advance(minutes(30)).await.unwrap();
    tlo.restart().await.unwrap();
    tlo.advance(hours(3)).await.unwrap();
    assert_eq!(tlo.fired("slow").len(), 2, "{:?}", tlo.fired("slow"));
    let noted = decisions(&**tlo.store(), "slow").await;
    let first: serde_json::Value = noted[0].data.decode().unwrap();
    assert!(first["from"].as_str().unwrap().ends_with("00:20:00Z"));
    let ended = tlo
        .events()
        .iter()
        .filter(|event| matches!(event, Lifecycle::ScheduleEnded { .. }))
        .count();
    assert_eq!(ended, 1);
}

#[tokio::test]
async fn overlap_queue_runs_one_after_another() {
    let mut tlo = start(
        task("slow")
            .every("10m")
            .overlap(Overlap::Queue)
            .max_runs(3)
            .run(|context: TaskContext, _: ()| async move {
                context.clock().sleep(minutes(25)).await;
            }),
    )
    .await;
    tlo.advance(minutes(34)).await.unwrap();
    assert_eq!((tlo.fired("slow").len(), tlo.started("slow")), (3, 1));
    tlo.advance(minutes(2)).await.unwrap();
    assert_eq!(tlo.started("slow"), 2);
    tlo.advance(hours(1)).await.unwrap();
    assert_eq!(tlo.started("slow"), 3);
}

#[tokio::test]
async fn overlap_allow_runs_side_by_side() {
    let mut tlo = start(task("slow").every("10m").overlap(Overlap::Allow).run(
        |context: TaskContext, _: ()| async move {
            context.clock().sleep(minutes(25)).await;
        },
    ))
    .await;
    tlo.advance(minutes(31)).await.unwrap();
    assert_eq!(tlo.started("slow"), 3);
    assert_eq!(
        tlo.client().stats().await.unwrap().statuses.of("running"),
        3
    );
}

#[tokio::test]
async fn overlap_replace_cancels_the_run_before() {
    let mut tlo = start(task("slow").every("10m").overlap(Overlap::Replace).run(
        |context: TaskContext, _: ()| async move {
            tokio::select! {
                () = context.clock().sleep(minutes(25)) => Ok(()),
                () = context.cancelled() => Err(context.interrupted()),
            }
        },
    ))
    .await;
    tlo.advance(minutes(31)).await.unwrap();
    assert_eq!(tlo.started("slow"), 3);
    let statuses = tlo.client().stats().await.unwrap().statuses;
    assert_eq!((statuses.of("cancelled"), statuses.of("running")), (2, 1));
}

#[tokio::test]
async fn max_runs_and_windows_end_a_schedule() {
    let mut tlo = start(nothing(task("t").every("10m").max_runs(4))).await;
    tlo.advance(hours(5)).await.unwrap();
    assert_eq!(tlo.fired("t").len(), 4);
    tlo.restart().await.unwrap();
    tlo.advance(hours(5)).await.unwrap();
    assert_eq!(tlo.fired("t").len(), 4);

    let window = task("t")
        .every("10m")
        .between(at("2026-01-05T00:30:00Z"), at("2026-01-05T01:00:00Z"));
    let mut tlo = start(nothing(window)).await;
    tlo.advance(hours(5)).await.unwrap();
    assert_eq!(minutes_of(&tlo.fired("t")), [30, 40, 50, 60]);
}

#[tokio::test]
async fn jitter_is_bounded_and_the_same_for_a_slot() {
    let begun = Notes::default();
    let noted = begun.clone();
    let define = move || {
        let noted = noted.clone();
        task("t")
            .every("10m")
            .jitter("3m")
            .run(move |context: TaskContext, _: ()| {
                let late = context.clock().now().since(context.slot().unwrap());
                noted.add(late);
                async {}
            })
    };
    for _ in 0..2 {
        let mut tlo = start(define()).await;
        tlo.advance(hours(24)).await.unwrap();
    }
    let all = begun.all();
    let (first, second) = all.split_at(all.len() / 2);
    assert_eq!(first, second);
    assert!(first.len() >= 143);
    assert!(first.iter().all(|late| *late < minutes(3)), "{first:?}");
    let spread: std::collections::BTreeSet<_> = first.iter().collect();
    assert!(spread.len() > 100, "{} different delays", spread.len());
}

#[tokio::test]
async fn t17_a_yearly_task_does_not_fire_at_start() {
    let mut tlo = TloContext::for_test()
        .at(at("2026-06-15T12:00:00Z"))
        .task(nothing(task("yearly").cron("0 0 1 1 *")))
        .task(nothing(task("eager").cron("0 0 1 1 *").run_at_start()))
        .start()
        .await
        .unwrap();
    tlo.advance(hours(24)).await.unwrap();
    assert_eq!((tlo.started("yearly"), tlo.started("eager")), (0, 1));
    tlo.advance(hours(24 * 365)).await.unwrap();
    assert_eq!((tlo.started("yearly"), tlo.started("eager")), (1, 2));
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
async fn a_start_after_days_without_a_runner_is_in_a_new_period() {
    let task = task("t").every("1h").run_at_start().misfire(Misfire::Skip);
    let mut tlo = start(nothing(task)).await;
    tlo.run_until_idle().await.unwrap();
    be_down(&mut tlo, minutes(3 * 24 * 60 + 30)).await;
    assert_eq!(tlo.started("t"), 2);
}

#[tokio::test]
async fn nodes_that_start_together_make_one_run_at_start() {
    let clock = ManualClock::shared();
    let ids = Arc::new(IdSource::seeded(1));
    let store: tlo::store::SharedStore = Arc::new(MemoryStore::new(clock.clone(), ids));
    // The second node reads the cursors before the first writes them, and its clock is a little ahead.
    let late = ManualClock::at(clock.now().saturating_add(millis(3)));
    let define = || nothing(task("t").every("1h").run_at_start());
    let slow = Arc::new(Late {
        inner: store.clone(),
        marks: parking_lot::Mutex::new(Some(Vec::new())),
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

/// Answers the first look at the marks as it was before somebody else wrote.
#[derive(Debug)]
struct Late {
    inner: tlo::store::SharedStore,
    marks: parking_lot::Mutex<Option<Vec<tlo::store::Mark>>>,
}

#[async_trait::async_trait]
impl TaskStateStore for Late {
    fn capability(&self) -> tlo::store::Capability {
        self.inner.capability()
    }
    async fn commit(
        &self,
        commits: Vec<tlo::store::Commit>,
    ) -> tlo::Result<Vec<tlo::store::Committed>> {
        self.inner.commit(commits).await
    }
    async fn claim(&self, request: tlo::store::ClaimRequest) -> tlo::Result<tlo::store::Claims> {
        self.inner.claim(request).await
    }
    async fn get(&self, ids: &[tlo::TaskId]) -> tlo::Result<Vec<Option<tlo::TaskStateRecord>>> {
        self.inner.get(ids).await
    }
    async fn list(
        &self,
        filter: &TaskFilter,
        page: PageRequest,
    ) -> tlo::Result<tlo::Page<tlo::task::TaskSummary>> {
        self.inner.list(filter, page).await
    }
    async fn count(
        &self,
        filter: &TaskFilter,
        by: tlo::store::CountBy,
        limit: usize,
    ) -> tlo::Result<tlo::store::Counts> {
        self.inner.count(filter, by, limit).await
    }
    async fn events(
        &self,
        stream: &tlo::store::StreamId,
        from: u64,
        limit: usize,
    ) -> tlo::Result<Vec<tlo::store::Event>> {
        self.inner.events(stream, from, limit).await
    }
    async fn marks(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> tlo::Result<Vec<tlo::store::Mark>> {
        if let Some(before) = self.marks.lock().take() {
            return Ok(before);
        }
        self.inner.marks(prefix, after, limit).await
    }
    async fn maintain(&self, request: tlo::store::Maintain) -> tlo::Result<tlo::store::Maintained> {
        self.inner.maintain(request).await
    }
    fn hints(&self) -> tlo::store::HintStream {
        self.inner.hints()
    }
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
async fn f18_occurrence_and_cursor_are_one_write() {
    // The answer of every commit is lost in turn: whatever was applied, no slot is lost or doubled.
    for lost in 0..6_u64 {
        let mut tlo = start(nothing(task("t").every("10m").overlap(Overlap::Allow))).await;
        tlo.run_until_idle().await.unwrap();
        for step in 0..12 {
            if step == lost {
                tlo.store().lose_next_answers(1);
            }
            tlo.advance(minutes(10)).await.unwrap();
        }
        let created: Vec<_> = tlo.store().created().iter().map(|task| task.slot).collect();
        let unique: std::collections::BTreeSet<_> = created.iter().collect();
        assert_eq!((created.len(), unique.len()), (12, 12), "lost {lost}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_delays_slots_and_loses_none() {
    let mut tlo = start(nothing(
        task("t")
            .every("10s")
            .misfire(Misfire::All { max: 1_000 })
            .overlap(Overlap::Allow),
    ))
    .await;
    tlo.advance(secs(35)).await.unwrap();
    tlo.store().be_away(true);
    tlo.advance(minutes(10)).await.unwrap();
    tlo.store().be_away(false);
    tlo.advance(secs(25)).await.unwrap();
    assert_eq!(tlo.fired("t").len(), 66);
    assert_eq!(tlo.started("t"), 66);
}

#[tokio::test]
async fn a_cursor_that_was_dropped_or_damaged_is_made_anew() {
    use tlo::store::{Commit, Op, TaskStateStoreExt};
    let mut tlo = start(nothing(task("t").every("10m"))).await;
    tlo.advance(minutes(30)).await.unwrap();
    let store = Arc::clone(tlo.store());
    let drop_it = Commit::of([Op::DropMark("cursor/t".to_owned())]);
    store.apply(drop_it).await.unwrap();
    tlo.advance(minutes(30)).await.unwrap();
    let damaged = tlo::Payload::of("damaged").unwrap();
    store
        .put_mark("cursor/t", damaged, None, None)
        .await
        .unwrap();
    tlo.advance(minutes(30)).await.unwrap();
    assert_eq!(tlo.fired("t").len(), 9);
}

#[tokio::test]
async fn a_slot_that_the_store_refuses_is_noted_and_the_schedule_goes_on() {
    use tlo::store::TaskStateStoreExt;
    let mut tlo = TloContext::for_test()
        .task(nothing(
            task("t").every("10m").overlap(Overlap::Allow).queue("full"),
        ))
        .start()
        .await
        .unwrap();
    tlo.advance(minutes(10)).await.unwrap();
    let rule = tlo::Payload::of(&serde_json::json!({"max_depth": 0})).unwrap();
    let store = Arc::clone(tlo.store());
    store
        .put_mark("gate/queue/full", rule, None, None)
        .await
        .unwrap();
    tlo.advance(minutes(10)).await.unwrap();
    let open = tlo::store::Commit::of([tlo::store::Op::DropMark("gate/queue/full".to_owned())]);
    store.apply(open).await.unwrap();
    tlo.advance(minutes(10)).await.unwrap();
    assert_eq!(minutes_of(&tlo.fired("t")), [10, 30]);
    let noted = decisions(&*store, "t").await;
    assert_eq!((noted.len(), noted[0].kind.as_str()), (1, "refused"));
}

#[tokio::test]
async fn t16_strict_mode_ends_with_the_error_of_a_schedule() {
    use tlo::store::TaskStateStoreExt;
    let mut tlo = TloContext::for_test()
        .set("strict", true)
        .task(nothing(task("t").every("10m").queue("full")))
        .start()
        .await
        .unwrap();
    let rule = tlo::Payload::of(&serde_json::json!({"max_depth": 0})).unwrap();
    let store = Arc::clone(tlo.store());
    store
        .put_mark("gate/queue/full", rule, None, None)
        .await
        .unwrap();
    let error = tlo.advance(minutes(10)).await.unwrap_err();
    assert_eq!(error.kind(), tlo::ErrorKind::QueueFull, "{error}");
    assert_eq!(store.created().len(), 0);
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
