//! Submits inside a transaction of the caller, on the file of the store.

use std::path::Path;
use std::sync::Arc;

use tlo::prelude::*;
use tlo::rusqlite::{Connection, TransactionBehavior};
use tlo::settings::SettingsSource;
use tlo::store::{GATE_MARK, TaskStateStore, TaskStateStoreExt};
use tlo::task::{GateRule, UniqueScope};
use tlo::{Clock, ErrorKind, SqliteStore, SystemClock};

use super::kit::{home, open, total, until};

async fn program(store: &Arc<SqliteStore>) -> TloContext {
    TloContext::builder()
        .settings(SettingsSource::empty())
        .store(Arc::clone(store) as tlo::store::SharedStore)
        .task(
            task("ship").run(|_: TaskContext, order: i64| async move { TaskResult::Ok(order + 1) }),
        )
        .build()
        .await
        .unwrap()
}

/// A connection of the application, with a table of its own beside TLO's.
fn application(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .busy_timeout(std::time::Duration::from_secs(10))
        .unwrap();
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, task TEXT)")
        .unwrap();
    connection
}

fn orders(connection: &Connection) -> i64 {
    connection
        .query_row("SELECT count(*) FROM orders", [], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn a_task_exists_exactly_when_its_transaction_was_committed() {
    let (_directory, path) = home();
    let store = Arc::new(open(&path));
    let client = program(&store).await.client();
    let mut connection = application(&path);

    let prepared = client.task("ship").args(&1).prepare().await.unwrap();
    let transaction = connection.transaction().unwrap();
    transaction
        .execute(
            "INSERT INTO orders VALUES (1, ?1)",
            [prepared.id().as_str()],
        )
        .unwrap();
    let handle = prepared.submit_in(&transaction).unwrap();
    assert!(handle.is_new());
    // Nobody else sees it before the commit.
    assert_eq!(total(&*store).await, 0);
    assert_eq!(
        handle.status().await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    transaction.commit().unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Pending);
    let task: String = connection
        .query_row("SELECT task FROM orders", [], |row| row.get(0))
        .unwrap();
    assert_eq!(task, handle.id().as_str());

    let prepared = client.task("ship").args(&2).prepare().await.unwrap();
    let transaction = connection.transaction().unwrap();
    transaction
        .execute("INSERT INTO orders VALUES (2, '')", [])
        .unwrap();
    let gone = prepared.submit_in(&transaction).unwrap();
    transaction.rollback().unwrap();
    assert_eq!(gone.status().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((total(&*store).await, orders(&connection)), (1, 1));

    // Dropped is rolled back as well, and a savepoint of the caller is a transaction.
    let mut transaction = connection.transaction().unwrap();
    let first = client.task("ship").args(&3).prepare().await.unwrap();
    let second = client.task("ship").args(&4).prepare().await.unwrap();
    {
        let savepoint = transaction.savepoint().unwrap();
        first.submit_in(&savepoint).unwrap();
    }
    second.submit_in(&transaction).unwrap();
    transaction.commit().unwrap();
    assert_eq!(total(&*store).await, 2);
    let whole: Vec<String> = store.check().await.unwrap();
    assert!(whole.is_empty(), "{whole:?}");
}

#[tokio::test]
async fn a_worker_notices_the_commit_and_runs_the_task() {
    let (_directory, path) = home();
    let store = Arc::new(open(&path));
    let tlo = program(&store).await;
    let client = tlo.client();
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run());
    let mut connection = application(&path);
    for order in 0..5_i64 {
        let prepared = client.task("ship").args(&order).prepare().await.unwrap();
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .unwrap();
        let handle = prepared.submit_in(&transaction).unwrap();
        transaction.commit().unwrap();
        let begun = SystemClock.steady().at;
        assert_eq!(handle.result::<i64>().await.unwrap(), order + 1);
        let waited = SystemClock.steady().at - begun;
        assert!(waited < secs(5), "noticed after {waited:?}");
    }
    stop.stop();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn keys_ids_and_rules_hold_inside_a_transaction() {
    let (_directory, path) = home();
    let store = Arc::new(open(&path));
    let client = program(&store).await.client();
    let mut connection = application(&path);
    let keyed = || client.task("ship").unique("order/7", UniqueScope::Forever);
    let first = keyed().args(&1).submit().await.unwrap();
    let rule = GateRule {
        max_depth: Some(1),
        ..GateRule::default()
    };
    let rule = tlo::Payload::of(&rule).unwrap();
    let key = format!("{GATE_MARK}queue/small");
    store.put_mark(&key, rule, None, None).await.unwrap();

    let again = keyed().args(&2).prepare().await.unwrap();
    let one = client.task("ship").queue("small").prepare().await.unwrap();
    let two = client.task("ship").queue("small").prepare().await.unwrap();
    let transaction = connection.transaction().unwrap();
    let again = again.submit_in(&transaction).unwrap();
    assert_eq!((again.id(), again.is_new()), (first.id(), false));
    // What was submitted in it counts in it.
    one.submit_in(&transaction).unwrap();
    let full = two.submit_in(&transaction).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::QueueFull);
    // A refusal is no end of the transaction, and took nothing else along.
    transaction
        .execute("INSERT INTO orders VALUES (1, '')", [])
        .unwrap();
    transaction.commit().unwrap();
    assert_eq!((total(&*store).await, orders(&connection)), (2, 1));
    assert_eq!(first.record().await.unwrap().args.as_str(), "1");
}

#[tokio::test]
async fn what_is_no_transaction_on_a_store_is_refused() {
    let (directory, path) = home();
    let store = Arc::new(open(&path));
    let client = program(&store).await.client();
    let prepared = async || client.task("ship").prepare().await.unwrap();
    let connection = application(&path);
    let error = prepared().await.submit_in(&connection).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("no open transaction"), "{error}");
    // Begun by a statement it is one.
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    prepared().await.submit_in(&connection).unwrap();
    connection.execute_batch("COMMIT").unwrap();
    assert_eq!(total(&*store).await, 1);

    let mut other = application(&directory.path().join("other.db"));
    let transaction = other.transaction().unwrap();
    let error = prepared().await.submit_in(&transaction).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("other.db"), "{error}");
    drop(transaction);

    // A file that is locked by somebody else is an error of the moment.
    let mut locked = application(&path);
    let holder = locked
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap();
    let mut hasty = Connection::open(&path).unwrap();
    hasty.busy_timeout(std::time::Duration::ZERO).unwrap();
    let transaction = hasty.transaction().unwrap();
    let error = prepared().await.submit_in(&transaction).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.is_retryable(), "{error}");
    drop((transaction, holder));
}

