//! Pauses and limits of queues, names, schedules and keys, changed while they hold. On memory and on SQLite.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::time::Duration;

use engine_kit::{decisions, on_each_store};
use tlo::client::{LimitChange, Target};
use tlo::prelude::*;
use tlo::store::{Change, TaskFilter, TaskStateStore};
use tlo::task::Rate;
use tlo::testing::{Harness, HarnessBuilder};
use tlo::{ErrorKind, TaskId};

fn program() -> HarnessBuilder {
    let tick = task("tick")
        .every("1m")
        .run(|_: TaskContext, _: ()| async {});
    TloContext::for_test()
        .task(task("good").run(|_: TaskContext, _: ()| async {}))
        .task(
            task("other")
                .gate("user/{user}", 3)
                .run(|_: TaskContext, _: serde_json::Value| async {}),
        )
        .task(tick)
        .set("queues", ["default", "mail"])
}

fn queue(name: &str) -> Target {
    Target::Queue(name.to_owned())
}

fn tick() -> Target {
    Target::Schedule("tick".to_owned())
}

async fn submit(tlo: &Harness, name: &str, queue: &str) -> TaskId {
    let args = serde_json::json!({"user": 7});
    let submit = match name {
        "other" => tlo.client().task(name).args(&args),
        _ => tlo.client().task(name),
    };
    submit.queue(queue).submit().await.unwrap().id().clone()
}

async fn status(tlo: &Harness, id: &TaskId) -> TaskStatus {
    tlo.client().get(id).await.unwrap().status
}

#[tokio::test]
async fn what_is_paused_waits_until_it_goes_on() {
    for (mut tlo, _place) in on_each_store(program).await {
        let ada = tlo.client().acting_as("ada");
        let targets = [
            (queue("mail"), "good", "mail"),
            (Target::Task("good".to_owned()), "good", "default"),
            (Target::Key("user/7".to_owned()), "other", "default"),
        ];
        for (target, name, queue) in targets {
            assert!(ada.pause(&target, Some("the relay is down")).await.unwrap());
            assert!(
                !ada.pause(&target, None).await.unwrap(),
                "it was paused before"
            );
            let id = submit(&tlo, name, queue).await;
            tlo.run_until_idle().await.unwrap();
            assert_eq!(status(&tlo, &id).await, TaskStatus::Pending, "{target}");
            let paused = ada.paused().await.unwrap();
            assert_eq!(paused.len(), 1);
            assert_eq!(paused[0].target, target);
            assert_eq!(paused[0].by.as_deref(), Some("ada"));
            assert_eq!(paused[0].reason.as_deref(), Some("the relay is down"));
            if name == "other" {
                let parked = ada.get(&id).await.unwrap().parked.unwrap();
                assert_eq!(parked.reason, "paused by ada: the relay is down");
            }
            assert!(ada.resume(&target, Some("it is up")).await.unwrap());
            assert!(!ada.resume(&target, None).await.unwrap());
            tlo.run_until_idle().await.unwrap();
            assert_eq!(status(&tlo, &id).await, TaskStatus::Succeeded, "{target}");
            assert!(ada.paused().await.unwrap().is_empty());
            let audit = ada.audit(None, 2).await.unwrap();
            assert_eq!(
                (audit[1].action.as_str(), audit[0].action.as_str()),
                ("pause", "resume")
            );
            assert_eq!(audit[0].data.target, target.to_string());
            assert_eq!(audit[0].data.why.as_deref(), Some("it is up"));
        }
        assert_eq!(ada.audit(None, 100).await.unwrap().len(), 6);
    }
}

#[tokio::test]
async fn a_pause_and_a_limit_of_one_gate_do_not_undo_each_other() {
    for (tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        let mail = queue("mail");
        let three = LimitChange {
            max: Change::Set(Some(3)),
            ..LimitChange::default()
        };
        client.limit(&mail, three, None).await.unwrap();
        client.pause(&mail, Some("why")).await.unwrap();
        let depth = LimitChange {
            max_depth: Change::Set(Some(9)),
            ..LimitChange::default()
        };
        let now = client.limit(&mail, depth, None).await.unwrap();
        assert_eq!((now.max, now.max_depth), (Some(3), Some(9)));
        assert_eq!(
            client.paused().await.unwrap()[0].reason.as_deref(),
            Some("why")
        );
        client.resume(&mail, None).await.unwrap();
        assert_eq!(client.limits().await.unwrap()[0].limits, now);
        client.pause(&mail, None).await.unwrap();
        client
            .limit(&mail, LimitChange::clear(), None)
            .await
            .unwrap();
        assert!(client.limits().await.unwrap().is_empty());
        assert_eq!(client.paused().await.unwrap().len(), 1);
        client.resume(&mail, None).await.unwrap();
        assert!(
            client
                .store()
                .marks("gate/", None, 9)
                .await
                .unwrap()
                .is_empty()
        );
    }
}

