//! The plugins that come with TLO. This is the only file outside the tests that names backends.

use std::sync::Arc;

use serde::Deserialize;

use super::{PluginRequest, PluginTable};
use crate::backends::MemoryStore;
#[cfg(feature = "sqlite")]
use crate::backends::{SqliteOptions, SqliteStore};
use crate::error::Result;
use crate::registry::{InMemoryTaskRegistry, TaskRegistry};
use crate::store::TaskStateStore;

/// Adds the plugins of this build.
pub(super) fn add(table: PluginTable) -> PluginTable {
    #[allow(unused_mut, reason = "not every build adds to it")]
    let mut table = table
        .task_state_store("memory", memory_store)
        .task_registry("memory", memory_registry)
        .section_type::<MemorySection>("memory");
    table.stores.alias("InMemoryTaskStateStore", "memory");
    table.registries.alias("InMemoryTaskRegistry", "memory");
    #[cfg(feature = "sqlite")]
    {
        table = table
            .task_state_store("sqlite", sqlite_store)
            .section_type::<SqliteOptions>("sqlite");
    }
    #[cfg(not(feature = "sqlite"))]
    table.stores.not_built("sqlite", "sqlite");
    table
}

/// `[memory]` has no settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemorySection {}

async fn memory_store(request: PluginRequest) -> Result<Arc<dyn TaskStateStore>> {
    let MemorySection {} = request.section.extract()?;
    Ok(Arc::new(MemoryStore::new(request.clock, request.ids)))
}

async fn memory_registry(request: PluginRequest) -> Result<Arc<dyn TaskRegistry>> {
    let MemorySection {} = request.section.extract()?;
    Ok(Arc::new(InMemoryTaskRegistry::default()))
}

/// `[sqlite]` is [`SqliteOptions`]; a path in the URL stands above the one there.
#[cfg(feature = "sqlite")]
async fn sqlite_store(request: PluginRequest) -> Result<Arc<dyn TaskStateStore>> {
    let mut options: SqliteOptions = request.section.extract()?;
    if let Some(path) = request.path() {
        options.path = path;
    }
    Ok(Arc::new(SqliteStore::open(
        options,
        request.clock,
        request.ids,
    )?))
}
