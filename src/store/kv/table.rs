//! What the verbs are written against: rows, decoded records, and a way back.

use std::sync::Arc;

use super::rows::Pairs;
use crate::clock::Steady;
use crate::error::Result;
use crate::id::{LeaseToken, TaskId};
use crate::store::Hint;
use crate::task::TaskStateRecord;
use crate::timestamp::Timestamp;

/// The store's two clocks, read once for a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Wall time.
    pub(crate) now: Timestamp,
    /// Steady time.
    pub(crate) steady: Steady,
}

/// Reading.
pub(crate) trait Source {
    fn moment(&self) -> Moment;
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;
    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs>;
    fn record(&self, id: &TaskId) -> Result<Option<Arc<TaskStateRecord>>>;

    /// The first row between two keys.
    fn first(&self, from: &[u8], until: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        Ok(self.range(from, until, 1, false)?.pop())
    }
}

/// Writing. Records are the only rows that are decoded; they never go through `put`.
pub(crate) trait Table: Source {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<()>;
    fn delete(&mut self, key: &[u8]) -> Result<()>;
    fn put_record(&mut self, record: Arc<TaskStateRecord>) -> Result<()>;
    fn delete_record(&mut self, id: &TaskId) -> Result<()>;
    /// The next number of the store: creation sequences and mark versions come from here.
    fn next_number(&mut self) -> Result<u64>;
    /// A fresh lease token.
    fn token(&mut self) -> LeaseToken;
    /// Sends a hint when the transaction is durable.
    fn hint(&mut self, hint: Hint);
    /// A point to go back to.
    fn savepoint(&mut self) -> usize;
    /// Undoes what was written since.
    fn rollback(&mut self, savepoint: usize);
}
