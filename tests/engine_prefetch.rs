//! Tasks that are leased before a place is free: renewed, cancelled and handed back like those that run, and never more of
//! them run than there are places.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

mod engine_kit;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine_kit::{Notes, Place, memory, program, until, within};
use tlo::prelude::*;
use tlo::store::SharedStore;
use tlo::{Clock, SystemClock};
use tokio::sync::Semaphore;

/// Runs until it is let go, and says which one it is.
fn held(begun: &Notes<u32>, go_on: &Arc<Semaphore>) -> Task {
    let (begun, go_on) = (begun.clone(), Arc::clone(go_on));
    task("t").run(move |_: TaskContext, number: u32| {
        begun.add(number);
        let go_on = Arc::clone(&go_on);
        async move { go_on.acquire().await.unwrap().forget() }
    })
}

#[tokio::test]
async fn what_waits_for_a_place_is_leased_renewed_and_begins_in_order() {
    let (begun, go_on) = (Notes::default(), Arc::new(Semaphore::new(0)));
    let mut tlo = TloContext::for_test()
        .set("concurrency", 2)
        .set("prefetch", 3)
        .task(held(&begun, &go_on))
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    let submits = (0..7_u32).map(|number| client.task("t").args(&number));
    let handles = client.submit_many(submits).await.unwrap();
    tlo.run_until_idle().await.unwrap();
    let leased = async || {
        let mut leased = 0;
        for handle in &handles {
            leased += usize::from(handle.status().await.unwrap() == TaskStatus::Running);
        }
        leased
    };
    assert_eq!((begun.all(), leased().await), (vec![0, 1], 5));
    // Much longer than the lease of 30 s.
    tlo.advance(minutes(5)).await.unwrap();
    assert_eq!((begun.len(), leased().await), (2, 5));
    // One that is cancelled while it waits does not begin.
    handles[2].cancel("enough").await.unwrap();
    tlo.run_until_idle().await.unwrap();
    // It ends without waiting for its place.
    assert_eq!(handles[2].status().await.unwrap(), TaskStatus::Cancelled);
    go_on.add_permits(1);
    tlo.run_until_idle().await.unwrap();
    assert_eq!(handles[2].status().await.unwrap(), TaskStatus::Cancelled);
    assert_eq!(begun.all(), [0, 1, 3]);
    go_on.add_permits(10);
    tlo.run_until_idle().await.unwrap();
    assert_eq!(begun.all(), [0, 1, 3, 4, 5, 6]);
    for (number, handle) in handles
        .iter()
        .enumerate()
        .filter(|(number, _)| *number != 2)
    {
        let record = handle.record().await.unwrap();
        assert_eq!(
            (record.status, record.leases),
            (TaskStatus::Succeeded, 1),
            "{number}"
        );
    }
}

#[tokio::test]
async fn what_waits_for_a_place_is_handed_back_when_the_worker_stops() {
    // On a durable store a drain leaves what waits.
    let store = Place::new();
    let (begun, go_on) = (Notes::default(), Arc::new(Semaphore::new(0)));
    let tlo = program()
        .store(store.open())
        .set("concurrency", 1)
        .set("prefetch", 2)
        .task(held(&begun, &go_on))
        .build()
        .await
        .unwrap();
    let client = tlo.client();
    let submits = (0..3_u32).map(|number| client.task("t").args(&number));
    let handles = client.submit_many(submits).await.unwrap();
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run());
    until("all are leased, and the first has begun", async || {
        handles[2].status().await.unwrap() == TaskStatus::Running && begun.all() == [0]
    })
    .await;
    stop.stop();
    // Long before the one that runs has ended.
    for handle in &handles[1..] {
        until("it is handed back", async || {
            handle.status().await.unwrap() == TaskStatus::Pending
        })
        .await;
        let record = handle.record().await.unwrap();
        assert_eq!((record.attempt, record.lost), (0, 0));
    }
    assert_eq!(handles[0].status().await.unwrap(), TaskStatus::Running);
    go_on.add_permits(1);
    within("the runner stops", running).await.unwrap().unwrap();
    assert_eq!(handles[0].status().await.unwrap(), TaskStatus::Succeeded);
    assert_eq!(begun.all(), [0]);
}

