//! A task submitted in the same SQLite transaction as the rows of the application: both are there, or none.
#![allow(clippy::print_stdout, reason = "examples talk")]

use tlo::prelude::*;
use tlo::rusqlite::{Connection, TransactionBehavior};

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Order {
    id: i64,
    item: String,
}

async fn ship(_: TaskContext, order: Order) -> TaskResult<String> {
    Ok(format!("order {} is on its way: {}", order.id, order.item))
}

/// Writes the order, and what has to be done for it.
async fn buy(client: &Client, database: &mut Connection, order: Order) -> tlo::Result<TaskHandle> {
    // What needs the store is done before; inside the transaction nothing waits.
    let task = client.task("ship").args(&order).prepare().await?;
    let failed = |error: tlo::rusqlite::Error| {
        tlo::Error::new(tlo::ErrorKind::Conflict, "buy", error.to_string())
    };
    let transaction = database
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    transaction
        .execute(
            "INSERT INTO orders (id, item, task) VALUES (?1, ?2, ?3)",
            (order.id, &order.item, task.id().as_str()),
        )
        .map_err(failed)?;
    // Every `?` drops the transaction, and that rolls it back.
    let handle = task.submit_in(&transaction)?;
    transaction.commit().map_err(failed)?;
    Ok(handle)
}

#[tokio::main]
async fn main() -> tlo::Result<()> {
    let path = std::env::temp_dir().join(format!("tlo-orders-{}.db", std::process::id()));
    let tlo = TloContext::builder()
        .set("task_state_store", format!("sqlite:{}", path.display()))
        .task(task("ship").run(ship))
        .build()
        .await?;
    let client = tlo.client();
    let runner = Runner::new(tlo);
    let work = async {
        let failed = |error: tlo::rusqlite::Error| {
            tlo::Error::new(tlo::ErrorKind::Unavailable, "orders", error.to_string())
        };
        let mut database = Connection::open(&path).map_err(failed)?;
        database
            .execute_batch("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT, task TEXT)")
            .map_err(failed)?;
        let tea = |id| Order {
            id,
            item: "tea".to_owned(),
        };
        let shipped = buy(&client, &mut database, tea(1)).await?;
        println!("{}", shipped.result::<String>().await?);
        // The number is taken: neither the order nor its task exists.
        let twice = buy(&client, &mut database, tea(1)).await;
        println!("a second order 1: {}", twice.is_err());
        let tasks = client.stats().await?.statuses.total();
        println!("tasks in the store: {tasks}");
        assert_eq!(tasks, 1);
        Ok(())
    };
    let mut done = Ok(());
    let stopped = runner.run_until(async { done = work.await }).await;
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
    done.and(stopped)
}
