//! What the suite needs from a store: how to open one, and what it can do.

use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::error::Result;
use crate::id::{IdSource, TaskId};
use crate::store::SharedStore;

/// Opens the stores that the suite tries.
///
/// ```
/// use std::sync::Arc;
/// use tlo::testing::conformance::{self, Options, StoreFactory};
/// use tlo::{Clock, IdSource, MemoryStore, store::SharedStore};
///
/// struct Memory;
///
/// #[async_trait::async_trait]
/// impl StoreFactory for Memory {
///     async fn open(&self, _place: &str, clock: Arc<dyn Clock>, ids: Arc<IdSource>) -> tlo::Result<SharedStore> {
///         Ok(Arc::new(MemoryStore::new(clock, ids)))
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let options = Options { only: Some("marks".to_owned()), ..Options::default() };
/// conformance::run(&Memory, &options).await.assert_ok();
/// # });
/// ```
#[async_trait]
pub trait StoreFactory: Send + Sync {
    /// Opens the store of a place: a file, a namespace, a key of a map, as the backend has it.
    ///
    /// A place that was never opened is empty. With [`Feature::Reopen`] the same place holds what was written before, after
    /// all handles were dropped; with [`Feature::Handles`] it is opened again while another handle is open. The store
    /// takes all its time from `clock` and its lease tokens from `ids`.
    ///
    /// # Errors
    /// When it cannot be opened; each case that needed it fails.
    async fn open(
        &self,
        place: &str,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<SharedStore>;

    /// What the store can do. Cases that need more are reported as skipped, with what is missing.
    fn features(&self) -> Vec<Feature> {
        vec![Feature::SteadyLeases]
    }

    /// Damages the stored record of an id, for [`Feature::Corrupt`]. The store of the place is open.
    ///
    /// # Errors
    /// When the damage could not be done.
    async fn corrupt(&self, _place: &str, _id: &TaskId) -> Result<()> {
        Ok(())
    }

    /// Removes what a place holds; called after each case.
    async fn discard(&self, _place: &str) {}
}

/// Something that not every store can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feature {
    /// What was written is there when the place is opened again.
    Reopen,
    /// A place can be opened several times at once.
    Handles,
    /// Leases are measured on the steady clock: setting the wall clock does not end them, a reboot does.
    SteadyLeases,
    /// The factory can damage a stored record.
    Corrupt,
}

impl Feature {
    /// Why a case that needs it is skipped.
    pub(super) const fn missing(self) -> &'static str {
        match self {
            Self::Reopen => "what it holds does not outlive its handles",
            Self::Handles => "a place has one handle at a time",
            Self::SteadyLeases => "its leases are measured on the wall clock",
            Self::Corrupt => "the factory cannot damage a record",
        }
    }
}
