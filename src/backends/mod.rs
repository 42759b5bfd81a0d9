//! The stores that come with TLO.

mod deadline;
mod handed;
mod memory;
mod rows;
#[cfg(all(test, tlo_shuttle))]
mod scenes;
#[cfg(feature = "sqlite")]
mod sqlite;
mod sync;
mod watch;
mod writer;

pub use memory::MemoryStore;
pub use rows::RowStore;
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteDurability, SqliteEngine, SqliteFacts, SqliteOptions, SqliteStore};
