//! Opening: what is made, what is refused, and what is never said.

use tlo::store::{Durability, TaskStateStore, TaskStateStoreExt};
use tlo::{ErrorKind, PostgresDurability, PostgresOptions};

use super::kit::{new, open, total, try_open};
use super::servers::postgres::{Postgres, PrivatePostgres, connect};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_is_made_once_and_a_newer_one_is_refused() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let options = postgres.options("opened");
    // Many that open a new schema at once make it once.
    let opening = (0..6).map(|_| tokio::spawn(try_open(options.clone())));
    for store in opening.collect::<Vec<_>>() {
        store.await.unwrap().unwrap();
    }
    let store = open(options.clone()).await;
    let capability = store.capability();
    assert_eq!(capability.durability, Durability::Power);
    assert!(capability.shared && capability.pushes);
    assert!(capability.facts.contains(&("fsync", "on".to_owned())));
    store.create(new("a")).await.unwrap();
    // Another prefix in the same schema is another store.
    let beside = PostgresOptions {
        table_prefix: "beside_".to_owned(),
        ..options.clone()
    };
    assert_eq!(total(&*open(beside).await).await, 0);

    let schema = &options.schema;
    let newer = format!("INSERT INTO {schema}.migration (number, checksum) VALUES (99, 'x')");
    postgres.run(&newer).await.unwrap();
    let error = try_open(options.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("has layout 99"), "{error}");
    let other = format!(
        "DELETE FROM {schema}.migration WHERE number = 99; UPDATE {schema}.migration SET checksum = 'x'"
    );
    postgres.run(&other).await.unwrap();
    let error = try_open(options).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is not the one this build knows"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_cannot_keep_its_word_is_refused_unless_told() {
    let Some(server) = PrivatePostgres::with(&["synchronous_commit=off"]) else {
        return;
    };
    let strict = PostgresOptions::at(server.url());
    let error = try_open(strict.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(
        error.to_string().contains("synchronous_commit=off"),
        "{error}"
    );
    let relaxed = PostgresOptions {
        durability: PostgresDurability::Relaxed,
        ..strict
    };
    let store = open(relaxed).await;
    assert_eq!(store.capability().durability, Durability::Process);
    store.create(new("a")).await.unwrap();
    assert_eq!(total(&*store).await, 1);
}

#[tokio::test]
async fn what_cannot_be_reached_or_entered_says_why_and_not_the_password() {
    let Some(server) = PrivatePostgres::start() else {
        return;
    };
    let at = |url: String| async move { try_open(PostgresOptions::at(url)).await.unwrap_err() };
    let missing = at(server.url().replace("/postgres?", "/none?")).await;
    assert_eq!(missing.kind(), ErrorKind::Configuration, "{missing}");
    let stranger = at(server.url().replace("tlo@", "stranger:canary@")).await;
    assert_eq!(stranger.kind(), ErrorKind::Configuration, "{stranger}");
    let nobody = at("postgres://tlo:canary@127.0.0.1:1/postgres".to_owned()).await;
    assert_eq!(nobody.kind(), ErrorKind::Unavailable, "{nobody}");
    assert!(nobody.is_retryable());
    for error in [missing, stranger, nobody] {
        assert!(
            !format!("{error:?} {error}").contains("canary"),
            "{error:?}"
        );
    }
    // One that may only read cannot make a schema, and is told so.
    let database = connect(&server.url()).await.unwrap();
    database
        .batch_execute("CREATE ROLE reader LOGIN")
        .await
        .unwrap();
    let reader = at(server.url().replace("tlo@", "reader@")).await;
    assert_eq!(reader.kind(), ErrorKind::Configuration, "{reader}");
}
