//! The store is one setting. Run it twice with `TLO_TASK_STATE_STORE=sqlite:visits.db`, and it has counted two visits;
//! without, tasks live in memory and each run begins anew.
#![allow(clippy::print_stdout, reason = "examples talk")]

use tlo::prelude::*;

#[tokio::main]
async fn main() -> tlo::Result<()> {
    let visit = task("visit").run(|_: TaskContext, _: ()| async { println!("somebody is here") });
    let tlo = TloContext::builder().task(visit).build().await?;
    let (client, runner) = (tlo.client(), Runner::new(tlo));
    let (handle, running) = (runner.handle(), tokio::spawn(runner.run()));
    client.task("visit").submit().await?.wait().await?;
    let visits = client.stats().await?.names.of("visit");
    println!("visits: {visits}, on {}", client.store().capability().name);
    handle.stop();
    running
        .await
        .map_err(|_| tlo::Error::invalid("run", "the runner panicked"))?
}
