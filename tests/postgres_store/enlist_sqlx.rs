//! Submits inside a transaction of the caller that goes over a connection of `sqlx`.

use sqlx::{Connection, PgConnection};
use tlo::client::Prepared;
use tlo::prelude::*;
use tlo::store::{GATE_MARK, TaskStateStore, TaskStateStoreExt};
use tlo::task::{GateRule, OnConflict, UniqueScope};
use tlo::tokio_postgres;
use tlo::{ErrorKind, MemoryStore, PostgresOptions};

use super::fault_proxy::{Fault, FaultProxy, Way};
use super::kit::{open, program, total, until};
use super::servers::load::{counted, seed};
use super::servers::postgres::{Postgres, PrivatePostgres, connect};

/// A connection of the application, with a table that goes with it.
async fn application(url: &str) -> PgConnection {
    let mut database = PgConnection::connect(url).await.unwrap();
    let table = "CREATE TEMPORARY TABLE bought (id bigint PRIMARY KEY, task text)";
    sqlx::raw_sql(table).execute(&mut database).await.unwrap();
    database
}

async fn bought(database: &mut PgConnection) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM bought");
    count.fetch_one(database).await.unwrap()
}

async fn insert(database: &mut PgConnection, id: i64, task: &str) -> sqlx::Result<()> {
    let insert = sqlx::query("INSERT INTO bought VALUES ($1, $2)")
        .bind(id)
        .bind(task);
    insert.execute(database).await.map(drop)
}

/// The order and what has to be done for it, in one transaction.
async fn buy(
    database: &mut PgConnection,
    id: i64,
    ship: Prepared,
) -> Result<TaskHandle, Box<dyn std::error::Error>> {
    let mut transaction = database.begin().await?;
    insert(&mut transaction, id, ship.id().as_str()).await?;
    let handle = ship.submit_within(&mut transaction).await?;
    transaction.commit().await?;
    Ok(handle)
}

/// Waits until a session of this name waits for a lock.
async fn waits_for_a_lock(around: &tokio_postgres::Client, session: &str) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'";
    until("it waits for a lock", async || {
        let row = around.query_one(waiting, &[&session]).await.unwrap();
        row.get::<_, i64>(0) == 1
    })
    .await;
}

