use tlo::prelude::*;

struct Plain;

async fn plain(_: TaskContext, _: ()) -> Plain {
    Plain
}

async fn text_error(_: TaskContext, _: ()) -> Result<(), String> {
    Ok(())
}

fn main() {
    let _ = task("x").run(plain);
    let _ = task("y").run(text_error);
}
