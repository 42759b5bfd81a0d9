//! `client.why`: each link of the chain of a task, on memory and SQLite.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::time::Duration;

use engine_kit::{on_each_store, plain_retry};
use tlo::client::{LimitChange, Reason, Target, TaskAction, Why, WorkerInfo};
use tlo::prelude::*;
use tlo::store::{Change, ClaimRequest, Lanes, TaskFilter, TaskStateStore, TaskStateStoreExt};
use tlo::task::{AttemptEnd, Rate, UniqueScope};
use tlo::testing::{Harness, HarnessBuilder};
use tlo::{ErrorKind, Payload, TaskId, WorkerId};

fn program() -> HarnessBuilder {
    let slow =
        task("slow")
            .exclusive("{user}")
            .run(|context: TaskContext, _: Payload| async move {
                context.clock().sleep(hours(2)).await;
            });
    let flaky = task("flaky")
        .max_attempts(2)
        .retry(plain_retry(secs(60)))
        .run(|_: TaskContext, _: ()| async {
            TaskResult::<()>::Err(TaskError::retry("no luck\nat all"))
        });
    let nap = task("nap").run(|context: TaskContext, _: ()| async move {
        match context.attempt() {
            1 if context.record().attempts.is_empty() => Err(TaskError::snooze(minutes(5))),
            _ => Ok(()),
        }
    });
    TloContext::for_test()
        .task(slow)
        .task(flaky)
        .task(nap)
        .task(task("good").run(|_: TaskContext, _: ()| async {}))
        .task(task("other").declare())
}

/// As each worker on a shared store says that it lives.
async fn live(tlo: &Harness, name: &str, info: WorkerInfo) {
    let value = Payload::of(&info).unwrap();
    let mark = format!("worker/{name}");
    let ttl = Some(hours(1000));
    tlo.store().put_mark(&mark, value, None, ttl).await.unwrap();
}

fn worker(names: &[&str], concurrency: usize) -> WorkerInfo {
    WorkerInfo {
        pid: 1,
        version: "1".to_owned(),
        queues: vec!["default".to_owned()],
        names: names.iter().map(ToString::to_string).collect(),
        versions: None,
        concurrency,
        declares: None,
    }
}

const ALL: [&str; 5] = ["slow", "flaky", "nap", "good", "other"];

async fn why(tlo: &Harness, id: &TaskId) -> Why {
    tlo.client().why(id.as_str()).await.unwrap()
}

fn reasons(why: &Why) -> Vec<Reason> {
    why.links.iter().map(|link| link.reason.clone()).collect()
}

fn last(why: &Why) -> &Reason {
    &why.links.last().unwrap().reason
}

async fn submit(tlo: &Harness, name: &str) -> TaskId {
    let handle = tlo.client().task(name).submit().await.unwrap();
    handle.id().clone()
}

