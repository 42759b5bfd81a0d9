use tlo::prelude::*;

#[tlo::task(every = "5s")]
async fn one_parameter(_: TaskContext) {}

#[tlo::task]
async fn generic<T>(_: TaskContext, _: T) {}

#[tlo::task]
struct NoFunction;

struct Mailer;

impl Mailer {
    #[tlo::task]
    async fn method(&self, _: TaskContext) {}
}

fn main() {}
