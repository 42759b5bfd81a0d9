//! JSONL logs, for what opens stores by a factory.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tlo::store::SharedStore;
use tlo::store::kv::{RowEngine, Rows};
use tlo::testing::conformance::{Feature, StoreFactory};
use tlo::{Clock, IdSource, JsonlEngine, JsonlOptions, Result, TaskId};

/// A folder with one log for each place.
pub(crate) struct Logs(pub(crate) TempDir);

impl Logs {
    pub(crate) fn path(&self, place: &str) -> PathBuf {
        self.0.path().join(format!("{place}.jsonl"))
    }
}

#[async_trait::async_trait]
impl StoreFactory for Logs {
    async fn open(
        &self,
        place: &str,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<SharedStore> {
        // So small that compactions happen all the time.
        let options = JsonlOptions {
            compact_bytes: 100_000,
            compact_ratio: 2,
            ..JsonlOptions::at(self.path(place))
        };
        Ok(Arc::new(options.open(clock, ids)?))
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
        let engine = JsonlEngine::open(JsonlOptions::at(self.path(place)))?;
        let key = [b"t", id.as_str().as_bytes()].concat();
        engine.write(&mut |rows: &mut dyn Rows| {
            assert!(rows.get(&key)?.is_some(), "there is no record {id}");
            rows.put(&key, b"{\"")
        })
    }

    async fn discard(&self, place: &str) {
        // Thousands of places, each with its files: none stays.
        for ending in ["jsonl", "jsonl.lock"] {
            let _ = std::fs::remove_file(self.path(place).with_extension(ending));
        }
    }
}
