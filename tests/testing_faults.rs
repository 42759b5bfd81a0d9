//! Faults of a probe: which call they meet, on which side of its effect, and what a slow store does to a program.
#![cfg(feature = "testing")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;
use std::time::Duration;

use tlo::prelude::*;
use tlo::store::{SharedStore, TaskStateStore, TaskStateStoreExt};
use tlo::task::NewTask;
use tlo::testing::{Fault, ManualClock, ProbeStore, Verb, Weather};
use tlo::{Clock, IdSource, MemoryStore, Payload, TaskId};

fn probe() -> (Arc<ProbeStore>, Arc<ManualClock>) {
    let clock = ManualClock::shared();
    let time = Arc::clone(&clock) as Arc<dyn Clock>;
    let store: SharedStore = Arc::new(MemoryStore::new(
        Arc::clone(&time),
        Arc::new(IdSource::seeded(1)),
    ));
    (ProbeStore::on_clock(store, time), clock)
}

fn new(id: &str) -> NewTask {
    NewTask::new(TaskId::new(id).unwrap(), "t", Payload::null())
}

#[tokio::test]
async fn the_named_call_fails_and_no_other() {
    let (probe, _) = probe();
    probe.plan(Fault::fail(Verb::Commit).call(2));
    assert!(probe.enqueue(new("a")).await.is_ok());
    assert!(probe.get(&[]).await.is_ok(), "a read is no commit");
    assert!(probe.enqueue(new("b")).await.unwrap_err().is_retryable());
    assert!(probe.enqueue(new("c")).await.is_ok());
    assert!(
        probe.read(&TaskId::new("b").unwrap()).await.is_err(),
        "it failed before it was written"
    );
}

#[tokio::test]
async fn after_its_effect_only_the_answer_is_lost() {
    let (probe, _) = probe();
    probe.plan(Fault::fail(Verb::Write).after_effect().times(2));
    assert!(probe.enqueue(new("a")).await.is_err());
    assert!(probe.enqueue(new("a")).await.is_err());
    assert!(probe.read(&TaskId::new("a").unwrap()).await.is_ok());
    assert_eq!(probe.enqueue(new("a")).await.unwrap().as_str(), "a");
    assert_eq!(probe.created().len(), 1);
}

#[tokio::test]
async fn a_delay_takes_time_of_the_clock_before_or_after_the_effect() {
    for (fault, is_written) in [
        (Fault::delay(Verb::Commit, secs(5)), false),
        (Fault::delay(Verb::Commit, secs(5)).after_effect(), true),
    ] {
        let (probe, clock) = probe();
        probe.plan(fault);
        let call = tokio::spawn({
            let probe = Arc::clone(&probe);
            async move { probe.enqueue(new("a")).await }
        });
        clock.until_sleeping(1).await;
        assert_eq!(clock.next_wake(), Some(secs(5)));
        assert_eq!((probe.under_way(), probe.in_flight()), (1, 0));
        let there = probe.read(&TaskId::new("a").unwrap()).await.is_ok();
        assert_eq!(there, is_written);
        clock.advance(secs(5));
        call.await.unwrap().unwrap();
        assert_eq!(probe.under_way(), 0);
    }
}

#[tokio::test]
async fn a_call_that_hangs_is_never_answered() {
    let (probe, clock) = probe();
    probe.plan(Fault::hang(Verb::Claim));
    probe.plan(Fault::hang(Verb::Commit).after_effect());
    let call = probe.enqueue(new("a"));
    tokio::select! {
        biased;
        _ = call => unreachable!("nobody answers"),
        () = std::future::ready(()) => {}
    }
    clock.advance(Duration::from_secs(1_000_000));
    assert!(probe.read(&TaskId::new("a").unwrap()).await.is_ok());
    probe.heal();
    let worker = tlo::WorkerId::new("w#1").unwrap();
    let leased = probe.lease(&worker, "default", &["t"], 1, secs(30)).await;
    assert_eq!(leased.unwrap().len(), 1, "what is healed hangs no more");
}

#[tokio::test]
async fn weather_is_the_same_for_the_same_seed() {
    let weather = Weather {
        fail: 0.2,
        lose: 0.2,
        slow: 0.0,
        longest: Duration::ZERO,
    };
    let mut histories = Vec::new();
    for seed in [1, 1, 2] {
        let (probe, _) = probe();
        probe.set_weather(weather, seed);
        let mut history = Vec::new();
        for number in 0..100 {
            history.push(probe.enqueue(new(&format!("t{number}"))).await.is_ok());
        }
        let failed = history.iter().filter(|done| !**done).count();
        assert!((15..60).contains(&failed), "{failed} of 100 calls failed");
        assert!(probe.created().len() > 100 - failed, "some were written");
        histories.push(history);
    }
    assert_eq!(histories[0], histories[1]);
    assert_ne!(histories[0], histories[2]);
}

#[tokio::test]
async fn a_slow_store_takes_time_of_the_harness() {
    let mut tlo = TloContext::for_test()
        .task(task("t").run(|_: TaskContext, _: ()| async {}))
        .start()
        .await
        .unwrap();
    let start = tlo.now();
    let handle = tlo.client().task("t").submit().await.unwrap();
    tlo.store().plan(Fault::delay(Verb::Claim, secs(7)));
    tlo.store()
        .plan(Fault::delay(Verb::Commit, secs(2)).after_effect());
    tlo.run_until_idle().await.unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Succeeded);
    assert_eq!(tlo.now(), start.saturating_add(secs(9)));
}