#[tokio::test]
async fn a_task_exists_exactly_when_its_transaction_was_committed() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let store = open(postgres.options("enlist_sqlx")).await;
    let tlo = program(&store).await;
    let client = tlo.client();
    let mut database = application(postgres.url()).await;
    let ship = async |n: i64| client.task("ship").args(&n).prepare().await.unwrap();

    let prepared = ship(1).await;
    let mut transaction = database.begin().await.unwrap();
    let id = prepared.id().clone();
    insert(&mut transaction, 1, id.as_str()).await.unwrap();
    let kept = transaction.cached_statements_size();
    let handle = prepared.submit_within(&mut transaction).await.unwrap();
    assert_eq!((handle.id(), handle.is_new()), (&id, true));
    // Statements that the caller keeps prepared do not give way.
    assert_eq!(transaction.cached_statements_size(), kept);
    // Nobody else sees it before the commit.
    assert_eq!(total(&*store).await, 0);
    let unseen = handle.status().await.unwrap_err();
    assert_eq!(unseen.kind(), ErrorKind::NotFound);
    transaction.commit().await.unwrap();
    assert_eq!(handle.status().await.unwrap(), TaskStatus::Pending);

    let mut transaction = database.begin().await.unwrap();
    insert(&mut transaction, 2, "").await.unwrap();
    let rolled_back = ship(2).await.submit_within(&mut transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    // Dropped is rolled back as well.
    let mut transaction = database.begin().await.unwrap();
    let dropped = ship(3).await.submit_within(&mut transaction).await.unwrap();
    drop(transaction);
    assert_eq!(bought(&mut database).await, 1);
    for gone in [rolled_back, dropped] {
        assert_eq!(gone.status().await.unwrap_err().kind(), ErrorKind::NotFound);
    }

    // A transaction in a transaction is a savepoint; one that was begun by a statement is one, too.
    let mut transaction = database.begin().await.unwrap();
    let mut inner = transaction.begin().await.unwrap();
    let undone = ship(4).await.submit_within(&mut inner).await.unwrap();
    inner.rollback().await.unwrap();
    let mut inner = transaction.begin().await.unwrap();
    let inside = ship(5).await.submit_within(&mut inner).await.unwrap();
    inner.commit().await.unwrap();
    transaction.commit().await.unwrap();
    let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE";
    sqlx::raw_sql(begin).execute(&mut database).await.unwrap();
    let stated = ship(6).await.submit_within(&mut database).await.unwrap();
    sqlx::raw_sql("COMMIT")
        .execute(&mut database)
        .await
        .unwrap();
    assert_eq!(
        undone.status().await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(total(&*store).await, 3);

    // A worker notices and runs what was committed, also while it runs.
    let runner = Runner::new(tlo);
    let stop = runner.handle();
    let running = tokio::spawn(runner.run());
    assert_eq!(handle.result::<i64>().await.unwrap(), 2);
    assert_eq!(inside.result::<i64>().await.unwrap(), 6);
    assert_eq!(stated.result::<i64>().await.unwrap(), 7);
    let late = buy(&mut database, 9, ship(9).await).await.unwrap();
    assert_eq!(late.result::<i64>().await.unwrap(), 10);
    stop.stop();
    running.await.unwrap().unwrap();
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn keys_and_rules_hold_and_a_refusal_leaves_the_transaction_usable() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let store = open(postgres.options("enlist_sqlx_keys")).await;
    let client = program(&store).await.client();
    let mut database = application(postgres.url()).await;
    let keyed = |on_conflict| {
        let ship = client.task("ship").args(&7);
        ship.unique_or("order/7", UniqueScope::Forever, on_conflict)
    };
    let first = keyed(OnConflict::Existing).submit().await.unwrap();
    let rule = GateRule {
        max_depth: Some(1),
        ..GateRule::default()
    };
    let key = format!("{GATE_MARK}queue/small");
    let rule = tlo::Payload::of(&rule).unwrap();
    store.put_mark(&key, rule, None, None).await.unwrap();

    let again = keyed(OnConflict::Existing).prepare().await.unwrap();
    let refused = keyed(OnConflict::Fail).prepare().await.unwrap();
    let small = async || {
        let ship = client.task("ship").args(&8).queue("small");
        ship.exclusive("small").prepare().await.unwrap()
    };
    let (one, two) = (small().await, small().await);
    let mut transaction = database.begin().await.unwrap();
    let again = again.submit_within(&mut transaction).await.unwrap();
    assert_eq!((again.id(), again.is_new()), (first.id(), false));
    let error = refused.submit_within(&mut transaction).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    // What was submitted in it counts in it.
    one.submit_within(&mut transaction).await.unwrap();
    let full = two.submit_within(&mut transaction).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::QueueFull, "{full}");
    insert(&mut transaction, 1, "").await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!((total(&*store).await, bought(&mut database).await), (2, 1));
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn of_two_that_submit_the_same_key_the_second_waits_for_the_first() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let store = open(postgres.options("enlist_sqlx_race")).await;
    let client = program(&store).await.client();
    let around = connect(postgres.url()).await.unwrap();
    let mut other = connect(postgres.url()).await.unwrap();
    let keyed = async |key: &str| {
        let ship = client.task("ship").args(&1);
        let keyed = ship.unique(key.to_owned(), UniqueScope::Forever);
        keyed.prepare().await.unwrap()
    };
    for (key, is_kept) in [("kept", true), ("given up", false)] {
        let mut database = application(postgres.url()).await;
        let name = "SET application_name = 'second'";
        sqlx::raw_sql(name).execute(&mut database).await.unwrap();
        let (first, second) = (keyed(key).await, keyed(key).await);
        let mine = second.id().clone();
        let transaction = other.transaction().await.unwrap();
        let first = first.submit_within(&transaction).await.unwrap();
        let waiting = tokio::spawn(async move {
            let bought = buy(&mut database, 1, second).await.unwrap();
            (bought.id().clone(), bought.is_new())
        });
        waits_for_a_lock(&around, "second").await;
        let expected = if is_kept {
            transaction.commit().await.unwrap();
            (first.id().clone(), false)
        } else {
            transaction.rollback().await.unwrap();
            (mine, true)
        };
        assert_eq!(waiting.await.unwrap(), expected, "{key}");
    }
    assert_eq!(total(&*store).await, 2);
}

