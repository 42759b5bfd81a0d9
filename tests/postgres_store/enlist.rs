//! Submits inside a transaction of the caller, on the database of the store.

use tlo::prelude::*;
use tlo::store::{TaskStateStore, TaskStateStoreExt};
use tlo::task::UniqueScope;
use tlo::tokio_postgres::{Client as Database, IsolationLevel};
use tlo::{ErrorKind, MemoryStore};

use super::kit::{open, program, total, until};
use super::servers::postgres::{Postgres, connect};

async fn orders(database: &Database) -> i64 {
    let rows = database.query_one("SELECT count(*) FROM orders", &[]).await;
    rows.unwrap().get(0)
}

async fn application(postgres: &Postgres) -> Database {
    let database = connect(postgres.url()).await.unwrap();
    let table =
        "CREATE TABLE IF NOT EXISTS orders (id bigint PRIMARY KEY, task text); TRUNCATE orders";
    database.batch_execute(table).await.unwrap();
    database
}

#[tokio::test]
async fn a_task_exists_exactly_when_its_transaction_was_committed() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let store = open(postgres.options("enlist")).await;
    let tlo = program(&store).await;
    let client = tlo.client();
    let mut database = application(&postgres).await;

    let prepared = client.task("ship").args(&1).prepare().await.unwrap();
    let transaction = database.transaction().await.unwrap();
    let id = prepared.id().as_str().to_owned();
    let insert = "INSERT INTO orders VALUES (1, $1)";
    transaction.execute(insert, &[&id]).await.unwrap();
    let handle = prepared.submit_within(&transaction).await.unwrap();
    assert!(handle.is_new());
    // Nobody else sees it before the commit.
    assert_eq!(total(&*store).await, 0);
    let unseen = handle.status().await.unwrap_err();
    assert_eq!(unseen.kind(), ErrorKind::NotFound);
    transaction.commit().await.unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Pending);

    let prepared = client.task("ship").args(&2).prepare().await.unwrap();
    let transaction = database.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO orders VALUES (2, '')", &[])
        .await
        .unwrap();
    let gone = prepared.submit_within(&transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(gone.status().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((total(&*store).await, orders(&database).await), (1, 1));

    // A refusal leaves the transaction usable, also a stricter one; a savepoint of the caller is a transaction.
    let keyed = |n: i64| {
        client
            .task("ship")
            .args(&n)
            .unique("order/3", UniqueScope::WhileUnfinished)
    };
    let first = keyed(3).prepare().await.unwrap();
    let again = keyed(4).prepare().await.unwrap();
    let mut transaction = database
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .await
        .unwrap();
    let first = {
        let savepoint = transaction.savepoint("mine").await.unwrap();
        let first = first.submit_within(&savepoint).await.unwrap();
        savepoint.commit().await.unwrap();
        first
    };
    let again = again.submit_within(&transaction).await.unwrap();
    assert_eq!((again.id(), again.is_new()), (first.id(), false));
    transaction
        .execute("INSERT INTO orders VALUES (3, '')", &[])
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!((total(&*store).await, orders(&database).await), (2, 2));

    // A worker notices and runs what was committed.
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run());
    assert_eq!(handle.result::<i64>().await.unwrap(), 2);
    assert_eq!(first.result::<i64>().await.unwrap(), 4);
    let transaction = database.transaction().await.unwrap();
    let late = client.task("ship").args(&9).prepare().await.unwrap();
    let late = late.submit_within(&transaction).await.unwrap();
    transaction.commit().await.unwrap();
    until("the worker finds what nobody told it of", async || {
        late.status().await.unwrap() == TaskStatus::Succeeded
    })
    .await;
    stop.stop();
    running.await.unwrap().unwrap();
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_transaction_elsewhere_is_refused_and_stays_usable() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let store = open(postgres.options("enlist_here")).await;
    let client = program(&store).await.client();
    postgres.run("CREATE DATABASE elsewhere").await.unwrap();
    let elsewhere = postgres.url().replace("/postgres?", "/elsewhere?");
    let mut database = connect(&elsewhere).await.unwrap();
    let transaction = database.transaction().await.unwrap();
    let prepared = client.task("ship").args(&1).prepare().await.unwrap();
    let error = prepared.submit_within(&transaction).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("has no store"), "{error}");
    transaction.batch_execute("SELECT 1").await.unwrap();

    let memory = std::sync::Arc::new(MemoryStore::default());
    let other = TloContext::builder()
        .settings(tlo::settings::SettingsSource::empty())
        .store(memory)
        .task(task("ship").declare())
        .build()
        .await
        .unwrap();
    let prepared = other
        .client()
        .task("ship")
        .args(&1)
        .prepare()
        .await
        .unwrap();
    let error = prepared.submit_within(&transaction).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("\"memory\""), "{error}");
    transaction.commit().await.unwrap();
    let none = store.read(&super::kit::id("none")).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_transaction_in_which_a_statement_failed_is_told_so() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let store = open(postgres.options("enlist_failed")).await;
    let client = program(&store).await.client();
    let mut database = connect(postgres.url()).await.unwrap();
    let transaction = database.transaction().await.unwrap();
    transaction.batch_execute("SELECT 1 / 0").await.unwrap_err();
    let prepared = client.task("ship").args(&1).prepare().await.unwrap();
    let error = prepared.submit_within(&transaction).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("failed before"), "{error}");
    transaction.rollback().await.unwrap();
    assert_eq!(total(&*store).await, 0);
}