/// All of them, each once, never more at a time than places; how long it took.
async fn run_all(store: SharedStore, count: usize, prefetch: usize, work: Duration) -> Duration {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running_now, seen) = (Arc::clone(&now), Arc::clone(&most));
    let tlo = program()
        .store(store)
        .set("concurrency", 2)
        .set("prefetch", prefetch)
        .task(task("t").run(move |context: TaskContext, _: ()| {
            let (now, seen) = (Arc::clone(&running_now), Arc::clone(&seen));
            async move {
                seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                if !work.is_zero() {
                    context.clock().sleep(work).await;
                }
                now.fetch_sub(1, Ordering::SeqCst);
            }
        }))
        .build()
        .await
        .unwrap();
    let client = tlo.client();
    let submits = (0..count).map(|_| client.task("t"));
    let handles = client.submit_many(submits).await.unwrap();
    let begun = SystemClock.steady().at;
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run());
    for handle in &handles {
        let done = engine_kit::within("it ends", handle.wait()).await.unwrap();
        assert_eq!((done.status, done.leases), (TaskStatus::Succeeded, 1));
    }
    let took = SystemClock.steady().at - begun;
    assert!(most.load(Ordering::SeqCst) <= 2);
    stop.stop();
    running.await.unwrap().unwrap();
    took
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn places_stand_idle_for_less_time_and_never_more_run_than_there_are() {
    for work in [Duration::ZERO, millis(2)] {
        run_all(memory(), 500, 7, work).await;
    }
    // The best of three of each: a machine with other work to do adds to the rest.
    let (mut without, mut with) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        without = without.min(run_all(Place::new().open(), 200, 0, millis(3)).await);
        with = with.min(run_all(Place::new().open(), 200, 6, millis(3)).await);
    }
    println!(
        "200 tasks of 3 ms in two places on SQLite: {without:?}, with 6 leased ahead {with:?}"
    );
    assert!(with < without, "{with:?}, and {without:?} without");
}

#[tokio::test]
async fn what_expires_while_it_waits_for_a_place_does_not_begin() {
    let (begun, go_on) = (Notes::default(), Arc::new(Semaphore::new(0)));
    let mut tlo = TloContext::for_test()
        .set("concurrency", 1)
        .set("prefetch", 1)
        .task(held(&begun, &go_on))
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    client.task("t").args(&1_u32).submit().await.unwrap();
    let late = client.task("t").args(&2_u32).expires_in(minutes(1));
    let late = late.submit().await.unwrap();
    tlo.advance(minutes(2)).await.unwrap();
    assert_eq!(late.status().await.unwrap(), TaskStatus::Running);
    go_on.add_permits(2);
    tlo.run_until_idle().await.unwrap();
    assert_eq!(begun.all(), [1]);
    assert_eq!(late.status().await.unwrap(), TaskStatus::Cancelled);
}

#[tokio::test]
async fn a_timeout_and_its_deadline_count_from_the_begin_and_not_from_the_lease() {
    let left: Notes<Duration> = Notes::default();
    let noted = left.clone();
    let mut tlo = TloContext::for_test()
        .set("concurrency", 1)
        .set("prefetch", 1)
        .task(
            task("t")
                .timeout("10s")
                .run(move |context: TaskContext, _: ()| {
                    let deadline = context.deadline().unwrap();
                    noted.add(deadline.since(context.clock().now()));
                    async move { context.clock().sleep(secs(9)).await }
                }),
        )
        .start()
        .await
        .unwrap();
    let client = tlo.client();
    let submits = (0..2).map(|_| client.task("t"));
    let handles = client.submit_many(submits).await.unwrap();
    tlo.run_until_idle().await.unwrap();
    assert_eq!(handles[1].status().await.unwrap(), TaskStatus::Running);
    tlo.advance(secs(20)).await.unwrap();
    assert_eq!(left.all(), [secs(10), secs(10)]);
    for handle in &handles {
        assert_eq!(handle.status().await.unwrap(), TaskStatus::Succeeded);
    }
}
