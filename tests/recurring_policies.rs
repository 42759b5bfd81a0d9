//! What becomes of slots: missed, overlapping, limited, spread; and of schedules when programs and clocks change.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::sync::Arc;
use std::time::Duration;

use engine_kit::{Notes, at, decisions};
use tlo::handler::TaskBuilder;
use tlo::prelude::*;
use tlo::store::{TaskFilter, TaskStateStoreExt};
use tlo::task::{Due, NewTask};
use tlo::testing::Harness;
use tlo::{PageRequest, TaskId};

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
async fn replacing_is_one_write_and_leaves_none_of_many_runs_open() {
    let mut tlo = start(nothing(task("slow").every("10m").overlap(Overlap::Replace))).await;
    tlo.run_until_idle().await.unwrap();
    let open = 1_234;
    for n in 0..open {
        let id = TaskId::new(format!("open{n}")).unwrap();
        let mut new = NewTask::new(id, "slow", Payload::null());
        new.schedule = Some(Arc::from("slow"));
        new.due = Due::In(hours(24));
        tlo.store().create(new).await.unwrap();
    }
    tlo.clock().advance(minutes(10));
    // Whoever writes does not live to hear of it.
    tlo.store().lose_next_answers(1);
    tlo.run_until_idle().await.unwrap();
    let statuses = tlo.client().stats().await.unwrap().statuses;
    assert_eq!(statuses.of("cancelled"), open);
    assert_eq!(minutes_of(&slots(&tlo, "slow").await), [10]);
}

#[tokio::test]
async fn of_slots_that_were_missed_the_newest_replaces_the_others() {
    let policy = task("slow")
        .every("10m")
        .misfire(Misfire::All { max: 10 })
        .overlap(Overlap::Replace);
    let mut tlo = start(nothing(policy)).await;
    be_down(&mut tlo, minutes(45)).await;
    let statuses = tlo.client().stats().await.unwrap().statuses;
    assert_eq!((statuses.of("cancelled"), statuses.of("succeeded")), (3, 1));
    assert_eq!(tlo.started("slow"), 1);
}

#[tokio::test]
async fn an_occurrence_says_which_schedule_made_it() {
    let mut tlo = start(nothing(task("t").every("10m").run_at_start())).await;
    tlo.advance(minutes(11)).await.unwrap();
    let all = tlo
        .client()
        .list(&TaskFilter::name("t"), PageRequest::default())
        .await
        .unwrap();
    let made_by: Vec<_> = all
        .items
        .iter()
        .map(|item| &item.record.created_by)
        .collect();
    assert_eq!(made_by, [&Some("schedule".to_owned()); 2]);
}

/// The slots of all runs of a schedule.
async fn slots(tlo: &Harness, name: &str) -> Vec<Timestamp> {
    let all = tlo
        .client()
        .list(
            &TaskFilter::name(name),
            PageRequest {
                newest_first: true,
                ..PageRequest::first(1_000)
            },
        )
        .await
        .unwrap();
    all.items
        .iter()
        .filter_map(|item| item.record.slot)
        .collect()
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
    let drop_it = Commit::of([Op::DropMark("cursor/t".into())]);
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
    let open = tlo::store::Commit::of([tlo::store::Op::DropMark("gate/queue/full".into())]);
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

/// A schedule that is wrong in itself never gets so far, strict or not.
#[tokio::test]
async fn t16_a_schedule_that_is_wrong_is_refused_at_registration_in_either_mode() {
    for strict in [false, true] {
        for wrong in [
            task("t").cron("61 * * * *"),
            task("t").cron_in("0 3 * * *", "Europe/Nowhere"),
            task("t").every(0),
        ] {
            let started = TloContext::for_test()
                .set("strict", strict)
                .task(nothing(wrong))
                .start()
                .await;
            let error = started.err().unwrap();
            assert_eq!(error.kind(), tlo::ErrorKind::Invalid, "{error}");
            assert!(error.to_string().contains("\"t\""), "{error}");
        }
    }
}
