//! Several servers: slots that move, nodes and masters that die, under load.
//!
//! `TLO_PROOF=full` fails over ten times each, otherwise once.

use std::sync::Arc;
use std::time::Duration;

use tlo::store::{Hint, SharedStore, TaskStateStore, TaskStateStoreExt};
use tlo::{RedisOptions, RedisStore};

use crate::kit::{lease, new, open, open_with, total, until};
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

/// Only a server that all replicas had its writes of is replaced without a loss. With fewer, who takes over may be one that
/// lacks the latest: what is there then is whole all the same, and no lease is taken for another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_is_replaced_by_sentinels_and_work_goes_on() {
    let Some(watched) = WatchedRedis::start(Duration::from_millis(700)) else {
        return;
    };
    let options = RedisOptions {
        wait_replicas: 1,
        ..RedisOptions::at(watched.url())
    };
    let stores = [store(options.clone()).await, store(options).await];
    let promise = stores[0].capability().promise;
    assert!(promise.contains("only 1 of its 2 replicas"), "{promise}");
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
    let figures = load.check_losses(&*stores[0]).await;
    println!("{failovers} failovers by sentinels, at most {longest:?} without a master: {figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_all_replicas_had_is_lost_whoever_takes_over_and_whyever() {
    // So long that none is replaced for being slow on a busy machine: then there are two replicas again soon.
    let Some(watched) = WatchedRedis::start(Duration::from_secs(3)) else {
        return;
    };
    let options = RedisOptions {
        wait_replicas: 2,
        ..RedisOptions::at(watched.url())
    };
    let stores = [store(options.clone()).await, store(options).await];
    let promise = stores[0].capability().promise;
    assert!(
        promise.contains("takes nothing that was answered"),
        "{promise}"
    );
    let mut load = Load::begin(&stores).await;
    let rounds = counted(10);
    for _ in 0..rounds {
        load.more_answers(20).await;
        tokio::task::block_in_place(|| {
            watched.fail_over();
            watched.settle();
        });
        load.resumes().await;
        load.more_answers(20).await;
        // The other one still runs, and goes on to take writes until it hears of it.
        tokio::task::block_in_place(|| {
            watched.replace();
            watched.settle();
        });
        load.resumes().await;
    }
    let figures = load.check(&*stores[0]).await;
    println!("{rounds} masters killed and {rounds} replaced while they ran: {figures}");
}

#[tokio::test]
async fn a_server_that_takes_over_or_starts_again_gives_no_fence_again() {
    let at_once = ["--appendonly", "yes", "--repl-diskless-sync-delay", "0"];
    let Some(first) = PrivateRedis::with(&at_once) else {
        return;
    };
    let port = first.address().port().to_string();
    let replica = ["--appendonly", "yes", "--replicaof", "127.0.0.1", &port];
    let second = PrivateRedis::with(&replica).unwrap();
    let options = RedisOptions {
        wait_replicas: 1,
        ..RedisOptions::at(first.url())
    };
    until("the replica follows", Duration::from_secs(30), async || {
        let info: String = second.ask(&["INFO", "replication"]);
        info.contains("master_link_status:up")
    })
    .await;
    let store = open_with(options).await.unwrap();
    for id in ["a", "b", "c"] {
        store.create(new(id)).await.unwrap();
    }
    // What the first does from now on is lost.
    let () = second.ask(&["REPLICAOF", "NO", "ONE"]);
    let store = open(&first.url()).await;
    let lost = lease_three(&store).await;
    assert_eq!(lost, [1, 1, 1]);
    let store = open(&second.url()).await;
    let given = lease_three(&store).await;
    assert!(given.iter().all(|fence| *fence > 1), "{given:?}");
    let store = open(&first.url()).await;
    first.kill();
    first.start_again();
    // A read makes the connection anew.
    assert_eq!(total(&store).await, 3);
    store.create(new("d")).await.unwrap();
    let after = lease(&store).await.unwrap()[0].fence;
    assert!(after > 1, "{after}");
    store.create(new("e")).await.unwrap();
    let later = lease(&store).await.unwrap()[0].fence;
    assert!(later > after, "{after} {later}");
}

#[tokio::test]
async fn a_claim_that_too_few_replicas_have_gives_its_leases_back() {
    let Some(server) = PrivateRedis::with(&["--appendonly", "yes"]) else {
        return;
    };
    let alone = open(&server.url()).await;
    let options = RedisOptions {
        wait_replicas: 1,
        ..RedisOptions::at(server.url())
    };
    let waiting = open_with(options).await.unwrap();
    alone.create(new("a")).await.unwrap();
    for _ in 0..2 {
        let error = lease(&waiting).await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        let id = [crate::kit::id("a")];
        until("it waits again", Duration::from_secs(30), async || {
            let found = alone.get(&id).await.unwrap();
            let task = found[0].as_ref().unwrap();
            task.status == tlo::TaskStatus::Pending && task.leases > 0
        })
        .await;
    }
    let task = &lease(&alone).await.unwrap()[0];
    assert_eq!((task.attempt, task.leases, task.lost), (1, 3, 0));
}

async fn lease_three(store: &RedisStore) -> Vec<u64> {
    let mut fences = Vec::new();
    for _ in 0..3 {
        fences.push(lease(store).await.unwrap()[0].fence);
    }
    fences
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
