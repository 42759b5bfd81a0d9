//! A recurring job in ten lines. Here it stops after three ticks; without `max_runs` it runs until Ctrl-C.
#![allow(clippy::print_stdout, reason = "examples talk")]

use tlo::prelude::*;
use tlo::{Clock, SystemClock};

#[tokio::main]
async fn main() -> tlo::Result<()> {
    let tlo = TloContext::builder()
        .task(
            task("heartbeat")
                .every(secs(1))
                .max_runs(3)
                .run(|_: TaskContext, _: ()| async { println!("tick") }),
        )
        .build()
        .await?;
    Runner::new(tlo).run_until(SystemClock.sleep(secs(4))).await
}
