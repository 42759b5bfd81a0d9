use tlo::prelude::*;

#[tlo::task(every = "5s")]
async fn wrong_result(_: TaskContext, _: ()) -> u32 {
    7
}

#[tlo::task(priority = "high")]
async fn wrong_value(_: TaskContext, _: ()) {}

fn main() {}
