//! The conformance suite over LMDB environments.
#![cfg(all(feature = "testing", feature = "lmdb"))]
#![allow(
    clippy::print_stdout,
    reason = "the table of cases is what the run is for"
)]

#[path = "stores/lmdb.rs"]
mod lmdb;
#[path = "stores/table.rs"]
mod table;

use lmdb::Environments;
use tempfile::TempDir;
use tlo::testing::conformance::{self, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lmdb_keeps_the_contract_and_nothing_is_skipped() {
    let environments = Environments(TempDir::new().unwrap());
    let shrink = if std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full") {
        1
    } else {
        20
    };
    let report = conformance::run(&environments, &Options::shrunk(shrink)).await;
    println!("{report}");
    report.assert_ok();
    assert_eq!(report.skipped().count(), 0);
    table::compare("lmdb", &[report]);
}
