//! Several servers: slots that move, nodes and masters that die, under load.
//!
//! `TLO_PROOF=full` fails over ten times each, otherwise once.

use std::sync::Arc;
use std::time::Duration;

use tlo::RedisOptions;
use tlo::store::{Hint, SharedStore, TaskStateStore, TaskStateStoreExt};

use crate::kit::{new, open, open_with, total};
use crate::servers::load::{Load, counted};
use crate::servers::redis::PrivateRedis;
use crate::servers::redis_cluster::{RedisCluster, WatchedRedis};
use crate::servers::told_sentinel::ToldSentinel;

/// A key of the namespace that the stores of these tests have.
const KEY: &str = "{tlo:tlo}:";

async fn store(options: RedisOptions) -> SharedStore {
    Arc::new(open_with(options).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_to_another_node_takes_its_work_along() {
    let Some(cluster) = RedisCluster::start(0) else {
        return;
    };
    let options = RedisOptions::at(cluster.url());
    let stores = [store(options.clone()).await, store(options).await];
    let mut load = Load::begin(&stores).await;
    let moves = counted(40);
    for _ in 0..moves {
        load.more_answers(20).await;
        tokio::task::block_in_place(|| cluster.move_slot(KEY));
        load.resumes().await;
    }
    let figures = load.check(&*stores[0]).await;
    println!("{moves} moves of the slot to another node: {figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_cluster_that_dies_is_replaced_and_nothing_that_a_replica_had_is_lost() {
    let Some(cluster) = RedisCluster::start(1) else {
        return;
    };
    let options = RedisOptions {
        wait_replicas: 1,
        ..RedisOptions::at(cluster.url())
    };
    let stores = [store(options.clone()).await, store(options).await];
    let mut load = Load::begin(&stores).await;
    let (failovers, mut longest) = (counted(10), Duration::ZERO);
    for _ in 0..failovers {
        load.more_answers(20).await;
        longest = longest.max(tokio::task::block_in_place(|| cluster.fail_over(KEY)));
        load.resumes().await;
    }
    let figures = load.check(&*stores[0]).await;
    println!("{failovers} failovers of a cluster, at most {longest:?} without a master: {figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_is_replaced_by_sentinels_and_nothing_that_a_replica_had_is_lost() {
    let Some(watched) = WatchedRedis::start() else {
        return;
    };
    let options = RedisOptions {
        wait_replicas: 1,
        ..RedisOptions::at(watched.url())
    };
    let stores = [store(options.clone()).await, store(options).await];
    let mut load = Load::begin(&stores).await;
    let (failovers, mut longest) = (counted(10), Duration::ZERO);
    for n in 0..failovers {
        load.more_answers(20).await;
        if n > 0 {
            tokio::task::block_in_place(|| watched.settle());
        }
        longest = longest.max(tokio::task::block_in_place(|| watched.fail_over()));
        load.resumes().await;
    }
    let figures = load.check(&*stores[0]).await;
    println!("{failovers} failovers by sentinels, at most {longest:?} without a master: {figures}");
}

#[tokio::test]
async fn a_sentinel_that_has_not_heard_of_a_failover_is_not_believed() {
    let (Some(replaced), Some(successor)) = (
        PrivateRedis::with(&["--appendonly", "yes"]),
        PrivateRedis::with(&["--appendonly", "yes"]),
    ) else {
        return;
    };
    let knows = ToldSentinel::start(successor.address(), 2);
    let stale = ToldSentinel::start(replaced.address(), 1);
    let (knows, stale) = (knows.address(), stale.address());
    // Whoever is named first, and though most of them have not heard of it.
    let orders = [
        [knows, stale, stale],
        [stale, knows, stale],
        [stale, stale, knows],
    ];
    for (n, sentinels) in orders.into_iter().enumerate() {
        let sentinels = sentinels.map(|address| address.to_string());
        let url = format!("redis+sentinel://{}/shop", sentinels.join(","));
        let store = open_with(RedisOptions::at(url)).await.unwrap();
        store.create(new(format!("t{n}"))).await.unwrap();
    }
    let there = open(&successor.url()).await;
    assert_eq!(total(&there).await, 3);
    let there = open(&replaced.url()).await;
    assert_eq!(total(&there).await, 0);
}

#[tokio::test]
async fn a_server_that_was_replaced_and_answers_still_is_left() {
    let durable = ["--appendonly", "yes"];
    let (Some(replaced), Some(successor)) =
        (PrivateRedis::with(&durable), PrivateRedis::with(&durable))
    else {
        return;
    };
    let sentinel = ToldSentinel::start(replaced.address(), 1);
    let url = format!("redis+sentinel://{}/shop", sentinel.address());
    let store = open_with(RedisOptions::at(url)).await.unwrap();
    let mut hints = store.hints();
    store.create(new("a")).await.unwrap();
    assert_eq!(hints.next().await, Some(Hint::Ready("default".into())));
    sentinel.tell(successor.address(), 2);
    // Nothing breaks and the old one says nothing. One for the ear that leaves, one for its return.
    assert_eq!(hints.next().await, Some(Hint::Unknown));
    assert_eq!(hints.next().await, Some(Hint::Unknown));
    store.create(new("b")).await.unwrap();
    assert_eq!(hints.next().await, Some(Hint::Ready("default".into())));
    let (old, there) = (open(&replaced.url()).await, open(&successor.url()).await);
    assert_eq!((total(&old).await, total(&there).await), (1, 1));
    there.create(new("c")).await.unwrap();
    assert_eq!(hints.next().await, Some(Hint::Ready("default".into())));
}

#[tokio::test]
async fn a_node_that_does_not_have_the_slot_says_how_to_find_the_one_that_has() {
    let Some(cluster) = RedisCluster::start(0) else {
        return;
    };
    let owner = cluster.owner(KEY);
    let other = cluster
        .nodes()
        .iter()
        .find(|node| !std::ptr::eq(*node, owner));
    let alone = RedisOptions::at(other.unwrap().url());
    let store = open_with(alone).await.unwrap();
    let error = store.create(new("a")).await.unwrap_err();
    assert!(error.to_string().contains("?cluster=true"), "{error}");
    let url = format!("{}?cluster=true", other.unwrap().url());
    let store = open_with(RedisOptions::at(url)).await.unwrap();
    store.create(new("a")).await.unwrap();
    assert_eq!(total(&store).await, 1);
}

#[tokio::test]
async fn a_name_that_sentinels_do_not_know_is_refused() {
    let config = "sentinel monitor shop 127.0.0.1 1 1\n";
    let Some(sentinel) = PrivateRedis::sentinel(config) else {
        return;
    };
    let url = format!("redis+sentinel://{}/stall", sentinel.address());
    let error = open_with(RedisOptions::at(url)).await.unwrap_err();
    assert_eq!(error.kind(), tlo::ErrorKind::Configuration, "{error:?}");
    assert!(error.to_string().contains("\"stall\""), "{error}");
}
