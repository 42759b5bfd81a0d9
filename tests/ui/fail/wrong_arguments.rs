use tlo::prelude::*;

async fn no_context(_: String) {}

fn main() {
    let _ = task("x").run(no_context);
    let _ = task("y").run(|_: TaskContext| async {});
}
