use tlo::prelude::*;

struct Order;

async fn order(_: TaskContext, _: Order) {}

fn main() {
    let _ = task("x").run(order);
}
