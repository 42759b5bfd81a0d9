//! What a key-value engine must offer.

use std::fmt::Debug;

use crate::error::Result;
use crate::store::Capability;

/// Keys and their values, in order.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Ordered keys and values inside one transaction. Keys have at most 300 bytes and are compared byte by byte.
///
/// # Contract
/// - `get` and `range` see what this transaction wrote before.
/// - `range` gives keys from `from` (inclusive) to `until` (exclusive), at most `limit`, in order, or from the
///   end backwards when `reverse` is set.
/// - A transaction that is only read refuses `put` and `delete` with `Unsupported`.
pub trait Rows {
    /// The value of a key.
    ///
    /// # Errors
    /// When the engine failed.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Sets the value of a key.
    ///
    /// # Errors
    /// When the engine failed.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Removes a key; one that is not there is fine.
    ///
    /// # Errors
    /// When the engine failed.
    fn delete(&mut self, key: &[u8]) -> Result<()>;

    /// Keys and values between two keys.
    ///
    /// # Errors
    /// When the engine failed.
    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs>;
}

/// A key-value engine: transactions over [`Rows`]. [`RowStore`](crate::RowStore) makes a task store of it.
///
/// # Contract
/// - `write` runs the closure in one transaction that nobody else interleaves with; when the closure answers `Ok`, the
///   transaction is durable when `write` returns, and when it answers `Err` or panics, nothing of it happened. An engine
///   that gave a transaction up, to grow or to let another one go first, may run the closure again from nothing.
/// - `read` runs the closure on one consistent view.
/// - Both may block; they are called on threads that may.
pub trait RowEngine: Debug + Send + Sync + 'static {
    /// What the engine promises.
    fn capability(&self) -> Capability;

    /// One write transaction.
    ///
    /// # Errors
    /// When the engine failed or the closure did.
    fn write(&self, run: &mut dyn FnMut(&mut dyn Rows) -> Result<()>) -> Result<()>;

    /// One read transaction.
    ///
    /// # Errors
    /// When the engine failed or the closure did.
    fn read(&self, run: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()>;

    /// A number that changes when another process wrote; `None` when no other process can. Cheap.
    ///
    /// # Errors
    /// When the engine failed.
    fn foreign_writes(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Reads all of its files and says what is wrong with them, a line each.
    ///
    /// # Errors
    /// When the engine failed.
    fn check(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Upkeep of the engine itself, such as a checkpoint. Called every now and then.
    ///
    /// # Errors
    /// When the engine failed.
    fn upkeep(&self) -> Result<()> {
        Ok(())
    }
}
