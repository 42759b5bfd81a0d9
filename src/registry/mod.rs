//! What can run: the definitions of tasks, as data. Handlers live in [`HandlerTable`](crate::handler::HandlerTable).

mod memory;

use std::fmt::Debug;

use async_trait::async_trait;

pub use self::memory::InMemoryTaskRegistry;
use crate::error::Result;
use crate::task::TaskDef;

/// Keeps the definitions of tasks.
///
/// # Contract
/// - `put` checks the definition and refuses one that is not valid; nothing is stored then.
/// - `put` of a name that is known, as a name or as an alias, is refused; the first definition stays.
/// - `get` finds a definition by its name or by one of its aliases.
/// - `list` gives all definitions in the order of their registration.
/// - `remove` takes a name, not an alias, and says whether there was one; the name is free again.
#[async_trait]
pub trait TaskRegistry: Debug + Send + Sync + 'static {
    /// Adds a definition.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is known; `Invalid` or `TooLarge` as [`TaskDef::check`] says.
    async fn put(&self, def: TaskDef) -> Result<()>;

    /// The definition of this name or alias.
    ///
    /// # Errors
    /// When the registry cannot be read.
    async fn get(&self, name: &str) -> Result<Option<TaskDef>>;

    /// All definitions, in the order of their registration.
    ///
    /// # Errors
    /// When the registry cannot be read.
    async fn list(&self) -> Result<Vec<TaskDef>>;

    /// Removes the definition of this name; `false` when there is none.
    ///
    /// # Errors
    /// When the registry cannot be written.
    async fn remove(&self, name: &str) -> Result<bool>;
}