#[tokio::test]
async fn limits_hold_from_the_next_claim_on() {
    for (mut tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        let rate = LimitChange {
            rate: Change::Set(Some(Rate {
                n: 1,
                per: Duration::from_secs(10),
                burst: None,
            })),
            ..LimitChange::default()
        };
        let now = client
            .limit(&queue("mail"), rate, Some("slow relay"))
            .await
            .unwrap();
        assert_eq!(now.to_string(), "1 per 10s");
        for _ in 0..3 {
            submit(&tlo, "good", "mail").await;
        }
        let done = async |tlo: &Harness| {
            let filter = TaskFilter {
                name: Some("good".to_owned()),
                ..TaskFilter::status([TaskStatus::Succeeded])
            };
            tlo.client()
                .list(&filter, tlo::PageRequest::default())
                .await
                .unwrap()
                .items
                .len()
        };
        tlo.run_until_idle().await.unwrap();
        assert_eq!(done(&tlo).await, 1);
        tlo.advance(secs(10)).await.unwrap();
        assert_eq!(done(&tlo).await, 2);
        client
            .limit(&queue("mail"), LimitChange::clear(), None)
            .await
            .unwrap();
        tlo.run_until_idle().await.unwrap();
        assert_eq!(done(&tlo).await, 3);
        let depth = LimitChange {
            max_depth: Change::Set(Some(1)),
            ..LimitChange::default()
        };
        client.limit(&queue("mail"), depth, None).await.unwrap();
        let later = || client.task("good").queue("mail").delay(hours(1));
        later().submit().await.unwrap();
        assert_eq!(
            later().submit().await.unwrap_err().kind(),
            ErrorKind::QueueFull
        );
        let audit = client.audit(None, 10).await.unwrap();
        let to: Vec<_> = audit
            .iter()
            .rev()
            .map(|event| event.data.to.as_deref().unwrap())
            .collect();
        assert_eq!(to, ["1 per 10s", "no limit", "at most 1 waiting"]);
    }
}

