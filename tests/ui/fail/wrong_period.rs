use tlo::prelude::*;

fn main() {
    let _ = task("x").every(true).declare();
}
