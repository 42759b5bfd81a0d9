//! Networks that lose things, under load: nothing that was answered is lost and work goes on.
//!
//! `TLO_PROOF=full` cuts 2,000 connections, otherwise a twentieth of that. `TLO_TEST_SEED` repeats the faults of a run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tlo::RedisOptions;
use tlo::store::{Hint, SharedStore, TaskStateStore, TaskStateStoreExt};

use crate::fault_proxy::{Fault, FaultProxy, Way};
use crate::kit::{new, open_with, total};
use crate::network::{what_lost_its_answer_may_be_sent_again, work_through_faults};
use crate::servers::load::{Load, comes_true, counted, since_boot};
use crate::servers::redis::PrivateRedis;

/// Options for a server at this address.
fn at(address: SocketAddr) -> RedisOptions {
    RedisOptions {
        connect_timeout: Duration::from_secs(2),
        ..RedisOptions::at(format!("redis://{address}/0"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_cuts_swallows_and_delays_loses_nothing_and_work_goes_on() {
    let Some(server) = PrivateRedis::start() else {
        return;
    };
    let open = async |address| Arc::new(open_with(at(address)).await.unwrap()) as SharedStore;
    let to: [&[u8]; 1] = [b"EVALSHA"];
    work_through_faults("redis", server.address(), &to, open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_loses_nothing_and_work_goes_on() {
    let Some(server) = PrivateRedis::with(&["--appendonly", "yes", "--appendfsync", "always"])
    else {
        return;
    };
    let store = Arc::new(open_with(at(server.address())).await.unwrap()) as SharedStore;
    let mut load = Load::begin(&[Arc::clone(&store)]).await;
    let kills = counted(50);
    for _ in 0..kills {
        load.more_answers(20).await;
        server.kill();
        server.start_again();
        load.resumes().await;
    }
    let figures = load.check(&*store).await;
    println!("{kills} kills of the server under workers: {figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_says_so_and_may_be_sent_again() {
    let Some(server) = PrivateRedis::start() else {
        return;
    };
    let proxy = FaultProxy::start(server.address());
    let store = Arc::new(open_with(at(proxy.address())).await.unwrap()) as SharedStore;
    let to = b"EVALSHA".to_vec();
    let lose = || proxy.set(Fault::LoseAnswer { to: to.clone() });
    what_lost_its_answer_may_be_sent_again(&store, lose).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_whose_connection_broke_is_made_again() {
    let Some(server) = PrivateRedis::start() else {
        return;
    };
    let proxy = FaultProxy::start(server.address());
    let store = open_with(at(proxy.address())).await.unwrap();
    store.create(new("a")).await.unwrap();
    let answered = counted(400) as u64;
    for n in 0..answered {
        if n % 2 == 0 {
            // While nobody uses it.
            proxy.cut_all();
            let cut = async || proxy.tally().cuts > n;
            assert!(comes_true(Duration::from_secs(10), cut).await);
        } else {
            let to = b"EVALSHA".to_vec();
            proxy.set(Fault::LoseAnswer { to });
        }
        assert_eq!(total(&store).await, 1);
    }
    let cuts = proxy.tally().cuts;
    println!("{answered} reads were answered, {cuts} connections cut");
    assert!(cuts >= answered, "{cuts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_dead_without_a_word_is_found_out() {
    let Some(server) = PrivateRedis::start() else {
        return;
    };
    let proxy = FaultProxy::start(server.address());
    let through = Arc::new(open_with(at(proxy.address())).await.unwrap());
    let around = open_with(at(server.address())).await.unwrap();
    let mut hints = through.hints();
    // The one that listens hears nothing more, and what is asked is not answered.
    proxy.set(Fault::Blackhole { way: Way::Down });
    around.create(new("first")).await.unwrap();
    let store = Arc::clone(&through);
    let asked = tokio::spawn(async move { store.create(new("second")).await });
    let both = async || proxy.tally().holes == 2;
    assert!(comes_true(Duration::from_secs(10), both).await);
    proxy.heal();
    let begun = since_boot();
    let error = asked.await.unwrap().unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert!(error.to_string().contains("not known"), "{error}");
    let asked = since_boot() - begun;
    through.enqueue(new("second")).await.unwrap();
    // The ear comes back, too.
    while hints.next().await != Some(Hint::Unknown) {}
    while hints.next().await != Some(Hint::Unknown) {}
    around.create(new("third")).await.unwrap();
    while hints.next().await != Some(Hint::Ready("default".into())) {}
    let heard = since_boot() - begun;
    println!("a dead connection was found out after {asked:?}, a dead ear after {heard:?}");
    assert!(asked < Duration::from_secs(10) && heard < Duration::from_secs(15));
    assert_eq!(total(&around).await, 3);
}
