//! A program that has both; it only has to compile.

use tlo::prelude::*;

#[tokio::main]
async fn main() -> tlo::Result<()> {
    let pool = sqlx::PgPool::connect_lazy("postgres://localhost/orders");
    println!("{pool:?}");
    let ship = task("ship").run(|_: TaskContext, _: i64| async {});
    let tlo = TloContext::builder().task(ship).build().await?;
    tlo.client().task("ship").args(&1).submit().await?;
    Runner::new(tlo).run().await
}
