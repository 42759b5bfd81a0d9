//! Stores in memory, for what opens stores by a factory.

use std::sync::Arc;

use tlo::store::SharedStore;
use tlo::testing::conformance::StoreFactory;
use tlo::{Clock, IdSource, MemoryStore, Result};

/// Each place is a new store.
pub(crate) struct Memory;

#[async_trait::async_trait]
impl StoreFactory for Memory {
    async fn open(
        &self,
        _place: &str,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<SharedStore> {
        Ok(Arc::new(MemoryStore::new(clock, ids)))
    }
}