#[tokio::test]
async fn what_is_no_transaction_on_the_store_is_refused() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let store = open(postgres.options("enlist_sqlx_none")).await;
    let client = program(&store).await.client();
    let mut database = application(postgres.url()).await;
    let ship = async || client.task("ship").args(&1).prepare().await.unwrap();
    let expect = |error: tlo::Error, said: &str| {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    };

    let error = ship().await.submit_within(&mut database).await.unwrap_err();
    expect(error, "no open transaction");

    let mut transaction = database.begin().await.unwrap();
    insert(&mut transaction, 1, "").await.unwrap();
    insert(&mut transaction, 1, "").await.unwrap_err();
    let late = ship().await.submit_within(&mut transaction).await;
    expect(late.unwrap_err(), "failed before");
    transaction.rollback().await.unwrap();

    let create = "CREATE DATABASE elsewhere_sqlx";
    postgres.run(create).await.unwrap();
    let elsewhere = postgres.url().replace("/postgres?", "/elsewhere_sqlx?");
    let mut elsewhere = PgConnection::connect(&elsewhere).await.unwrap();
    let mut transaction = elsewhere.begin().await.unwrap();
    let other = ship().await.submit_within(&mut transaction).await;
    expect(other.unwrap_err(), "has no store");
    sqlx::raw_sql("SELECT 1")
        .execute(&mut *transaction)
        .await
        .unwrap();
    drop(transaction);

    let memory = TloContext::builder()
        .settings(tlo::settings::SettingsSource::empty())
        .store(std::sync::Arc::new(MemoryStore::default()))
        .task(task("ship").declare())
        .build()
        .await
        .unwrap();
    let other = memory.client().task("ship").args(&1).prepare().await;
    let mut transaction = database.begin().await.unwrap();
    let other = other.unwrap().submit_within(&mut transaction).await;
    expect(other.unwrap_err(), "\"memory\"");
    transaction.commit().await.unwrap();
    assert_eq!(total(&*store).await, 0);
}

#[tokio::test]
async fn a_session_that_the_server_ends_is_an_error_of_the_moment() {
    let Some(server) = PrivatePostgres::start() else {
        return;
    };
    let store = open(PostgresOptions::at(server.url())).await;
    let client = program(&store).await.client();
    let around = connect(&server.url()).await.unwrap();
    let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'mine'";
    let ship = async |key: &str| {
        let ship = client.task("ship").args(&1);
        let keyed = ship.unique(key.to_owned(), UniqueScope::Forever);
        keyed.prepare().await.unwrap()
    };
    let mine = async || {
        let mut database = application(&server.url()).await;
        let name = "SET application_name = 'mine'";
        sqlx::raw_sql(name).execute(&mut database).await.unwrap();
        database
    };

    // Before the submit.
    let mut database = mine().await;
    let mut transaction = database.begin().await.unwrap();
    around.query_one(end, &[]).await.unwrap();
    let error = ship("a").await.submit_within(&mut transaction).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.is_retryable(), "{error}");
    drop(transaction);

    // In the middle of it.
    let mut other = connect(&server.url()).await.unwrap();
    let holder = other.transaction().await.unwrap();
    ship("b").await.submit_within(&holder).await.unwrap();
    let mut database = mine().await;
    let second = ship("b").await;
    let waiting = tokio::spawn(async move {
        let mut transaction = database.begin().await.unwrap();
        second.submit_within(&mut transaction).await.map(drop)
    });
    waits_for_a_lock(&around, "mine").await;
    around.query_one(end, &[]).await.unwrap();
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    holder.rollback().await.unwrap();

    assert_eq!(total(&*store).await, 0);
    let mut database = mine().await;
    buy(&mut database, 1, ship("b").await).await.unwrap();
    assert_eq!((total(&*store).await, bought(&mut database).await), (1, 1));
}

/// Connections that are cut in a full proof.
const CUTS: usize = 1_000;

