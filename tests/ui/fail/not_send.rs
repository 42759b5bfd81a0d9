use std::rc::Rc;
use tlo::prelude::*;

fn main() {
    let _ = task("x").run(|context: TaskContext, _: ()| async move {
        let local = Rc::new(1);
        context.cancelled().await;
        drop(local);
    });
}
