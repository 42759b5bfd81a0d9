//! Submitting tasks by name, waiting for their results, retries, priorities and an idempotency key.
#![allow(clippy::print_stdout, reason = "examples talk")]

use std::sync::atomic::{AtomicU32, Ordering};

use tlo::prelude::*;
use tlo::task::UniqueScope;

/// Fails twice before it succeeds.
async fn charge(context: TaskContext, cents: u64) -> TaskResult<String> {
    let tries = context.get::<AtomicU32>()?;
    if tries.fetch_add(1, Ordering::SeqCst) < 2 {
        return Err(TaskError::retry("the bank does not answer"));
    }
    Ok(format!(
        "charged {cents} cents at attempt {}",
        context.attempt()
    ))
}

#[tokio::main]
async fn main() -> tlo::Result<()> {
    let tlo = TloContext::builder()
        .state(AtomicU32::new(0))
        .task(
            task("charge")
                .retry(RetryPolicy::fixed(millis(50)))
                .run(charge),
        )
        .build()
        .await?;
    let client = tlo.client();
    let runner = Runner::new(tlo);
    let handle = runner.handle();
    let running = tokio::spawn(runner.run());

    let order = |client: &Client| {
        client
            .task("charge")
            .args(&1999)
            .unique("order/7", UniqueScope::WhileUnfinished)
    };
    let first = order(&client).priority(9).submit().await?;
    let again = order(&client).submit().await?;
    assert_eq!(first.id(), again.id(), "the same key gives the same task");

    println!("{}", first.result::<String>().await?);
    for attempt in first.record().await?.attempts {
        println!(
            "attempt {}: {:?} {}",
            attempt.attempt,
            attempt.outcome,
            attempt.error.unwrap_or_default()
        );
    }

    let unknown = client.task("chrage").submit().await;
    println!(
        "{}",
        unknown
            .map(|_| String::new())
            .unwrap_or_else(|error| error.to_string())
    );

    handle.stop();
    running
        .await
        .map_err(|error| tlo::Error::new(tlo::ErrorKind::Internal, "example", error.to_string()))?
}
