//! `client.why`: what became of slots of schedules, on memory and SQLite.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::sync::Arc;

use engine_kit::{at, on_each_store};

use tlo::client::{LimitChange, Reason, Target};
use tlo::prelude::*;
use tlo::schedule::SkipReason;
use tlo::store::Change;
use tlo::testing::{Harness, HarnessBuilder, ManualClock};
use tlo::{ErrorKind, TaskId};

fn program() -> HarnessBuilder {
    TloContext::for_test()
        .at(at("2026-01-05T00:00:00Z"))
        .task(
            task("long")
                .cron("0 * * * *")
                .run(|context: TaskContext, _: ()| async move {
                    context.clock().sleep(minutes(150)).await;
                }),
        )
        .task(
            task("tick")
                .cron("*/10 * * * *")
                .max_runs(500)
                .run(|_: TaskContext, _: ()| async {}),
        )
        .task(
            task("twice")
                .cron("30 * * * *")
                .max_runs(2)
                .run(|_: TaskContext, _: ()| async {}),
        )
}

async fn why(tlo: &Harness, subject: &str) -> (Option<Timestamp>, Reason) {
    let told = tlo.client().why(subject).await.unwrap();
    let link = told.links.last().unwrap().clone();
    (link.at, link.reason)
}

#[tokio::test]
async fn what_fired_what_overlapped_and_what_comes() {
    for (mut tlo, _place) in on_each_store(program).await {
        tlo.advance(minutes(130)).await.unwrap();
        let told = tlo
            .client()
            .why("long@2026-01-05T02:00:00+01:00")
            .await
            .unwrap();
        let first = "long@2026-01-05T01:00:00Z";
        assert_eq!(
            (told.subject.as_str(), told.status),
            (first, Some(TaskStatus::Running))
        );
        assert_eq!(
            told.links[0].reason,
            Reason::SlotFired {
                schedule: "long".to_owned(),
                slot: at("2026-01-05T01:00:00Z"),
                id: TaskId::new(first).unwrap()
            }
        );
        // Skipped while the run goes on, and noted when it has ended.
        let overlap = |reason: &Reason| matches!(reason, Reason::SlotOverlapped { behind, .. } if behind.as_str() == first);
        let (_, reason) = why(&tlo, "long@2026-01-05T02:00:00Z").await;
        assert!(overlap(&reason), "{reason:?}");
        tlo.advance(hours(3)).await.unwrap();
        let (noted, reason) = why(&tlo, "long@2026-01-05T02:00:00Z").await;
        assert!(noted.is_some() && overlap(&reason), "{reason:?}");

        let (at_then, reason) = why(&tlo, "long@2026-01-07T02:00:00Z").await;
        assert_eq!(
            (at_then, reason),
            (Some(at("2026-01-07T02:00:00Z")), Reason::SlotToCome)
        );
        let (next, reason) = why(&tlo, "tick").await;
        assert_eq!(
            (next, reason),
            (Some(at("2026-01-05T05:20:00Z")), Reason::SlotToCome)
        );
        let (_, reason) = why(&tlo, "tick@2026-01-05T05:13:00Z").await;
        let near = Reason::NoSuchSlot {
            before: Some(at("2026-01-05T05:10:00Z")),
            after: Some(at("2026-01-05T05:20:00Z")),
        };
        assert_eq!(reason, near);
        let (since, reason) = why(&tlo, "tick@2026-01-01T00:00:00Z").await;
        assert_eq!(
            (since, reason),
            (Some(at("2026-01-05T00:00:00Z")), Reason::SlotBeforeStart)
        );
        let (_, reason) = why(&tlo, "twice").await;
        assert_eq!(reason, Reason::ScheduleUsedUp { runs: 2 });
    }
}

