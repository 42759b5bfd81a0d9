//! Observers are told of each act of somebody who steers, once it was done.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use tlo::client::{LimitChange, Target, TaskAction};
use tlo::prelude::*;
use tlo::store::{Change, TaskFilter};
use tlo::task::Due;
use tlo::testing::Harness;

/// What was told: action, target, who, why, new value, tasks changed and tasks that refused.
type Told = (
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<u64>,
    u64,
);

fn told(tlo: &Harness) -> Vec<Told> {
    let steered = |event: Lifecycle| match event {
        Lifecycle::Steered {
            action,
            target,
            who,
            why,
            to,
            count,
            refused,
        } => Some((action, target, who, why, to, count, refused)),
        _ => None,
    };
    tlo.events().into_iter().filter_map(steered).collect()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test]
async fn each_act_is_told_with_who_and_why_and_what_was_not_done_is_not() {
    let tlo = TloContext::for_test()
        .task(task("t").declare())
        .task(task("tick").every("1h").run(|_: TaskContext, _: ()| {}))
        .start()
        .await
        .unwrap();
    let ada = tlo.client().acting_as("ada");
    let handle = ada.task("t").submit().await.unwrap();
    let id = handle.id();
    assert!(told(&tlo).is_empty());

    ada.move_to(id, "mail").await.unwrap();
    ada.reprioritise(id, 9).await.unwrap();
    ada.reschedule(id, Due::In(hours(1))).await.unwrap();
    ada.cancel(id, "a typo").await.unwrap();
    assert!(ada.cancel(id, "once more").await.is_err());
    ada.revive(id).await.unwrap();
    let mail = Target::Queue("mail".to_owned());
    assert!(ada.pause(&mail, Some("the relay is down")).await.unwrap());
    assert!(!ada.pause(&mail, None).await.unwrap());
    assert!(ada.resume(&mail, None).await.unwrap());
    let two = LimitChange {
        max: Change::Set(Some(2)),
        ..LimitChange::default()
    };
    ada.limit(&mail, two, None).await.unwrap();
    let tick = Target::Schedule("tick".to_owned());
    assert!(ada.pause(&tick, None).await.unwrap());
    assert!(ada.resume(&tick, None).await.unwrap());
    let run = ada.run_schedule("tick", Some("to see it")).await.unwrap();
    ada.delete(run.id()).await.unwrap();

    let told = told(&tlo);
    assert!(told.iter().all(|(_, _, who, ..)| *who == text("ada")));
    let acts: Vec<(&str, &str)> = told
        .iter()
        .map(|(action, target, ..)| (action.as_str(), target.as_str()))
        .collect();
    let (id, run) = (id.as_str(), run.id().as_str());
    let (queue, schedule) = ("queue \"mail\"", "schedule \"tick\"");
    assert_eq!(
        acts,
        [
            ("move", id),
            ("reprioritise", id),
            ("reschedule", id),
            ("cancel", id),
            ("revive", id),
            ("pause", queue),
            ("resume", queue),
            ("limit", queue),
            ("pause", schedule),
            ("resume", schedule),
            ("trigger", schedule),
            ("purge", run),
        ]
    );
    assert_eq!((told[0].4.clone(), told[0].5), (text("mail"), Some(1)));
    assert_eq!(told[3].3, text("a typo"));
    assert_eq!(
        (told[5].3.clone(), told[5].5),
        (text("the relay is down"), None)
    );
    assert_eq!(told[10].4, text(run));
    // The audit says the same.
    let audit = ada.audit(None, 100).await.unwrap();
    let audited: Vec<(&str, &str)> = audit
        .iter()
        .rev()
        .map(|event| (event.action.as_str(), event.data.target.as_str()))
        .collect();
    assert_eq!(acts, audited);
}

#[tokio::test]
async fn a_bulk_operation_is_told_once_with_its_numbers() {
    let tlo = TloContext::for_test()
        .task(task("t").declare())
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    let submits = (0..1_200).map(|_| client.task("t"));
    client.submit_many(submits).await.unwrap();
    for (prefix, count) in [("t", 1_200), ("nobody", 0)] {
        let filter = TaskFilter::name(prefix);
        let bulk = client.bulk(TaskAction::Cancel, filter).why("enough");
        assert_eq!(bulk.run().await.unwrap().done, count);
    }
    let told = told(&tlo);
    assert_eq!(told.len(), 1, "{told:?}");
    let (action, target, _, why, _, count, refused) = &told[0];
    assert_eq!(
        (action.as_str(), target.as_str()),
        ("cancel", "tasks with name \"t\"")
    );
    assert_eq!((why, *count, *refused), (&text("enough"), Some(1_200), 0));
}
