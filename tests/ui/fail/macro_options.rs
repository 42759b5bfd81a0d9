use tlo::prelude::*;

#[tlo::task(evry = "5s")]
async fn misspelt(_: TaskContext, _: ()) {}

#[tlo::task(every = "5s", cron = "0 3 * * *")]
async fn two_schedules(_: TaskContext, _: ()) {}

#[tlo::task(queue = "a", queue = "b")]
async fn twice(_: TaskContext, _: ()) {}

#[tlo::task(zone = "Europe/Berlin", every = "1h")]
async fn zone_without_cron(_: TaskContext, _: ()) {}

#[tlo::task(overlap = "both")]
async fn no_policy(_: TaskContext, _: ()) {}

#[tlo::task(gate("user/{id}"))]
async fn half_a_gate(_: TaskContext, _: ()) {}

#[tlo::task(timeout)]
async fn no_value(_: TaskContext, _: ()) {}

#[tlo::task(collect = 1)]
async fn no_truth(_: TaskContext, _: ()) {}

#[tlo::task(wibble, wobble = 2)]
async fn several(_: TaskContext, _: ()) {}

fn main() {}
