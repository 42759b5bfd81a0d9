//! The stores that come with TLO.

mod memory;
mod rows;
mod writer;

pub use memory::MemoryStore;
pub use rows::RowStore;
