//! What observers are told of runs, and what is kept of them, when clocks and writes cross.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod engine_kit;

use std::sync::Arc;

use engine_kit::{Wrapped, memory, program, until};
use tlo::Clock;
use tlo::observe::Lifecycle;
use tlo::prelude::*;
use tlo::store::SharedStore;
use tlo::testing::ManualClock;
use tokio::sync::Notify;

#[tokio::test]
async fn how_long_a_run_took_does_not_depend_on_a_wall_clock_that_is_set() {
    let clock = ManualClock::shared();
    let moves = Arc::clone(&clock);
    let mut tlo = TloContext::for_test()
        .clock(Arc::clone(&clock))
        .task(task("t").run(move |_: TaskContext, hours_back: i64| {
            let clock = Arc::clone(&moves);
            async move {
                clock.advance(secs(2));
                let now = clock.now();
                clock.set_wall(if hours_back > 0 {
                    now.saturating_sub(hours(1))
                } else {
                    now.saturating_add(hours(1))
                });
                clock.advance(secs(1));
            }
        }))
        .start()
        .await
        .unwrap();
    for hours_back in [1, -1] {
        let submit = tlo.client().task("t").args(&hours_back);
        submit.submit().await.unwrap();
        tlo.run_until_idle().await.unwrap();
    }
    let events = tlo.events();
    let took = events.iter().filter_map(|event| match event {
        Lifecycle::Succeeded { took, .. } => Some(*took),
        _ => None,
    });
    assert_eq!(took.collect::<Vec<_>>(), [secs(3), secs(3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_are_on_their_way_when_a_run_ends_are_kept() {
    let (ends, settled) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let store: SharedStore = Arc::new(Wrapped {
        // The renewal that carries the lines reaches the store after the end of the run.
        late_renewal: Some((Arc::clone(&ends), Arc::clone(&settled))),
        ..Wrapped::around(memory())
    });
    let tlo = program()
        .store(store)
        .task(task("t").run(move |context: TaskContext, _: ()| {
            let ends = Arc::clone(&ends);
            async move {
                context.log("the last line");
                ends.notified().await;
            }
        }))
        .build()
        .await
        .unwrap();
    let client = tlo.client();
    let handle = client.task("t").submit().await.unwrap();
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run_until(std::future::pending()));
    until("the run is over", async || {
        handle.status().await.unwrap() == TaskStatus::Succeeded
    })
    .await;
    let lines = client.log(handle.id(), 1).await.unwrap();
    let lines: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines, ["the last line"]);
    stop.stop();
    running.await.unwrap().unwrap();
}
