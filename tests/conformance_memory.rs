//! The conformance suite over the store in memory, and over rows in a tree that can be reopened, shared and damaged.
#![cfg(feature = "testing")]
#![allow(
    clippy::print_stdout,
    reason = "the table of cases is what the run is for"
)]

#[path = "stores/memory.rs"]
mod memory;
mod stores;
#[path = "stores/table.rs"]
mod table;

use memory::Memory;
use tlo::testing::conformance::{self, Options, StoreFactory};

async fn keeps_the_contract(factory: &dyn StoreFactory, shrink: usize) -> conformance::Report {
    let report = conformance::run(factory, &Options::shrunk(shrink)).await;
    println!("{report}");
    report.assert_ok();
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contract() {
    let report = keeps_the_contract(&Memory, 1).await;
    assert!(report.skipped().all(|(_, why)| !why.is_empty()));
    table::compare("memory", &[report]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_in_a_tree_keep_the_contract_and_nothing_is_skipped() {
    let report = keeps_the_contract(&stores::Trees::default(), 5).await;
    assert_eq!(report.skipped().count(), 0);
}

#[tokio::test]
async fn memory_keeps_the_contract_on_one_thread() {
    keeps_the_contract(&Memory, 20).await;
}