/// The message that commits a transaction, and nothing else.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// More bytes than such a transaction takes either way.
const BYTES: u64 = 12_000;

#[tokio::test]
async fn a_connection_that_is_cut_anywhere_leaves_the_order_and_its_task_or_neither() {
    let Some(server) = PrivatePostgres::start() else {
        return;
    };
    let store = open(PostgresOptions::at(server.url())).await;
    let client = program(&store).await.client();
    let around = connect(&server.url()).await.unwrap();
    let table = "CREATE TABLE bought (id bigint PRIMARY KEY, task text)";
    around.batch_execute(table).await.unwrap();
    let proxy = FaultProxy::start(server.address());
    let lossy = format!(
        "postgres://tlo@{}/postgres?sslmode=disable&application_name=lossy",
        proxy.address()
    );
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let (wanted, mut cuts, mut whole, mut told) = (counted(CUTS), 0, 0, 0);
    for id in 1_i64.. {
        let ship = client.task("ship").args(&id).prepare().await.unwrap();
        let task = ship.id().as_str().to_owned();
        let mut database = PgConnection::connect(&lossy).await.unwrap();
        proxy.set(match random.u32(0..8) {
            0 => Fault::LoseAnswer {
                to: COMMIT.to_vec(),
            },
            n => Fault::CutAfter {
                way: if n % 2 == 0 { Way::Up } else { Way::Down },
                bytes: random.u64(1..BYTES),
            },
        });
        let done = buy(&mut database, id, ship).await;
        proxy.heal();
        drop(database);
        until("the session has ended", async || {
            let left = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lossy'";
            let row = around.query_one(left, &[]).await.unwrap();
            row.get::<_, i64>(0) == 0
        })
        .await;
        let order = "SELECT count(*) FROM bought WHERE task = $1";
        let order = around.query_one(order, &[&task]).await.unwrap();
        let is_ordered = order.get::<_, i64>(0) == 1;
        let is_there = store.read(&super::kit::id(&task)).await.is_ok();
        assert_eq!(is_ordered, is_there, "order {id}, seed {seed}");
        match done {
            Ok(_) => assert!(is_there, "order {id} was answered, seed {seed}"),
            Err(error) => {
                cuts += 1;
                whole += usize::from(is_there);
                if let Some(error) = error.downcast_ref::<tlo::Error>() {
                    told += 1;
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}, seed {seed}");
                }
            }
        }
        if cuts == wanted {
            break;
        }
    }
    assert!(
        told > 0 && whole > 0,
        "{told} cuts met a submit, {whole} a commit, seed {seed}"
    );
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    println!(
        "{cuts} connections cut, {told} of them in the submit; {whole} had committed (seed {seed})"
    );
}

#[tokio::test]
async fn it_works_behind_a_pooler_of_transactions() {
    let Some(postgres) = Postgres::pooled() else {
        return;
    };
    let options = postgres.options("enlist_sqlx_pooled");
    let url = options.url.clone();
    let store = open(options).await;
    let client = program(&store).await.client();
    let plain = |url: &str| {
        let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
        // What a pooler of transactions asks of an application. The statements of TLO have no names anyway.
        options.statement_cache_capacity(0).extra_float_digits(None)
    };
    let table = "CREATE TABLE bought (id bigint PRIMARY KEY, task text)";
    postgres.run(table).await.unwrap();
    let mut connections = Vec::new();
    for _ in 0..3 {
        let connected = PgConnection::connect_with(&plain(&url)).await;
        connections.push(connected.unwrap());
    }
    for id in 0..12 {
        let ship = client.task("ship").args(&id).prepare().await.unwrap();
        let database = &mut connections[usize::try_from(id).unwrap() % 3];
        let mut transaction = database.begin().await.unwrap();
        let insert = format!("INSERT INTO bought VALUES ({id}, '{}')", ship.id());
        let insert = sqlx::raw_sql(sqlx::AssertSqlSafe(insert));
        insert.execute(&mut *transaction).await.unwrap();
        ship.submit_within(&mut transaction).await.unwrap();
        transaction.commit().await.unwrap();
    }
    assert_eq!(total(&*store).await, 12);
}
