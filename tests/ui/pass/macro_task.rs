#![deny(warnings)]

mod jobs {
    use tlo::prelude::*;

    /// Says hello.
    #[tlo::task(every = "5s", overlap = "skip")]
    pub async fn greet(_: TaskContext, name: String) -> TaskResult<String> {
        Ok(format!("hello {name}"))
    }

    #[tlo::task]
    pub fn blocking(_: TaskContext, _: ()) {}
}

use jobs::{blocking, greet};

fn main() {
    greet::task().check().unwrap();
    blocking::task().check().unwrap();
    blocking(tlo::TaskContext::for_test("x"), ());
    assert_eq!(tlo::handler::collected().len(), 2);
}
