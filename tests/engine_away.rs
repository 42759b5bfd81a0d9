//! A store that fails for a while: nothing is run twice, nothing is lost, nothing is flooded.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

mod engine_kit;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine_kit::{Notes, Place, program, until};
use tlo::IdSource;
use tlo::prelude::*;
use tlo::store::TaskStateStore;
use tlo::testing::{Harness, ProbeStore};

/// Counts its runs; each takes ten seconds.
async fn counting(runs: &Arc<AtomicUsize>) -> Harness {
    let counted = Arc::clone(runs);
    TloContext::for_test()
        .set("concurrency", 4)
        .task(task("t").run(move |context: TaskContext, _: ()| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move { context.clock().sleep(secs(10)).await }
        }))
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn ends_of_runs_wait_for_the_store_and_keep_their_places() {
    let runs = Arc::default();
    let mut tlo = counting(&runs).await;
    for _ in 0..10 {
        tlo.client().task("t").submit().await.unwrap();
    }
    tlo.advance(secs(5)).await.unwrap();
    tlo.store().be_away(true);
    tlo.advance(secs(20)).await.unwrap();
    // The four that ended are not recorded, so no other four were begun; and they are not tried without pause.
    assert_eq!(runs.load(Ordering::SeqCst), 4);
    let tried = tlo.store().calls().commit;
    assert!(tried < 40, "{tried} commits");
    tlo.store().be_away(false);
    tlo.advance(secs(40)).await.unwrap();
    let stats = tlo.client().stats().await.unwrap();
    assert_eq!(
        (stats.statuses.of("succeeded"), runs.load(Ordering::SeqCst)),
        (10, 10)
    );
    assert!(tlo.events().iter().any(|event| matches!(
        event,
        Lifecycle::StoreFailed {
            operation: "settle",
            ..
        }
    )));
}

#[tokio::test]
async fn an_end_whose_answer_was_lost_is_recorded_once() {
    let runs = Arc::default();
    let mut tlo = counting(&runs).await;
    let handle = tlo.client().task("t").submit().await.unwrap();
    tlo.run_until_idle().await.unwrap();
    tlo.clock().advance(secs(10));
    tlo.store().lose_next_answers(1);
    tlo.advance(secs(5)).await.unwrap();
    let record = handle.record().await.unwrap();
    assert_eq!(
        (record.status, record.attempts.len()),
        (TaskStatus::Succeeded, 1)
    );
    let told = tlo
        .events()
        .iter()
        .filter(|event| event.kind() == "succeeded")
        .count();
    assert_eq!((told, runs.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn a_store_that_is_away_for_longer_than_a_lease_costs_no_second_run() {
    let runs = Arc::default();
    let mut tlo = counting(&runs).await;
    let handle = tlo.client().task("t").submit().await.unwrap();
    tlo.advance(secs(5)).await.unwrap();
    tlo.store().be_away(true);
    tlo.advance(secs(300)).await.unwrap();
    tlo.store().be_away(false);
    tlo.advance(secs(10)).await.unwrap();
    let record = handle.record().await.unwrap();
    assert_eq!(
        (record.status, record.leases, record.lost),
        (TaskStatus::Succeeded, 1, 0)
    );
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn claims_that_fail_are_tried_again_after_a_pause() {
    let runs = Arc::default();
    let mut tlo = counting(&runs).await;
    tlo.store().be_away(true);
    tlo.advance(secs(30)).await.unwrap();
    let claims = tlo.store().calls().claim;
    assert!(
        (20..=40).contains(&claims),
        "{claims} claims in half a minute"
    );
    tlo.store().be_away(false);
    let handle = tlo.client().task("t").submit().await.unwrap();
    tlo.advance(secs(11)).await.unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Succeeded);
}

#[tokio::test]
async fn random_failures_lose_and_double_nothing() {
    let seed: u64 = std::env::var("TLO_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(20_260_105);
    let chance = IdSource::seeded(seed);
    let runs = Notes::default();
    let noted = runs.clone();
    let mut tlo = TloContext::for_test()
        .set("concurrency", 4)
        .task(task("t").run(move |context: TaskContext, n: usize| {
            noted.add((n, context.fence()));
            async move { context.clock().sleep(secs(1)).await }
        }))
        .start()
        .await
        .unwrap();
    let mut handles = Vec::new();
    for n in 0..300 {
        handles.push(tlo.client().task("t").args(&n).submit().await.unwrap());
        match chance.unit() {
            unit if unit < 0.1 => tlo.store().fail_next(3),
            unit if unit < 0.2 => tlo.store().lose_next_answers(2),
            _ => {}
        }
        // The submit itself must not meet the fault.
        tlo.advance(millis(700)).await.unwrap();
        tlo.store().fail_next(0);
        tlo.store().lose_next_answers(0);
    }
    tlo.advance(hours(1)).await.unwrap();
    for handle in &handles {
        let record = tlo
            .store()
            .get(std::slice::from_ref(handle.id()))
            .await
            .unwrap()
            .remove(0);
        // Memory keeps what has ended for an hour.
        if let Some(record) = record {
            assert_eq!(record.status, TaskStatus::Succeeded, "seed {seed}");
            // A claim whose answer was lost is a lease without a run.
            assert_eq!(record.leases, 1 + u64::from(record.lost), "seed {seed}");
        }
    }
    let mut seen: Vec<_> = runs.all().into_iter().map(|(n, _)| n).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..300).collect::<Vec<_>>(), "seed {seed}");
    println!(
        "300 runs, each once, seed {seed}, {:?}",
        tlo.store().calls()
    );
}

#[tokio::test]
async fn a_runner_on_real_time_lives_through_a_store_that_goes_and_comes() {
    let place = Place::new();
    let probe = ProbeStore::around(place.open());
    let context = program()
        .store(probe.clone())
        .set("lease", "1s")
        .task(
            task("tick")
                .every("100ms")
                .misfire(Misfire::All { max: 100 })
                .overlap(Overlap::Allow)
                .run(|_: TaskContext, _: ()| async {}),
        )
        .build()
        .await
        .unwrap();
    let client = context.client();
    let runner = Runner::new(context);
    let handle = runner.handle();
    let running = tokio::spawn(runner.run_until(std::future::pending()));
    let succeeded = async || {
        client
            .stats()
            .await
            .is_ok_and(|stats| stats.statuses.of("succeeded") >= 3)
    };
    until("it ticks", succeeded).await;
    probe.be_away(true);
    let before = probe.calls().total();
    until("it was asked in vain", async || {
        probe.calls().total() > before + 5
    })
    .await;
    probe.be_away(false);
    let done = client.stats().await.unwrap().statuses.of("succeeded");
    until("it ticks again", async || {
        client.stats().await.unwrap().statuses.of("succeeded") > done + 3
    })
    .await;
    handle.stop();
    running.await.unwrap().unwrap();
    let slots: Vec<i64> = probe
        .created()
        .iter()
        .map(|task| task.slot.unwrap().as_micros())
        .collect();
    assert!(
        slots.windows(2).all(|pair| pair[1] - pair[0] == 100_000),
        "{slots:?}"
    );
}
