//! A task submitted in the same PostgreSQL transaction of `sqlx` as the rows of the application: both are there, or none.
//! Run it with `TLO_TASK_STATE_STORE=postgres://USER:PASSWORD@HOST/DATABASE`.
#![allow(clippy::print_stdout, reason = "examples talk")]

use sqlx::{Connection, PgConnection};
use tlo::prelude::*;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Order {
    id: i64,
    item: String,
}

async fn ship(_: TaskContext, order: Order) -> TaskResult<String> {
    Ok(format!("order {} is on its way: {}", order.id, order.item))
}

fn failed(error: sqlx::Error) -> tlo::Error {
    tlo::Error::new(tlo::ErrorKind::Unavailable, "orders", error.to_string()).with_source(error)
}

/// Writes the order, and what has to be done for it.
async fn buy(
    client: &Client,
    database: &mut PgConnection,
    order: Order,
) -> tlo::Result<TaskHandle> {
    // What needs the store is done before; inside the transaction nothing waits for it.
    let task = client.task("ship").args(&order).prepare().await?;
    let mut transaction = database.begin().await.map_err(failed)?;
    sqlx::query("INSERT INTO orders (id, item, task) VALUES ($1, $2, $3)")
        .bind(order.id)
        .bind(&order.item)
        .bind(task.id().as_str())
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    // Every `?` drops the transaction, and that rolls it back.
    let handle = task.submit_within(&mut transaction).await?;
    transaction.commit().await.map_err(failed)?;
    Ok(handle)
}

async fn shop(client: &Client, url: &str) -> tlo::Result<()> {
    let mut database = PgConnection::connect(url).await.map_err(failed)?;
    // A real one stays; this one goes with the connection.
    let table = "CREATE TEMPORARY TABLE orders (id bigint PRIMARY KEY, item text, task text)";
    sqlx::raw_sql(table)
        .execute(&mut database)
        .await
        .map_err(failed)?;
    let tea = |id| Order {
        id,
        item: "tea".to_owned(),
    };
    let before = client.stats().await?.statuses.total();
    let shipped = buy(client, &mut database, tea(1)).await?;
    println!("{}", shipped.result::<String>().await?);
    // The number is taken: neither the order nor its task exists.
    let twice = buy(client, &mut database, tea(1)).await;
    println!("a second order 1: {}", twice.is_err());
    let tasks = client.stats().await?.statuses.total() - before;
    println!("tasks for it: {tasks}");
    assert_eq!((twice.is_err(), tasks), (true, 1));
    Ok(())
}

#[tokio::main]
async fn main() -> tlo::Result<()> {
    let url = std::env::var("TLO_TASK_STATE_STORE").unwrap_or_default();
    if !url.starts_with("postgres") {
        let way_out = "set TLO_TASK_STATE_STORE to postgres://USER:PASSWORD@HOST/DATABASE";
        return Err(tlo::Error::invalid("orders", way_out));
    }
    let ship = task("ship").run(ship);
    let tlo = TloContext::builder().task(ship).build().await?;
    let client = tlo.client();
    let runner = Runner::new(tlo);
    let handle = runner.handle();
    let work = async {
        let done = shop(&client, &url).await;
        handle.stop();
        done
    };
    let (done, stopped) = tokio::join!(work, runner.run());
    done.and(stopped)
}
