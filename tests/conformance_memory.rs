//! The conformance suite over the store in memory.
#![cfg(feature = "testing")]

use std::sync::Arc;

use tlo::store::SharedStore;
use tlo::testing::conformance::{self, Options, StoreFactory};
use tlo::{Clock, IdSource, MemoryStore};

struct Memory;

#[async_trait::async_trait]
impl StoreFactory for Memory {
    async fn open(
        &self,
        _place: &str,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> tlo::Result<SharedStore> {
        Ok(Arc::new(MemoryStore::new(clock, ids)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contract() {
    let report = conformance::run(&Memory, &Options::default()).await;
    println!("{report}");
    report.assert_ok();
}
