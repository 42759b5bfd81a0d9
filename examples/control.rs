//! Steering what waits and what failed: a pause with a reason, a limit, a bulk revival, and who did it all.
//!
//! `cargo run --example control`

#![allow(clippy::print_stdout, reason = "examples talk")]

use tlo::client::{LimitChange, Target, TaskAction};
use tlo::prelude::*;
use tlo::store::{Change, TaskFilter};
use tlo::task::Due;

#[tokio::main]
async fn main() -> tlo::Result<()> {
    let mail =
        task("mail")
            .queue("mail")
            .max_attempts(1)
            .run(|context: TaskContext, n: u32| async move {
                // The first try of each fails; a revived task is tried anew.
                match context.attempt() {
                    1 => Err(TaskError::retry(format!("relay {n} does not answer"))),
                    _ => Ok(format!("sent {n}")),
                }
            });
    let tlo = TloContext::builder().task(mail).build().await?;
    let client = tlo.client().acting_as("ada");
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run_until(std::future::pending()));

    // Nothing of the queue starts before it is resumed; what is submitted waits.
    let queue = Target::Queue("mail".to_owned());
    client.pause(&queue, Some("the relay is down")).await?;
    let mut mails = Vec::new();
    for n in 1..=3u32 {
        mails.push(client.task("mail").args(&n).submit().await?);
    }
    for paused in client.paused().await? {
        println!(
            "{} is paused: {}",
            paused.target,
            paused.reason.unwrap_or_default()
        );
    }
    let two = LimitChange {
        max: Change::Set(Some(2)),
        ..LimitChange::default()
    };
    let limits = client.limit(&queue, two, Some("gently at first")).await?;
    client.resume(&queue, Some("the relay is up")).await?;
    println!("{queue} goes on: {limits}");
    for mail in &mails {
        println!("{}: {}", mail.id(), mail.wait().await?.status);
    }

    // All failures of one error are run again, at most fifty a second.
    let filter = TaskFilter {
        error_group: Some("relay # does not answer".to_owned()),
        ..TaskFilter::default()
    };
    let revive = client.bulk(TaskAction::Revive(Due::Now), filter);
    let report = revive.why("the relay answers").rate(50).run().await?;
    println!("{} revived, {} refused", report.done, report.refused);
    for mail in &mails {
        println!("{}", mail.result::<String>().await?);
    }
    for event in client.audit(None, 10).await? {
        let data = event.data;
        let (who, why) = (data.who.unwrap_or_default(), data.why.unwrap_or_default());
        println!("{who}: {} {} ({why})", event.action, data.target);
    }
    stop.stop();
    running
        .await
        .map_err(|error| tlo::Error::new(tlo::ErrorKind::Internal, "run", error.to_string()))?
}
