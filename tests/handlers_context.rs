//! What a handler learns from its context, and what it says through it.

use std::time::Duration;

use tlo::handler::{Extensions, TaskContextBuilder};
use tlo::prelude::*;
use tlo::task::{Ended, Outcome, decide};
use tlo::{ErrorKind, PAYLOAD_LIMIT, TaskStatus};

#[test]
fn the_context_shows_the_record() {
    let slot: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
    let context = TaskContextBuilder::new("report")
        .attempt(2)
        .slot(slot)
        .record(|record| {
            record.max_attempts = 7;
            record.fence = 9;
            record.headers.insert("traceparent".into(), "00-ab".into());
            record.timeout = Some(Duration::from_secs(60));
        })
        .build();
    assert_eq!(
        (context.name(), context.attempt(), context.max_attempts()),
        ("report", 2, 7)
    );
    assert_eq!((context.fence(), context.slot()), (9, Some(slot)));
    assert_eq!(context.schedule(), Some("report"));
    assert_eq!(context.headers()["traceparent"], "00-ab");
    assert_eq!(context.record().status, TaskStatus::Running);
    assert!(context.id().as_str() == "test" && context.worker().as_str() == "test");
    let left = context.deadline().unwrap().since(context.clock().now());
    assert!(left > Duration::from_secs(50) && left <= Duration::from_secs(60));
    assert_eq!(TaskContext::for_test("x").deadline(), None);
}

#[test]
fn shared_state_is_found_by_type() {
    struct Database(&'static str);
    let context = TaskContextBuilder::new("x")
        .state(Database("pg"))
        .state(7_u32)
        .build();
    assert_eq!(context.state::<Database>().unwrap().0, "pg");
    assert_eq!(*context.get::<u32>().unwrap(), 7);
    let error = context.get::<String>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    for word in ["String", ".state(", "Database", "u32"] {
        assert!(
            error.to_string().contains(word),
            "{word} is not in: {error}"
        );
    }
    let none = TaskContext::for_test("x").get::<u32>().unwrap_err();
    assert!(none.to_string().contains("there is: none"), "{none}");
}

#[test]
fn what_a_layer_adds_is_seen_inside_only() {
    let outside = TaskContext::for_test("x");
    let inside = outside.clone().with(5_u8);
    assert_eq!(
        (inside.state::<u8>().as_deref(), outside.state::<u8>()),
        (Some(&5), None)
    );
    inside.progress("both are the same run").unwrap();
    assert_eq!(
        outside.take_progress().unwrap().as_str(),
        "\"both are the same run\""
    );
}

#[test]
fn extensions_replace_and_share() {
    let mut extensions = Extensions::default();
    assert!(extensions.insert(1_u8).is_none());
    let before = extensions.clone();
    assert_eq!(extensions.insert(2_u8).as_deref(), Some(&1));
    assert_eq!(
        (
            before.get::<u8>().as_deref(),
            extensions.get::<u8>().as_deref()
        ),
        (Some(&1), Some(&2))
    );
}

#[test]
fn only_the_latest_progress_is_kept_and_taken_once() {
    let context = TaskContext::for_test("x");
    assert_eq!(context.take_progress(), None);
    context.progress(0.1).unwrap();
    context
        .clone()
        .progress(serde_json::json!({"done": 2}))
        .unwrap();
    assert_eq!(context.take_progress().unwrap().as_str(), r#"{"done":2}"#);
    assert_eq!(context.take_progress(), None);
    let error = context.progress("x".repeat(PAYLOAD_LIMIT)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(context.take_progress(), None);
}

#[tokio::test]
async fn an_interruption_is_heard_and_its_first_reason_stays() {
    let context = TaskContext::for_test("x");
    assert_eq!(
        (context.is_cancelled(), context.interruption()),
        (false, None)
    );
    let waiting = tokio::spawn({
        let context = context.clone();
        async move {
            context.cancelled().await;
            context.interruption()
        }
    });
    context.interrupt(Interruption::Stopping);
    context.interrupt(Interruption::Cancelled);
    assert_eq!(waiting.await.unwrap(), Some(Interruption::Stopping));

    let plain = TaskContext::for_test("x");
    plain.cancellation().cancel();
    assert_eq!(plain.interruption(), Some(Interruption::Cancelled));
}

#[test]
fn giving_up_ends_as_the_reason_says() {
    let settled = |why: Interruption, ended: Ended| {
        let context = TaskContext::for_test("x");
        let settlement = decide(ended, context.record(), 0.0);
        (why, settlement.status, settlement.give_back)
    };
    for (why, status, give_back) in [
        (Interruption::Cancelled, TaskStatus::Cancelled, false),
        (Interruption::Stopping, TaskStatus::Pending, true),
        (Interruption::TimedOut, TaskStatus::Pending, false),
    ] {
        let context = TaskContext::for_test("x");
        context.interrupt(why);
        let by_error = Ended::Returned(Outcome::Error(context.interrupted()));
        assert_eq!(settled(why, by_error), (why, status, give_back));
        assert_eq!(settled(why, why.ended()), (why, status, give_back));
    }
}
