//! A program that has both; it only has to compile.

use tlo::prelude::*;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The transaction is one of the program's own `sqlx`, and may be held by a task of a server.
async fn buy(client: Client, pool: sqlx::PgPool, order: i64) -> Result<TaskHandle, Failure> {
    let ship = client.task("ship").args(&order).prepare().await?;
    let mut transaction = pool.begin().await?;
    sqlx::query("INSERT INTO orders (id, task) VALUES ($1, $2)")
        .bind(order)
        .bind(ship.id().as_str())
        .execute(&mut *transaction)
        .await?;
    let handle = ship.submit_within(&mut transaction).await?;
    transaction.commit().await?;
    Ok(handle)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let pool = sqlx::PgPool::connect("postgres://localhost/orders").await?;
    let ship = task("ship").run(|_: TaskContext, _: i64| async {});
    let tlo = TloContext::builder().task(ship).build().await?;
    let client = tlo.client();
    let running = tokio::spawn(Runner::new(tlo).run());
    tokio::spawn(buy(client, pool, 7)).await??;
    Ok(running.await??)
}
