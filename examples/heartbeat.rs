//! A recurring job in ten lines. Here it stops after three ticks; without `max_runs` it runs until Ctrl-C.

use tlo::prelude::*;

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
    Runner::new(tlo)
        .run_until(tokio::time::sleep(secs(4)))
        .await
}