#[tokio::test]
async fn tables_of_the_application_survive_a_reopen_and_upkeep() {
    let (_directory, path) = home();
    let store = open(&path);
    let mut connection = application(&path);
    connection
        .execute("INSERT INTO orders VALUES (1, '')", [])
        .unwrap();
    drop(store);
    let store = Arc::new(open(&path));
    let client = program(&store).await.client();
    let prepared = client.task("ship").prepare().await.unwrap();
    let transaction = connection.transaction().unwrap();
    prepared.submit_in(&transaction).unwrap();
    transaction.commit().unwrap();
    store
        .maintain(tlo::store::Maintain {
            retention: tlo::store::Retention::default(),
            limit: 100,
        })
        .await
        .unwrap();
    assert_eq!((total(&*store).await, orders(&connection)), (1, 1));
}

/// The application and the store write at the same time: nothing is lost, and none of both sees half.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_beside_a_busy_store_lose_nothing() {
    let (_directory, path) = home();
    let store = Arc::new(open(&path));
    let client = program(&store).await.client();
    let mut prepared = Vec::new();
    for order in 0..100_i64 {
        prepared.push(client.task("ship").args(&order).prepare().await.unwrap());
    }
    let database = path.clone();
    let application = tokio::task::spawn_blocking(move || {
        let mut connection = application(&database);
        for (order, prepared) in (0_i64..).zip(prepared) {
            let transaction = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .unwrap();
            let id = prepared.id().to_string();
            transaction
                .execute("INSERT INTO orders VALUES (?1, ?2)", (order, id))
                .unwrap();
            prepared.submit_in(&transaction).unwrap();
            if order % 4 == 0 {
                transaction.rollback().unwrap();
            } else {
                transaction.commit().unwrap();
            }
        }
        connection
    });
    for order in 0..100_i64 {
        client.task("ship").args(&order).submit().await.unwrap();
    }
    let connection = application.await.unwrap();
    until("both are done", || async { total(&*store).await == 175 }).await;
    let mut ids = connection.prepare("SELECT task FROM orders").unwrap();
    let ids: Vec<tlo::TaskId> = ids
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap()
        .map(|id| tlo::TaskId::new(id.unwrap()).unwrap())
        .collect();
    assert_eq!(ids.len(), 75);
    assert!(store.get(&ids).await.unwrap().iter().all(Option::is_some));
}
