//! The conformance suite over SQLite files.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(
    clippy::print_stdout,
    reason = "the table of cases is what the run is for"
)]

#[path = "stores/files.rs"]
mod files;
#[path = "stores/table.rs"]
mod table;

use files::Files;
use tempfile::TempDir;
use tlo::testing::conformance::{self, Options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_the_contract_and_nothing_is_skipped() {
    let files = Files(TempDir::new().unwrap());
    let shrink = if std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full") {
        1
    } else {
        20
    };
    let report = conformance::run(&files, &Options::shrunk(shrink)).await;
    println!("{report}");
    report.assert_ok();
    assert_eq!(report.skipped().count(), 0);
    table::compare("sqlite", &[report]);
}
