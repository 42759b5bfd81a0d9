//! Moving everything from one store to another: nothing is lost, nothing changes, and work goes on there.
//!
//! `TLO_PROOF=full` does it at full counts.
#![cfg(all(
    feature = "testing",
    feature = "sqlite",
    feature = "lmdb",
    feature = "jsonl",
    feature = "redis",
    feature = "postgres"
))]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops at the first surprise and prints its counts"
)]

#[path = "../stores/files.rs"]
mod files;
#[path = "../stores/jsonl.rs"]
mod jsonl;
#[path = "../stores/lmdb.rs"]
mod lmdb;
#[path = "../servers/mod.rs"]
mod servers;

#[cfg(all(unix, feature = "cli"))]
mod killed;
#[cfg(all(unix, feature = "cli"))]
#[path = "../operator/mod.rs"]
mod operator;
mod population;
mod refused;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use population::Population;
use tempfile::TempDir;
use tlo::migration::{Migration, MigrationReport, Tally};
use tlo::store::{SharedStore, TaskFilter};
use tlo::testing::conformance::StoreFactory;
use tlo::{Clock, IdSource, MemoryStore, PageRequest, SystemClock, TaskStateRecord, secs};

/// The places of one test, opened on real time.
pub(crate) async fn open(factory: &dyn StoreFactory, place: &str) -> SharedStore {
    let ids = Arc::new(IdSource::random());
    let opened = factory.open(place, SystemClock::shared(), ids);
    opened.await.unwrap()
}

pub(crate) fn memory() -> SharedStore {
    Arc::<MemoryStore>::default()
}

pub(crate) fn seed() -> u64 {
    let seed = std::env::var("TLO_SEED").ok();
    seed.and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..))
}

pub(crate) fn is_full() -> bool {
    std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full")
}

/// All records, as they are wherever they are, in their order.
pub(crate) async fn records(store: &SharedStore) -> Vec<TaskStateRecord> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let request = PageRequest {
            after,
            ..PageRequest::first(200)
        };
        let page = store.list(&TaskFilter::default(), request).await.unwrap();
        let ids: Vec<_> = page.items.into_iter().map(|item| item.record.id).collect();
        for record in store.get(&ids).await.unwrap() {
            let mut record = record.unwrap();
            record.seq = 0;
            record.parked = None;
            if let Some(lease) = &mut record.lease {
                lease.ends = None;
            }
            all.push(record);
        }
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

async fn migrate(from: &SharedStore, to: &SharedStore) -> MigrationReport {
    let migration = Migration::between(Arc::clone(from), Arc::clone(to));
    // Leases that were copied end by the wall clock, which is given some grace.
    let patience = SystemClock.steady().at + secs(60);
    while let Err(error) = migration.look().await {
        let waits = error.to_string().contains("still held");
        assert!(waits && SystemClock.steady().at < patience, "{error}");
        SystemClock.sleep(Duration::from_millis(20)).await;
    }
    let report = migration.run().await.unwrap();
    assert!(report.agrees(), "{report:?}");
    assert_eq!(report.from.checksum(), report.to.checksum());
    report
}

/// Copies from each store to the next; the last holds what the first held.
async fn chain(names: &[&str], stores: &[SharedStore]) -> Tally {
    let wanted = records(&stores[0]).await;
    let mut tallies = Vec::new();
    for (pair, names) in stores.windows(2).zip(names.windows(2)) {
        let report = migrate(&pair[0], &pair[1]).await;
        assert_eq!(records(&pair[1]).await, wanted, "{names:?}");
        tallies.push(report.to);
    }
    assert!(tallies.windows(2).all(|pair| pair[0] == pair[1]));
    let last = tallies.pop().unwrap();
    let mut statuses: BTreeMap<_, u64> = BTreeMap::new();
    for (group, n) in &last.groups {
        *statuses.entry(group.status.as_str()).or_default() += n;
    }
    println!(
        "{}: {} tasks {statuses:?}, {} streams, {} events, {} marks, {} keys, checksum {}",
        names.join(" -> "),
        last.records,
        last.streams,
        last.events,
        last.marks,
        last.keys,
        last.checksum()
    );
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_from_store_to_store_and_comes_back_as_it_was() {
    let (seed, tasks) = (seed(), if is_full() { 20_000 } else { 1_000 });
    println!("TLO_SEED={seed}");
    let files = files::Files(TempDir::new().unwrap());
    let environments = lmdb::Environments(TempDir::new().unwrap());
    let logs = jsonl::Logs(TempDir::new().unwrap());
    let stores = [
        memory(),
        open(&files, "a").await,
        open(&environments, "a").await,
        open(&logs, "a").await,
        memory(),
    ];
    Population::fill(&stores[0], seed, tasks).await;
    let names = ["memory", "sqlite", "lmdb", "jsonl", "memory"];
    let tally = chain(&names, &stores).await;
    assert!(tally.records > tasks as u64 / 2 && tally.keys > 0);
    assert!(tally.streams > 20 && tally.events > 200 && tally.marks > 230);
    let statuses: std::collections::BTreeSet<_> = tally
        .groups
        .keys()
        .map(|group| group.status as u8)
        .collect();
    assert_eq!(statuses.len(), 5, "{:?}", tally.groups);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_goes_to_servers_and_comes_back_as_it_was() {
    let (Some(redis), Some(postgres)) = (
        servers::redis::Redis::start(),
        servers::postgres::Postgres::start(),
    ) else {
        return;
    };
    let (seed, tasks) = (seed(), if is_full() { 20_000 } else { 600 });
    println!("TLO_SEED={seed}");
    let files = files::Files(TempDir::new().unwrap());
    let stores = [
        memory(),
        open(&redis, "move_one").await,
        open(&postgres, "move_one").await,
        open(&redis, "move_two").await,
        open(&files, "a").await,
        open(&postgres, "move_two").await,
    ];
    Population::fill(&stores[0], seed, tasks).await;
    let names = ["memory", "redis", "postgres", "redis", "sqlite", "postgres"];
    chain(&names, &stores).await;
}

#[tokio::test]
async fn nothing_is_copied_from_an_empty_store() {
    let (from, to) = (memory(), memory());
    let report = migrate(&from, &to).await;
    assert_eq!(report.to, Tally::default());
    assert!(to.marks("", None, 9).await.unwrap().is_empty());
}