#[tokio::test]
async fn what_was_missed_what_is_paused_and_what_is_gone() {
    for (mut tlo, _place) in on_each_store(program).await {
        tlo.run_until_idle().await.unwrap();
        // Nothing of the program runs for an hour.
        tlo.clock().advance(minutes(65));
        let (slot, reason) = why(&tlo, "tick@2026-01-05T00:10:00Z").await;
        assert_eq!(
            (slot, reason),
            (Some(at("2026-01-05T00:10:00Z")), Reason::SlotUndecided)
        );
        tlo.restart().await.unwrap();
        tlo.run_until_idle().await.unwrap();
        let (_, reason) = why(&tlo, "tick@2026-01-05T00:20:00Z").await;
        assert_eq!(
            reason,
            Reason::SlotSkipped {
                from: at("2026-01-05T00:10:00Z"),
                to: at("2026-01-05T00:50:00Z"),
                count: 5,
                why: SkipReason::Misfire
            }
        );

        let ada = tlo.client().acting_as("ada");
        let target = Target::Schedule("tick".to_owned());
        ada.pause(&target, Some("a freeze")).await.unwrap();
        let paused = |until| Reason::SchedulePaused {
            by: Some("ada".to_owned()),
            why: Some("a freeze".to_owned()),
            until,
        };
        let since = tlo.now();
        tlo.advance(minutes(30)).await.unwrap();
        let now_paused = why(&tlo, "tick@2026-01-05T01:10:00Z").await;
        assert_eq!(now_paused, (Some(since), paused(None)));
        ada.resume(&target, None).await.unwrap();
        let resumed = tlo.now();
        let was_paused = why(&tlo, "tick@2026-01-05T01:10:00Z").await;
        assert_eq!(was_paused, (Some(since), paused(Some(resumed))));

        tlo.advance(minutes(10)).await.unwrap();
        let id = TaskId::new("tick@2026-01-05T01:40:00Z").unwrap();
        assert_eq!(why(&tlo, id.as_str()).await.1, Reason::Succeeded);
        ada.delete(&id).await.unwrap();
        assert_eq!(why(&tlo, id.as_str()).await.1, Reason::SlotForgotten);

        let error = tlo
            .client()
            .why("tikc@2026-01-05T01:40:00Z")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.to_string().ends_with("did you mean \"tick\"?"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_the_store_refused_and_what_has_no_further_slot() {
    let build = || {
        let tiny = task("tiny").queue("tiny").cron("0 * * * *").declare();
        let once = task("once")
            .after("10m")
            .run(|_: TaskContext, _: ()| async {});
        TloContext::for_test()
            .at(at("2026-01-05T00:00:00Z"))
            .task(tiny)
            .task(once)
    };
    for (mut tlo, _place) in on_each_store(build).await {
        let client = tlo.client();
        let queue = Target::Queue("tiny".to_owned());
        let limits = LimitChange {
            max_depth: Change::Set(Some(1)),
            ..LimitChange::default()
        };
        client.limit(&queue, limits, None).await.unwrap();
        let waits = client.task("tiny").submit().await.unwrap();
        tlo.advance(minutes(65)).await.unwrap();
        let (_, reason) = why(&tlo, "tiny@2026-01-05T01:00:00Z").await;
        let slot = at("2026-01-05T01:00:00Z");
        assert!(
            matches!(&reason, Reason::SlotRefused { from, to, why }
                if (*from, *to) == (slot, slot) && why.contains("tiny")),
            "{reason:?}"
        );
        assert!(
            reason.to_string().starts_with("refused by the store: "),
            "{reason}"
        );
        assert_eq!(why(&tlo, "once").await, (None, Reason::NoFurtherSlot));
        drop(waits);
    }
}

#[tokio::test]
async fn of_a_schedule_that_is_defined_elsewhere_only_what_was_decided_is_known() {
    let store = engine_kit::memory();
    let clock = ManualClock::shared();
    let other =
        |builder: HarnessBuilder| builder.clock(Arc::clone(&clock)).store(Arc::clone(&store));
    let tick = task("tick")
        .every("10m")
        .run(|_: TaskContext, _: ()| async {});
    let mut there = other(TloContext::for_test().task(tick))
        .start()
        .await
        .unwrap();
    there.advance(minutes(20)).await.unwrap();
    let fired = there.fired("tick");
    let here = other(TloContext::for_test()).start().await.unwrap();
    let slot = format!("tick@{}", fired[1]);
    assert_eq!(why(&here, &slot).await.1, Reason::Succeeded);
    let last = (Some(fired[1]), Reason::ScheduleUndefined);
    assert_eq!(why(&here, "tick").await, last);
    let next = format!("tick@{}", fired[1].saturating_add(minutes(10)));
    assert_eq!(why(&here, &next).await, last);
}
