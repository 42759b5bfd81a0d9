//! The plugins that come with TLO. This is the only file outside the tests that names backends.

use std::sync::Arc;

use serde::Deserialize;
#[cfg(any(
    feature = "sqlite",
    feature = "lmdb",
    feature = "jsonl",
    feature = "redis",
    feature = "postgres"
))]
use serde::de::DeserializeOwned;

use super::{PluginRequest, PluginTable};
#[cfg(any(feature = "sqlite", feature = "lmdb", feature = "jsonl"))]
use crate::backends::FileOptions;
#[cfg(feature = "jsonl")]
use crate::backends::JsonlOptions;
#[cfg(feature = "lmdb")]
use crate::backends::LmdbOptions;
use crate::backends::MemoryStore;
#[cfg(feature = "postgres")]
use crate::backends::{PostgresOptions, PostgresStore};
#[cfg(feature = "redis")]
use crate::backends::{RedisOptions, RedisStore};
#[cfg(feature = "sqlite")]
use crate::backends::{SqliteOptions, SqliteStore};
use crate::error::Result;
use crate::registry::{InMemoryTaskRegistry, TaskRegistry};
#[cfg(any(
    feature = "sqlite",
    feature = "lmdb",
    feature = "jsonl",
    feature = "redis",
    feature = "postgres"
))]
use crate::settings::{Loaded, Mistake, PluginAddress, Section};
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
            .section_check("sqlite", file_section::<SqliteOptions>);
    }
    #[cfg(not(feature = "sqlite"))]
    table.stores.not_built("sqlite", "sqlite");
    #[cfg(feature = "lmdb")]
    {
        table = table
            .task_state_store("lmdb", lmdb_store)
            .section_check("lmdb", file_section::<LmdbOptions>);
    }
    #[cfg(not(feature = "lmdb"))]
    table.stores.not_built("lmdb", "lmdb");
    #[cfg(feature = "jsonl")]
    {
        table = table
            .task_state_store("jsonl", jsonl_store)
            .section_check("jsonl", file_section::<JsonlOptions>);
    }
    #[cfg(not(feature = "jsonl"))]
    table.stores.not_built("jsonl", "jsonl");
    #[cfg(feature = "redis")]
    {
        table = table
            .task_state_store("redis", redis_store)
            .section_check("redis", redis_section);
    }
    #[cfg(not(feature = "redis"))]
    table.stores.not_built("redis", "redis");
    for scheme in [
        "rediss",
        "redis+unix",
        "redis+sentinel",
        "rediss+sentinel",
        "valkey",
        "valkeys",
    ] {
        table.stores.alias(scheme, "redis");
    }
    #[cfg(feature = "postgres")]
    {
        table = table
            .task_state_store("postgres", postgres_store)
            .section_check("postgres", postgres_section);
    }
    #[cfg(not(feature = "postgres"))]
    table.stores.not_built("postgres", "postgres");
    // Also where it is not built: what is missing is said of every spelling.
    table.stores.alias("postgresql", "postgres");
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

/// `[redis]` is [`RedisOptions`]; a URL stands above the one there.
#[cfg(feature = "redis")]
async fn redis_store(request: PluginRequest) -> Result<Arc<dyn TaskStateStore>> {
    let mut options: RedisOptions = request.section.extract()?;
    if let Some(url) = request.url() {
        url.clone_into(&mut options.url);
    }
    let store = RedisStore::open(options, request.clock, request.ids).await?;
    Ok(Arc::new(store))
}

/// What would be refused before the server is asked.
#[cfg(feature = "redis")]
fn redis_section(section: &Section, address: &PluginAddress, loaded: &Loaded) -> Vec<Mistake> {
    let above = |options: &mut RedisOptions| {
        address.url()?.clone_into(&mut options.url);
        Some("url")
    };
    wrong_section(section, loaded, above, RedisOptions::wrong)
}

