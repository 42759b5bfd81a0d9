//! The stores that come with TLO.

mod deadline;
#[cfg(any(feature = "sqlite", feature = "lmdb", feature = "jsonl"))]
mod disk;
#[cfg(any(feature = "sqlite", feature = "lmdb", feature = "jsonl"))]
mod file_options;
mod handed;
#[cfg(any(feature = "redis", feature = "postgres"))]
mod io;
#[cfg(feature = "jsonl")]
mod jsonl;
#[cfg(feature = "lmdb")]
mod lmdb;
mod memory;
#[cfg(any(feature = "lmdb", feature = "jsonl"))]
mod opened;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
mod rows;
#[cfg(all(test, tlo_shuttle))]
mod scenes;
#[cfg(feature = "sqlite")]
mod sqlite;
mod sync;
mod watch;
mod writer;

#[cfg(any(feature = "sqlite", feature = "lmdb", feature = "jsonl"))]
pub(crate) use file_options::FileOptions;
#[cfg(feature = "jsonl")]
pub use jsonl::{JsonlDurability, JsonlEngine, JsonlFacts, JsonlOptions, JsonlStore};
#[cfg(feature = "lmdb")]
pub use lmdb::{LmdbDurability, LmdbEngine, LmdbFacts, LmdbOptions, LmdbStore};
pub use memory::MemoryStore;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresDurability, PostgresOptions, PostgresPooler, PostgresStore};
#[cfg(feature = "redis")]
pub use redis::{RedisDurability, RedisOptions, RedisStore};
pub use rows::RowStore;
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteDurability, SqliteEngine, SqliteFacts, SqliteOptions, SqliteStore};
