//! [`Enlist`] and [`EnlistAsync`]: commits inside a transaction of the caller.

use async_trait::async_trait;

use super::TaskStateStore;
use super::commit::{Commit, Committed};
use crate::clock::Clock;
use crate::error::Result;
use crate::id::IdSource;

/// An open transaction of the caller on the database of a store, which a commit can become a part of.
///
/// # Contract
/// - What the commit writes is kept when the caller commits, and gone when the caller rolls back.
/// - A refused or failed commit leaves the transaction as it was before.
pub trait Enlist {
    /// Writes the commit into the transaction. The clock and the ids are those that the store has.
    ///
    /// # Errors
    /// `Invalid` when there is no open transaction or no store of this build, and those of the database.
    fn enlist(&self, commit: Commit, clock: &dyn Clock, ids: &IdSource) -> Result<Committed>;
}

/// Where a store has its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tables {
    /// The plugin name of the store, such as `postgres`.
    pub store: &'static str,
    /// The schema that they are in.
    pub schema: String,
    /// What their names begin with; may be empty.
    pub prefix: String,
}

impl Tables {
    /// Tables of this kind of store, in a schema, with what their names begin with.
    #[must_use]
    pub fn new(store: &'static str, schema: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            store,
            schema: schema.into(),
            prefix: prefix.into(),
        }
    }
}

/// As [`Enlist`], for a database that is asked over a network: what is implemented is a reference to the transaction, `&mut`
/// where the database's library wants that.
///
/// # Contract
/// - What the commit writes is kept when the caller commits, and gone when the caller rolls back.
/// - A refused or failed commit leaves the transaction as it was before.
#[async_trait]
pub trait EnlistAsync: Send + Sized {
    /// Writes the commit into the transaction, where `store` has its tables. The clock and the ids are those that the store
    /// has.
    ///
    /// # Errors
    /// `Invalid` when the database holds no store, or the store is of another kind, and those of the database.
    async fn enlist(
        self,
        commit: Commit,
        store: &dyn TaskStateStore,
        clock: &dyn Clock,
        ids: &IdSource,
    ) -> Result<Committed>;
}
