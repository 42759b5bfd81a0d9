//! Two servers, of which one takes the writes and the other one its place.
//!
//! `TLO_PROOF=full` fails over ten times, otherwise once.

use std::time::Duration;

use tlo::PostgresOptions;
use tlo::store::{SharedStore, TaskStateStoreExt};

use super::kit::{new, open, total};
use super::servers::load::{Load, comes_true, counted};
use super::servers::postgres::{PrivatePostgres, connect};

/// How long a standby may take to have what its primary has.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(30);

/// Both servers, and whichever takes writes.
fn either(servers: &[PrivatePostgres; 2]) -> PostgresOptions {
    let [a, b] = servers.each_ref().map(PrivatePostgres::address);
    PostgresOptions::at(format!(
        "postgres://tlo@{a},{b}/postgres?sslmode=disable&target_session_attrs=read-write"
    ))
}

fn two() -> Option<[PrivatePostgres; 2]> {
    Some([PrivatePostgres::start()?, PrivatePostgres::start()?])
}

/// From now on the primary answers a commit when its standby has it.
async fn wait_for_standby(primary: &PrivatePostgres) {
    let client = connect(&primary.url()).await.unwrap();
    for sql in [
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        "SELECT pg_reload_conf()",
    ] {
        client.batch_execute(sql).await.unwrap();
    }
    let is_asked = async || {
        let sql =
            "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'";
        !client.query(sql, &[]).await.unwrap().is_empty()
    };
    assert!(comes_true(FOLLOWS_WITHIN, is_asked).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_is_replaced_by_its_standby_and_nothing_that_was_answered_is_lost() {
    let Some(servers) = two() else {
        return;
    };
    let [mut primary, mut standby] = [&servers[0], &servers[1]];
    tokio::task::block_in_place(|| standby.follow(primary));
    let stores = [
        open(either(&servers)).await as SharedStore,
        open(either(&servers)).await as SharedStore,
    ];
    let mut load = Load::begin(&stores).await;
    let failovers = counted(10);
    for _ in 0..failovers {
        wait_for_standby(primary).await;
        load.more_answers(20).await;
        tokio::task::block_in_place(|| {
            primary.kill();
            standby.promote();
        });
        load.resumes().await;
        tokio::task::block_in_place(|| primary.follow(standby));
        (primary, standby) = (standby, primary);
    }
    let figures = load.check(&*stores[0]).await;
    println!("{failovers} failovers to a standby: {figures}");
}

#[tokio::test]
async fn a_standby_that_stands_where_the_primary_was_is_told_apart_and_used_when_it_takes_writes() {
    let Some([mut primary, mut standby]) = two() else {
        return;
    };
    let options = PostgresOptions {
        connect_timeout: Duration::from_secs(1),
        call_timeout: Duration::from_secs(3),
        ..PostgresOptions::at(primary.url())
    };
    let store = open(options.clone()).await;
    store.create(new("a")).await.unwrap();
    standby.follow(&primary);
    // As a name or a proxy does that leads somewhere else before the failover is over.
    primary.kill();
    standby.move_to(&mut primary);
    let refused = store.create(new("b")).await.unwrap_err();
    assert!(refused.is_retryable(), "{refused:?}");
    let said = refused.to_string();
    assert!(said.contains("target_session_attrs=read-write"), "{said}");
    // What only looks is answered there.
    let opened = open(options).await;
    assert_eq!(total(&*opened).await, 1);
    standby.promote();
    store.create(new("b")).await.unwrap();
    opened.create(new("c")).await.unwrap();
    assert_eq!(total(&*store).await, 3);
}
