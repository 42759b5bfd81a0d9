//! What becomes of slots that were missed or that overlap, and what the first start does. Time moves by hand here.
#![allow(clippy::print_stdout, reason = "examples talk")]

use tlo::prelude::*;
use tlo::testing::Harness;

/// A task that does nothing, every ten minutes.
fn every_ten_minutes(name: &str) -> tlo::handler::TaskBuilder {
    task(name).every(minutes(10))
}

/// How long after the start the slots were that ran, in minutes.
fn ran(tlo: &Harness, name: &str, start: Timestamp) -> Vec<u64> {
    let slots = tlo.fired(name);
    slots
        .into_iter()
        .map(|slot| slot.since(start).as_secs() / 60)
        .collect()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> tlo::Result<()> {
    let nothing = |_: TaskContext, _: ()| async {};
    let slow =
        |context: TaskContext, _: ()| async move { context.clock().sleep(minutes(25)).await };
    let mut tlo = TloContext::for_test()
        // The newest of the missed slots runs; this is the default.
        .task(every_ten_minutes("once").run(nothing))
        // None does, unless it is at most two minutes late.
        .task(
            every_ten_minutes("skip")
                .misfire(Misfire::Skip)
                .grace(minutes(2))
                .run(nothing),
        )
        // The newest three do, oldest first.
        .task(
            every_ten_minutes("all")
                .misfire(Misfire::All { max: 3 })
                .overlap(Overlap::Queue)
                .run(nothing),
        )
        // Runs take 25 minutes: a slot is skipped while the last run is unfinished, or they run side by side.
        .task(every_ten_minutes("alone").run(slow))
        .task(
            every_ten_minutes("together")
                .overlap(Overlap::Allow)
                .run(slow),
        )
        // Once when the schedule is first seen, and then as all others.
        .task(every_ten_minutes("eager").run_at_start().run(nothing))
        .start()
        .await?;
    let start = tlo.now();
    tlo.run_until_idle().await?;
    assert_eq!((tlo.started("eager"), tlo.started("once")), (1, 0));

    tlo.advance(minutes(31)).await?;
    println!("after half an hour");
    for (name, expected) in [
        ("once", &[10, 20, 30][..]),
        ("alone", &[10]),
        ("together", &[10, 20, 30]),
    ] {
        let ran = ran(&tlo, name, start);
        println!("  {name:9} {ran:?}");
        assert_eq!(ran, expected, "{name}");
    }

    // Nobody runs the program for an hour and five minutes.
    tlo.clock().advance(minutes(65));
    tlo.restart().await?;
    tlo.run_until_idle().await?;
    println!("after an hour without a runner");
    for (name, expected) in [("once", &[90][..]), ("skip", &[]), ("all", &[70, 80, 90])] {
        let ran: Vec<u64> = ran(&tlo, name, start)
            .into_iter()
            .filter(|minute| *minute > 31)
            .collect();
        println!("  {name:9} {ran:?}");
        assert_eq!(ran, expected, "{name}");
    }
    Ok(())
}