/// What is wrong with a section, or with what stands in `task_state_store` above one of its fields: `above` puts it there,
/// and says which field that is.
#[cfg(any(
    feature = "sqlite",
    feature = "lmdb",
    feature = "jsonl",
    feature = "redis",
    feature = "postgres"
))]
fn wrong_section<T: DeserializeOwned>(
    section: &Section,
    loaded: &Loaded,
    above: impl FnOnce(&mut T) -> Option<&'static str>,
    wrong: impl FnOnce(&T) -> Option<(&'static str, String)>,
) -> Vec<Mistake> {
    let mut options: T = match section.check() {
        Ok(options) => options,
        Err(mistakes) => return mistakes,
    };
    let in_address = above(&mut options);
    let mistake = wrong(&options).map(|(field, reason)| {
        let key = match Some(field) == in_address {
            true => "task_state_store".to_owned(),
            false => format!("{}.{field}", section.name()),
        };
        Mistake {
            value: None,
            origin: loaded.origin(&key),
            reason,
            key,
        }
    });
    mistake.into_iter().collect()
}

/// The options of a store in files: its section, and a path in the URL stands above the one there.
#[cfg(any(feature = "sqlite", feature = "lmdb", feature = "jsonl"))]
fn file_options<T: FileOptions>(request: &PluginRequest) -> Result<T> {
    let mut options: T = request.section.extract()?;
    if let Some(path) = request.path() {
        *options.path_mut() = path;
    }
    Ok(options)
}

/// `[sqlite]` is [`SqliteOptions`].
#[cfg(feature = "sqlite")]
async fn sqlite_store(request: PluginRequest) -> Result<Arc<dyn TaskStateStore>> {
    let options: SqliteOptions = file_options(&request)?;
    let store = SqliteStore::open(options, request.clock, request.ids)?;
    Ok(Arc::new(store))
}

/// `[lmdb]` is [`LmdbOptions`].
#[cfg(feature = "lmdb")]
async fn lmdb_store(request: PluginRequest) -> Result<Arc<dyn TaskStateStore>> {
    let options: LmdbOptions = file_options(&request)?;
    Ok(Arc::new(options.open(request.clock, request.ids)?))
}

/// `[jsonl]` is [`JsonlOptions`].
#[cfg(feature = "jsonl")]
async fn jsonl_store(request: PluginRequest) -> Result<Arc<dyn TaskStateStore>> {
    let options: JsonlOptions = file_options(&request)?;
    Ok(Arc::new(options.open(request.clock, request.ids)?))
}

/// What would be refused at opening, found before.
#[cfg(any(feature = "sqlite", feature = "lmdb", feature = "jsonl"))]
fn file_section<T: FileOptions>(
    section: &Section,
    address: &PluginAddress,
    loaded: &Loaded,
) -> Vec<Mistake> {
    let above = |options: &mut T| {
        *options.path_mut() = address.path()?.into();
        Some("path")
    };
    wrong_section(section, loaded, above, T::wrong)
}

/// `[postgres]` is [`PostgresOptions`]; a URL in `task_state_store` stands above the one there.
#[cfg(feature = "postgres")]
async fn postgres_store(request: PluginRequest) -> Result<Arc<dyn TaskStateStore>> {
    let mut options: PostgresOptions = request.section.extract()?;
    if let Some(url) = database_of(&request.address) {
        options.url = url.to_owned();
    }
    let store = PostgresStore::open(options, request.clock, request.ids).await?;
    Ok(Arc::new(store))
}

/// The URL, when it names more than the plugin: `postgres:` alone is a name.
#[cfg(feature = "postgres")]
fn database_of(address: &PluginAddress) -> Option<&str> {
    address.path().and(address.url())
}

/// What would be refused at opening, found before.
#[cfg(feature = "postgres")]
fn postgres_section(section: &Section, address: &PluginAddress, loaded: &Loaded) -> Vec<Mistake> {
    let above = |options: &mut PostgresOptions| {
        database_of(address)?.clone_into(&mut options.url);
        Some("url")
    };
    wrong_section(section, loaded, above, PostgresOptions::wrong)
}
