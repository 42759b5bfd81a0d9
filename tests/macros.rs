//! `#[tlo::task]`: what it makes of functions.
#![cfg(feature = "macros")]

use tlo::prelude::*;
use tlo::schedule::{Misfire, Overlap};

/// Says hello.
///
/// Twice.
#[tlo::task(every = "5s")]
async fn greet(_: TaskContext, name: String) -> TaskResult<String> {
    Ok(format!("hello {name}"))
}

#[test]
fn a_function_becomes_a_task_and_stays_a_function() {
    let task = greet::task();
    task.check().unwrap();
    assert_eq!(&*task.def.name, "greet");
}
