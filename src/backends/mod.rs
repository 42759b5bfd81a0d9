//! The stores that come with TLO.

mod deadline;
#[cfg(any(feature = "sqlite", feature = "lmdb"))]
mod disk;
#[cfg(any(feature = "sqlite", feature = "lmdb"))]
mod file_options;
mod handed;
#[cfg(feature = "lmdb")]
mod lmdb;
mod memory;
#[cfg(feature = "lmdb")]
mod opened;
mod rows;
#[cfg(all(test, tlo_shuttle))]
mod scenes;
#[cfg(feature = "sqlite")]
mod sqlite;
mod sync;
mod watch;
mod writer;

#[cfg(any(feature = "sqlite", feature = "lmdb"))]
pub(crate) use file_options::FileOptions;
#[cfg(feature = "lmdb")]
pub use lmdb::{LmdbDurability, LmdbEngine, LmdbFacts, LmdbOptions, LmdbStore};
pub use memory::MemoryStore;
pub use rows::RowStore;
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteDurability, SqliteEngine, SqliteFacts, SqliteOptions, SqliteStore};
