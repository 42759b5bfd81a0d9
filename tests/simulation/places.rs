//! Stores that are closed by a crash and opened again from what they kept.

use std::sync::Arc;

use tempfile::TempDir;
use tlo::store::SharedStore;
use tlo::testing::conformance::{Feature, StoreFactory};
use tlo::{Clock, IdSource, Result, SqliteDurability, SqliteOptions, SqliteStore};

/// A folder with a SQLite file for each place.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }
}

#[async_trait::async_trait]
impl StoreFactory for Files {
    async fn open(
        &self,
        place: &str,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<SharedStore> {
        let options = SqliteOptions {
            // No power fails here, and the disk of the machine is not what is tried.
            durability: SqliteDurability::Relaxed,
            ..SqliteOptions::at(self.0.path().join(format!("{place}.db")))
        };
        Ok(Arc::new(SqliteStore::open(options, clock, ids)?))
    }

    fn features(&self) -> Vec<Feature> {
        vec![Feature::Reopen, Feature::Handles, Feature::SteadyLeases]
    }

    async fn discard(&self, place: &str) {
        for ending in ["db", "db-wal", "db-shm"] {
            // What was never made is not there.
            let _ = std::fs::remove_file(self.0.path().join(format!("{place}.{ending}")));
        }
    }
}
