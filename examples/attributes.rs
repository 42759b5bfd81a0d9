//! Tasks declared by an attribute, registered one by one or all at once.
#![allow(clippy::print_stdout, reason = "examples talk")]

use tlo::prelude::*;

/// Runs every 200 milliseconds, twice.
#[tlo::task(every = "200ms", max_runs = 2)]
async fn tick(context: TaskContext, (): ()) -> TaskResult {
    println!("tick for {:?}", context.slot());
    Ok(())
}

#[tlo::task(max_attempts = 3)]
fn add(_: TaskContext, (a, b): (i64, i64)) -> TaskResult<i64> {
    Ok(a + b)
}

#[tokio::main]
async fn main() -> tlo::Result<()> {
    let tlo = TloContext::builder()
        .task(tick::task())
        .task(add::task())
        .build()
        .await?;
    let client = tlo.client();
    let runner = Runner::new(tlo);
    let work = async move {
        println!(
            "2 + 3 = {}",
            client
                .call(add::signature(), (2, 3))
                .submit()
                .await?
                .result()
                .await?
        );
        Ok(())
    };
    let mut done = Ok(());
    let stopped = runner.run_until(async { done = work.await }).await;
    done.and(stopped)
}