#[tokio::test]
async fn a_delay_a_retry_a_snooze_and_the_ends() {
    for (mut tlo, _place) in on_each_store(program).await {
        live(&tlo, "w", worker(&ALL, 9)).await;
        let client = tlo.client().acting_as("ada");
        let parent = submit(&tlo, "other").await;
        let later = client.task("good").delay(minutes(3)).expires_in(hours(1));
        let later = later
            .parent(parent.clone())
            .priority(7)
            .submit()
            .await
            .unwrap();
        let told = why(&tlo, later.id()).await;
        assert_eq!(told.status, Some(TaskStatus::Pending));
        assert_eq!(
            reasons(&told),
            [
                Reason::Created {
                    by: Some("ada".to_owned()),
                    parent: Some(parent),
                    queue: "default".to_owned(),
                    priority: 7
                },
                Reason::Delayed,
                Reason::ExpiresAt
            ]
        );
        let due = later.record().await.unwrap().run_at;
        assert_eq!(told.links[1].at, Some(due));

        let (flaky, nap) = (submit(&tlo, "flaky").await, submit(&tlo, "nap").await);
        tlo.run_until_idle().await.unwrap();
        let told = why(&tlo, &flaky).await;
        let failed = |reason: &Reason, number| {
            matches!(reason, Reason::Attempt { attempt, end: AttemptEnd::Failed, error: Some(error), .. }
                if *attempt == number && error == "no luck\nat all")
        };
        assert!(failed(&told.links[1].reason, 1), "{told:?}");
        let again = Reason::RetryAt {
            attempt: 2,
            max_attempts: 2,
        };
        assert_eq!(last(&told), &again);
        let at = tlo.client().get(&flaky).await.unwrap().run_at;
        assert_eq!(told.links.last().unwrap().at, Some(at));
        assert_eq!(last(&why(&tlo, &nap).await), &Reason::SnoozedUntil);

        tlo.advance(minutes(10)).await.unwrap();
        let told = why(&tlo, &flaky).await;
        assert!(failed(&told.links[2].reason, 2), "{told:?}");
        let failure = Reason::Failed {
            error: "no luck\nat all".to_owned(),
        };
        assert_eq!(last(&told), &failure);
        assert_eq!(failure.to_string(), "failed for good: no luck");
        assert_eq!(last(&why(&tlo, &nap).await), &Reason::Succeeded);

        client.revive(&flaky).await.unwrap();
        let told = why(&tlo, &flaky).await;
        assert!(
            matches!(&told.links[3].reason, Reason::Steered { action, who: Some(who), .. }
                if action == "revive" && who == "ada"),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn who_cancelled_it_and_why_and_what_came_too_late() {
    for (mut tlo, _place) in on_each_store(program).await {
        let client = tlo.client().acting_as("ada");
        let id = submit(&tlo, "other").await;
        client.cancel(&id, "typo in the args").await.unwrap();
        let told = why(&tlo, &id).await;
        assert!(
            matches!(&told.links[1].reason, Reason::Steered { action, who, why, .. }
                if action == "cancel" && who.as_deref() == Some("ada") && why.as_deref() == Some("typo in the args"))
        );
        let cancelled = Reason::Cancelled {
            why: "typo in the args".to_owned(),
        };
        assert_eq!(last(&told), &cancelled);

        let running = client.task("slow").args(&serde_json::json!({"user": 1}));
        let running = running.submit().await.unwrap();
        tlo.run_until_idle().await.unwrap();
        client.cancel(running.id(), "enough").await.unwrap();
        let told = why(&tlo, running.id()).await;
        assert_eq!(told.status, Some(TaskStatus::Running));
        assert_eq!(last(&told), &Reason::CancelRequested);

        let late = client.task("good").delay(minutes(1)).expires_in(secs(1));
        let late = late.submit().await.unwrap();
        tlo.advance(minutes(2)).await.unwrap();
        let told = why(&tlo, late.id()).await;
        let expired = Reason::Expired {
            why: "expired before it started".to_owned(),
        };
        assert_eq!(last(&told), &expired);

        // What failed and is revived with others has no audit event of its own.
        let flaky = submit(&tlo, "flaky").await;
        tlo.advance(minutes(5)).await.unwrap();
        let all = TaskFilter::name("flaky");
        let report = client
            .bulk(TaskAction::Revive(tlo::task::Due::Now), all)
            .run()
            .await;
        assert_eq!(report.unwrap().done, 1);
        let told = reasons(&why(&tlo, &flaky).await);
        assert!(told.contains(&Reason::Revived { forgiven: 2 }), "{told:?}");
    }
}

#[tokio::test]
async fn keys_are_owned_and_given_up() {
    for (mut tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        let owner = client
            .task("good")
            .unique("order/7", UniqueScope::WhileUnfinished);
        let owner = owner.submit().await.unwrap();
        let again = client
            .task("good")
            .unique("order/7", UniqueScope::WhileUnfinished);
        let again = again.submit().await.unwrap();
        assert_eq!(owner.id(), again.id());
        let owns = Reason::OwnsKey {
            key: "order/7".to_owned(),
            scope: UniqueScope::WhileUnfinished,
            until: None,
        };
        assert!(reasons(&why(&tlo, owner.id()).await).contains(&owns));
        let text = "owns the key \"order/7\" until it has ended: submits of it give this id";
        assert_eq!(owns.to_string(), text);
        tlo.run_until_idle().await.unwrap();
        let gave = Reason::GaveKeyUp {
            key: "order/7".to_owned(),
        };
        assert!(reasons(&why(&tlo, owner.id()).await).contains(&gave));
    }
}

#[tokio::test]
async fn a_gate_is_full_of_those_who_hold_it_and_a_rate_says_when() {
    for (mut tlo, _place) in on_each_store(program).await {
        live(&tlo, "w", worker(&ALL, 9)).await;
        let client = tlo.client();
        let mut of_one_user = Vec::new();
        for _ in 0..2 {
            let slow = client.task("slow").args(&serde_json::json!({"user": 7}));
            of_one_user.push(slow.submit().await.unwrap().id().clone());
        }
        tlo.run_until_idle().await.unwrap();
        let told = why(&tlo, &of_one_user[1]).await;
        let gate = client
            .get(&of_one_user[1])
            .await
            .unwrap()
            .parked
            .unwrap()
            .gate;
        let full = Reason::GateFull {
            gate: gate.clone(),
            limit: 1,
            held_by: vec![of_one_user[0].clone()],
        };
        assert_eq!(last(&told), &full);
        let text = full.to_string();
        assert!(
            text.ends_with(&format!("(limit 1), held by {}", of_one_user[0])),
            "{text}"
        );

        let rate = Rate {
            n: 1,
            per: Duration::from_secs(3600),
            burst: None,
        };
        let limits = LimitChange {
            rate: Change::Set(Some(rate)),
            ..LimitChange::default()
        };
        client
            .limit(&Target::Key("api".to_owned()), limits, None)
            .await
            .unwrap();
        let mut limited = Vec::new();
        for _ in 0..2 {
            let good = client.task("good").gate("api", 100);
            limited.push(good.submit().await.unwrap().id().clone());
        }
        tlo.run_until_idle().await.unwrap();
        let told = why(&tlo, &limited[1]).await;
        let rate = Reason::GateRate {
            gate: "api".to_owned(),
            starts: 1,
            per: hours(1),
        };
        let link = told.links.last().unwrap();
        assert_eq!(link.reason, rate);
        assert_eq!(link.at, Some(tlo.now().saturating_add(hours(1))));
    }
}

#[tokio::test]
async fn a_pause_says_who_and_why() {
    for (mut tlo, _place) in on_each_store(program).await {
        live(&tlo, "w", worker(&ALL, 9)).await;
        let ada = tlo.client().acting_as("ada");
        for (target, gate) in [
            (Target::Queue("default".to_owned()), "queue/default"),
            (Target::Task("good".to_owned()), "task/good"),
            (Target::Key("api".to_owned()), "api"),
        ] {
            ada.pause(&target, Some("the relay is down")).await.unwrap();
            let since = tlo.now();
            let id = ada.task("good").gate("api", 5).submit().await.unwrap();
            tlo.run_until_idle().await.unwrap();
            let told = why(&tlo, id.id()).await;
            let paused = Reason::Paused {
                gate: gate.to_owned(),
                by: Some("ada".to_owned()),
                why: Some("the relay is down".to_owned()),
            };
            assert_eq!(last(&told), &paused, "{target}");
            assert_eq!(told.links.last().unwrap().at, Some(since));
            ada.resume(&target, None).await.unwrap();
            tlo.run_until_idle().await.unwrap();
            assert_eq!(last(&why(&tlo, id.id()).await), &Reason::Succeeded);
        }
    }
}

#[tokio::test]
async fn a_shared_store_knows_whether_a_worker_can_run_it() {
    for (tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        let is_shared = tlo.store().capability().shared;
        let waits = client.task("god").allow_unknown().submit().await.unwrap();
        let nobody = last(&why(&tlo, waits.id()).await).clone();
        if !is_shared {
            assert_eq!(nobody, Reason::Ready);
            continue;
        }
        assert!(
            nobody.to_string().ends_with("; no worker is alive"),
            "{nobody}"
        );
        live(&tlo, "w", worker(&["good"], 1)).await;
        let Reason::NoWorker {
            name,
            alive,
            nearest,
            ..
        } = last(&why(&tlo, waits.id()).await).clone()
        else {
            panic!("a worker was found");
        };
        assert_eq!((&*name, alive), ("god", 1));
        assert_eq!(nearest.as_deref(), Some("w, which knows \"good\""));

        let elsewhere = client.task("good").queue("mail").submit().await.unwrap();
        let text = last(&why(&tlo, elsewhere.id()).await).to_string();
        assert!(text.contains("of queue mail that knows \"good\""), "{text}");
        assert!(
            text.contains("w, which knows \"good\" and serves default"),
            "{text}"
        );
        client.delete(waits.id()).await.unwrap();

        let running = submit(&tlo, "good").await;
        let lanes = Lanes::new(["default"], ["good"]);
        let request = ClaimRequest {
            worker: WorkerId::new("w").unwrap(),
            lanes,
            limit: 1,
            ttl: hours(1),
        };
        assert_eq!(
            tlo.store().claim(request).await.unwrap().tasks[0].id,
            running
        );
        let next = submit(&tlo, "good").await;
        let busy = Reason::WorkersBusy {
            running: 1,
            places: 1,
        };
        assert_eq!(last(&why(&tlo, &next).await), &busy);
    }
}

#[tokio::test]
async fn others_start_first() {
    for (tlo, _place) in on_each_store(program).await {
        live(&tlo, "w", worker(&ALL, 9)).await;
        let client = tlo.client();
        let early = submit(&tlo, "good").await;
        let ours = submit(&tlo, "good").await;
        let urgent = client.task("good").priority(9).submit().await.unwrap();
        let behind = Reason::BehindOthers {
            queue: "default".to_owned(),
            ahead: 2,
            at_least: false,
            higher_priority: 1,
            first: urgent.id().clone(),
        };
        assert_eq!(last(&why(&tlo, &ours).await), &behind);
        assert_eq!(last(&why(&tlo, urgent.id()).await), &Reason::Ready);
        assert_ne!(early, ours);
    }
}

#[tokio::test]
async fn a_lease_is_held_ended_and_reclaimed() {
    for (mut tlo, _place) in on_each_store(program).await {
        live(&tlo, "w", worker(&ALL, 9)).await;
        let id = submit(&tlo, "good").await;
        let dead = WorkerId::new("dead").unwrap();
        let request = ClaimRequest {
            worker: dead.clone(),
            lanes: Lanes::new(["default"], ["good"]),
            limit: 1,
            ttl: secs(30),
        };
        assert_eq!(tlo.store().claim(request).await.unwrap().tasks.len(), 1);
        let told = why(&tlo, &id).await;
        let until = tlo.now().saturating_add(secs(30));
        let leased = Reason::Leased {
            attempt: 1,
            worker: dead.clone(),
            until,
            fence: 1,
        };
        assert_eq!(last(&told), &leased);
        tlo.clock().advance(secs(31));
        let ended = Reason::LeaseEnded {
            worker: dead.clone(),
        };
        assert_eq!(last(&why(&tlo, &id).await), &ended);
        tlo.advance(minutes(5)).await.unwrap();
        let told = reasons(&why(&tlo, &id).await);
        assert!(
            matches!(&told[1], Reason::Reclaimed { attempt: 1, worker, after } if *worker == dead && *after >= secs(30)),
            "{told:?}"
        );
        assert!(matches!(
            &told[2],
            Reason::Attempt {
                attempt: 2,
                end: AttemptEnd::Succeeded,
                ..
            }
        ));
        assert_eq!(told[3], Reason::Succeeded);
    }
}

#[tokio::test]
async fn beginnings_and_mistakes_of_ids() {
    for (tlo, _place) in on_each_store(program).await {
        let client = tlo.client();
        for id in ["order-17", "order-18"] {
            let id = TaskId::new(id).unwrap();
            client.task("other").id(id).submit().await.unwrap();
        }
        assert_eq!(client.why("order-17").await.unwrap().subject, "order-17");
        let error = client.why("order-1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("order-17, order-18"));
        let error = client.why("odrer-18").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.to_string().ends_with("did you mean \"order-18\"?"),
            "{error}"
        );
        let error = client.why("nobody@2026-01-01T00:00:00Z").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let json = serde_json::to_value(client.why("order-17").await.unwrap()).unwrap();
        assert_eq!(json["links"][0]["reason"], "created");
        assert_eq!(json["status"], "pending");
    }
}
