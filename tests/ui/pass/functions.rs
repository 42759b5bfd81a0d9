use std::error::Error;

use tlo::prelude::*;

#[derive(serde::Deserialize)]
struct Order {
    id: u64,
}

async fn order(_: TaskContext, order: Order) -> TaskResult<u64> {
    if order.id == 0 {
        return Err(TaskError::fail("there is no order 0"));
    }
    Ok(order.id)
}

async fn two_errors(_: TaskContext, text: String) -> TaskResult<f64> {
    let bytes = text.into_bytes();
    Ok(String::from_utf8(bytes)?.parse()?)
}

async fn one_error(_: TaskContext, text: String) -> Result<f64, std::num::ParseFloatError> {
    text.parse()
}

async fn boxed(_: TaskContext, text: String) -> Result<f64, Box<dyn Error + Send + Sync>> {
    Ok(text.parse()?)
}

fn blocking(_: TaskContext, path: String) -> Result<usize, Box<dyn Error>> {
    Ok(std::fs::read(path)?.len())
}

fn nothing(_: TaskContext, _: ()) {}

fn main() {
    for task in [
        Task::of(order).build(),
        Task::of(two_errors).build(),
        Task::of(one_error).build(),
        Task::of(boxed).build(),
        Task::of(blocking).every("1h").build(),
        Task::of(nothing).build(),
        task("again").run(order),
    ] {
        task.check().unwrap();
    }
}
