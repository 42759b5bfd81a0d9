//! SQLite files, for what opens stores by a factory.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tlo::store::SharedStore;
use tlo::testing::conformance::{Feature, StoreFactory};
use tlo::{Clock, Error, ErrorKind, IdSource, Result, SqliteOptions, SqliteStore, TaskId};

/// A folder with one file for each place.
pub(crate) struct Files(pub(crate) TempDir);

impl Files {
    pub(crate) fn path(&self, place: &str) -> PathBuf {
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
