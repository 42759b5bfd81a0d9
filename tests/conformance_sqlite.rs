//! The conformance suite over SQLite files.
#![cfg(all(feature = "testing", feature = "sqlite"))]
#![allow(
    clippy::print_stdout,
    reason = "the table of cases is what the run is for"
)]

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tlo::store::SharedStore;
use tlo::testing::conformance::{self, Feature, Options, StoreFactory};
use tlo::{Clock, Error, ErrorKind, IdSource, Result, SqliteOptions, SqliteStore, TaskId};

/// A folder with one file for each place.
struct Files(TempDir);

impl Files {
    fn path(&self, place: &str) -> PathBuf {
        self.0.path().join(format!("{place}.db"))
    }
}

fn failed(source: rusqlite::Error) -> Error {
    Error::new(ErrorKind::Internal, "damage", "the row cannot be damaged").with_source(source)
}

#[async_trait::async_trait]
impl StoreFactory for Files {
    async fn open(
        &self,
        place: &str,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<SharedStore> {
        let options = SqliteOptions::at(self.path(place));
        Ok(Arc::new(SqliteStore::open(options, clock, ids)?))
    }

    fn features(&self) -> Vec<Feature> {
        vec![
            Feature::Reopen,
            Feature::Handles,
            Feature::SteadyLeases,
            Feature::Corrupt,
        ]
    }

    async fn corrupt(&self, place: &str, id: &TaskId) -> Result<()> {
        let connection = rusqlite::Connection::open(self.path(place)).map_err(failed)?;
        let key = [b"t", id.as_str().as_bytes()].concat();
        let damaged = connection
            .execute("UPDATE rows SET v = x'7b22' WHERE k = ?1", [key])
            .map_err(failed)?;
        assert_eq!(damaged, 1, "there is no record {id}");
        Ok(())
    }
}

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
}
