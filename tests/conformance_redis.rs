//! The conformance suite over a real Redis server, and over a cluster of three.
#![cfg(all(feature = "testing", feature = "redis"))]
#![allow(
    clippy::print_stdout,
    reason = "the table of cases is what the run is for"
)]

mod servers;
#[path = "stores/sides.rs"]
mod sides;
#[path = "stores/table.rs"]
mod table;

use servers::redis::Redis;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_keeps_the_contract_and_skips_what_a_server_clock_cannot_do() {
    if let Some(redis) = Redis::start() {
        sides::keeps_the_contract("redis", &redis, 2).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_cluster_keeps_the_contract_as_one_server_does() {
    if let Some(redis) = Redis::cluster() {
        sides::keeps_the_contract("redis cluster", &redis, 2).await;
    }
}
