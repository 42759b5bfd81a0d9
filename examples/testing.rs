//! Testing a program that uses TLO: time moves only when the test moves it.
//!
//! Run it with `cargo run --example testing --features testing`.
#![allow(clippy::print_stdout, reason = "examples talk")]

use tlo::prelude::*;

/// A program: every morning a report, which asks for one letter per reader.
fn report() -> Task {
    task("report")
        .cron_in("0 8 * * MON-FRI", "Europe/Berlin")
        .args(["ada", "grace"])
        .run(|context: TaskContext, readers: Vec<String>| async move {
            for reader in readers {
                context
                    .client()
                    .task("letter")
                    .args(&reader)
                    .submit()
                    .await?;
            }
            TaskResult::Ok(())
        })
}

/// The post office is closed at first.
fn letter() -> Task {
    task("letter").run(|context: TaskContext, reader: String| async move {
        if context.attempt() == 1 {
            return Err(TaskError::retry("the post office is closed"));
        }
        Ok(format!("sent to {reader}"))
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> tlo::Result<()> {
    let mut tlo = TloContext::for_test()
        .task(report())
        .task(letter())
        .start()
        .await?;

    // From Monday midnight to the first report, and on until its letters were tried twice.
    tlo.advance(hours(12)).await?;
    assert_eq!(tlo.fired("report"), ["2026-01-05T07:00:00Z".parse()?]);
    tlo.assert_submitted("letter", "ada");
    assert_eq!(tlo.started("letter"), 4);

    // A year of mornings.
    tlo.advance(hours(24 * 364)).await?;
    println!(
        "{} reports, {} letters",
        tlo.fired("report").len(),
        tlo.submitted("letter").len()
    );
    assert_eq!(tlo.fired("report").len(), 261);

    // One task, at once; its record says how it went.
    let record = tlo.run_inline("letter", "linus").await?;
    assert_eq!(record.status, TaskStatus::Pending);
    assert_eq!(record.error.as_deref(), Some("the post office is closed"));

    // A store that is away for a while loses nothing.
    tlo.store().be_away(true);
    tlo.advance(secs(30)).await?;
    tlo.store().be_away(false);
    tlo.advance(minutes(1)).await?;
    let record = tlo.client().get(&record.id).await?;
    assert_eq!(record.status, TaskStatus::Succeeded);
    Ok(())
}
