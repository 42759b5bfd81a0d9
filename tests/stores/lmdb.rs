//! LMDB environments, for what opens stores by a factory.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tlo::store::SharedStore;
use tlo::store::kv::{RowEngine, Rows};
use tlo::testing::conformance::{Feature, StoreFactory};
use tlo::{Clock, IdSource, LmdbEngine, LmdbOptions, Result, TaskId};

/// A folder with one directory for each place.
pub(crate) struct Environments(pub(crate) TempDir);

impl Environments {
    pub(crate) fn path(&self, place: &str) -> PathBuf {
        self.0.path().join(format!("{place}.lmdb"))
    }
}

#[async_trait::async_trait]
impl StoreFactory for Environments {
    async fn open(
        &self,
        place: &str,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<SharedStore> {
        let store = LmdbOptions::at(self.path(place)).open(clock, ids)?;
        Ok(Arc::new(store))
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
        let engine = LmdbEngine::open(LmdbOptions::at(self.path(place)))?;
        let key = [b"t", id.as_str().as_bytes()].concat();
        engine.write(&mut |rows: &mut dyn Rows| {
            assert!(rows.get(&key)?.is_some(), "there is no record {id}");
            rows.put(&key, b"{\"")
        })
    }

    async fn discard(&self, place: &str) {
        // Thousands of places, each with a file: none stays.
        let _ = std::fs::remove_dir_all(self.path(place));
    }
}