#[tokio::test]
async fn limits_that_could_not_hold_are_refused() {
    let (tlo, _place) = on_each_store(program).await.remove(0);
    let client = tlo.client();
    let max = |max| LimitChange {
        max: Change::Set(Some(max)),
        ..LimitChange::default()
    };
    let depth = LimitChange {
        max_depth: Change::Set(Some(1)),
        ..LimitChange::default()
    };
    let task = Target::Task("good".to_owned());
    for (target, change, said) in [
        (
            queue("mail"),
            max(0),
            "is 0: nothing would ever run; pause it instead",
        ),
        (task, depth, "has a depth, which only a queue can have"),
        (tick(), max(1), "limit the task of that name"),
        (queue("a\nb"), max(1), "gate key"),
    ] {
        let error = client.limit(&target, change, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(said), "{error}");
    }
    assert!(client.audit(None, 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_paused_schedule_lets_its_slots_pass_and_makes_up_for_none() {
    for (mut tlo, _place) in on_each_store(program).await {
        let ada = tlo.client().acting_as("ada");
        tlo.advance(minutes(2)).await.unwrap();
        assert_eq!(tlo.fired("tick").len(), 2);
        assert!(
            ada.pause(&tick(), Some("the source is away"))
                .await
                .unwrap()
        );
        assert!(!ada.pause(&tick(), None).await.unwrap());
        // The slot after it finds out.
        tlo.advance(minutes(1)).await.unwrap();
        let commits = tlo.store().calls().commit;
        tlo.advance(minutes(9)).await.unwrap();
        assert_eq!(tlo.fired("tick").len(), 2);
        if !tlo.store().capability().shared {
            assert_eq!(
                tlo.store().calls().commit,
                commits,
                "a slot that passes writes nothing"
            );
        }
        // A node that starts meanwhile finds it paused, also with another specification.
        tlo.restart().await.unwrap();
        tlo.advance(minutes(10)).await.unwrap();
        assert_eq!(tlo.fired("tick").len(), 2);
        let paused = ada.paused().await.unwrap();
        assert_eq!(paused[0].target, tick());
        assert_eq!(paused[0].by.as_deref(), Some("ada"));

        tlo.advance(secs(30)).await.unwrap();
        assert!(ada.resume(&tick(), None).await.unwrap());
        assert!(!ada.resume(&tick(), None).await.unwrap());
        tlo.run_until_idle().await.unwrap();
        assert_eq!(tlo.fired("tick").len(), 2);
        tlo.advance(minutes(2)).await.unwrap();
        let fired = tlo.fired("tick");
        let slots: Vec<_> = fired.iter().map(ToString::to_string).collect();
        assert_eq!(slots[2..], ["2026-01-05T00:23:00Z", "2026-01-05T00:24:00Z"]);
        let noted = decisions(&**tlo.store(), "tick").await;
        assert_eq!(noted.len(), 1);
        assert_eq!(noted[0].kind, "paused");
        let data: serde_json::Value = noted[0].data.decode().unwrap();
        assert_eq!(data["from"], "2026-01-05T00:02:00Z");
        assert_eq!(data["to"], "2026-01-05T00:22:30Z");
        assert_eq!(data["why"], "the source is away");
    }
}

#[tokio::test]
async fn a_schedule_that_was_never_started_can_be_paused() {
    for (mut tlo, _place) in on_each_store(|| {
        let late = task("late")
            .every("1m")
            .run_at_start()
            .run(|_: TaskContext, _: ()| async {});
        TloContext::for_test().task(late)
    })
    .await
    {
        let late = Target::Schedule("late".to_owned());
        tlo.run_until_idle().await.unwrap();
        let before = tlo.started("late");
        tlo.client().pause(&late, None).await.unwrap();
        tlo.advance(minutes(5)).await.unwrap();
        tlo.restart().await.unwrap();
        tlo.advance(minutes(5)).await.unwrap();
        assert_eq!(tlo.started("late"), before, "nor does it run at start");
    }
    let (tlo, _place) = on_each_store(program).await.remove(0);
    let error = tlo
        .client()
        .pause(&Target::Schedule("tock".to_owned()), None)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "there is no schedule \"tock\"; did you mean \"tick\"?"
    );
    let error = tlo.client().run_schedule("good", None).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no schedule \"good\"; there are \"tick\""
    );
}

#[tokio::test]
async fn a_schedule_runs_now_without_moving_its_slots() {
    for (mut tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        tlo.advance(secs(30)).await.unwrap();
        let now = client
            .run_schedule("tick", Some("just to see"))
            .await
            .unwrap();
        assert!(now.is_new());
        assert_eq!(now.id().as_str(), "tick@now:2026-01-05T00:00:30Z");
        // It must not overlap with itself: while it waits, the answer is the same run.
        let again = client.run_schedule("tick", None).await.unwrap();
        assert_eq!((again.id(), again.is_new()), (now.id(), false));
        tlo.run_until_idle().await.unwrap();
        let record = now.record().await.unwrap();
        assert_eq!(record.status, TaskStatus::Succeeded);
        assert_eq!(record.schedule.as_deref(), Some("tick"));
        tlo.advance(secs(30)).await.unwrap();
        assert_eq!(tlo.fired("tick").len(), 1);
        let audit = client.audit(None, 10).await.unwrap();
        assert_eq!((audit.len(), audit[0].action.as_str()), (1, "trigger"));
        assert_eq!(audit[0].data.why.as_deref(), Some("just to see"));
    }
}

#[tokio::test]
async fn a_peek_shows_what_would_start_in_its_order_and_takes_nothing() {
    for (mut tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        client.pause(&queue("mail"), None).await.unwrap();
        let mut ids = Vec::new();
        for (priority, delay) in [(1, 0), (9, 0), (9, 0), (200, 3_600)] {
            let submit = client.task("good").queue("mail").priority(priority);
            let handle = submit.delay(secs(delay)).submit().await.unwrap();
            ids.push(handle.id().clone());
        }
        let peek = async |limit| {
            let page = client.peek("mail", limit).await.unwrap();
            assert!(page.complete);
            let ids = page.items.into_iter().map(|item| item.record.id);
            ids.collect::<Vec<_>>()
        };
        assert_eq!(
            peek(10).await,
            [&ids[1], &ids[2], &ids[0]].map(Clone::clone)
        );
        assert_eq!(peek(1).await, [ids[1].clone()]);
        assert_eq!(client.peek("never", 9).await.unwrap().items.len(), 0);
        // What is parked behind a gate of its own would not start.
        client
            .pause(&Target::Key("user/7".to_owned()), None)
            .await
            .unwrap();
        submit(&tlo, "other", "default").await;
        tlo.run_until_idle().await.unwrap();
        assert!(client.peek("default", 9).await.unwrap().items.is_empty());
        client.resume(&queue("mail"), None).await.unwrap();
        tlo.run_until_idle().await.unwrap();
        assert!(client.peek("mail", 9).await.unwrap().items.is_empty());
    }
}
