//! The conformance suite over the store in memory, and over rows in a tree that can be reopened, shared and damaged.
#![cfg(feature = "testing")]

mod stores;

use tlo::testing::conformance::{self, Options, StoreFactory};

async fn keeps_the_contract(factory: &dyn StoreFactory) -> conformance::Report {
    let report = conformance::run(factory, &Options::default()).await;
    println!("{report}");
    report.assert_ok();
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contract() {
    let report = keeps_the_contract(&stores::Memory).await;
    assert!(report.skipped().all(|(_, why)| !why.is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_in_a_tree_keep_the_contract_and_nothing_is_skipped() {
    let report = keeps_the_contract(&stores::Trees::default()).await;
    assert_eq!(report.skipped().count(), 0);
}

#[tokio::test]
async fn memory_keeps_the_contract_on_one_thread() {
    let options = Options {
        shrink: 20,
        ..Options::default()
    };
    conformance::run(&stores::Memory, &options)
        .await
        .assert_ok();
}
