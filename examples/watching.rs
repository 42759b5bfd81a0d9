//! Watching what happens with an observer, wrapping handlers in a layer, and progress from inside a run.
#![allow(clippy::print_stdout, reason = "examples talk")]

use std::sync::Arc;

use tlo::handler::SharedHandler;
use tlo::prelude::*;
use tlo::task::Ended;

/// Runs every task inside a greeting and a goodbye.
struct Polite;

struct Politely(SharedHandler);

impl Layer for Polite {
    fn wrap(&self, inner: SharedHandler) -> SharedHandler {
        Arc::new(Politely(inner))
    }
}

#[tlo::async_trait]
impl Handler for Politely {
    async fn run(&self, context: TaskContext, args: Payload) -> Ended {
        println!("hello, {}", context.name());
        let ended = self.0.run(context, args).await;
        println!("goodbye");
        ended
    }
}

async fn import(context: TaskContext, rows: u32) -> TaskResult<u32> {
    for row in 0..rows {
        context.progress(serde_json::json!({ "row": row + 1, "of": rows }))?;
    }
    Ok(rows)
}

#[tokio::main]
async fn main() -> tlo::Result<()> {
    let tlo = TloContext::builder()
        .observer(|event: &Lifecycle| println!("observed: {}", event.kind()))
        .layer(Polite)
        .task(task("import").run(import))
        .build()
        .await?;
    let client = tlo.client();
    let runner = Runner::new(tlo);
    let work = async move {
        let imported = client.task("import").args(&3).submit().await?;
        println!("imported {} rows", imported.result::<u32>().await?);
        let progress = imported.record().await?.progress.unwrap_or_default();
        println!("last progress: {progress}");
        Ok(())
    };
    let mut done = Ok(());
    let stopped = runner.run_until(async { done = work.await }).await;
    done.and(stopped)
}
