//! What can run: the definitions of tasks, as data. Handlers live in [`HandlerTable`](crate::handler::HandlerTable).

mod memory;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

pub use self::memory::InMemoryTaskRegistry;
use crate::error::Result;
use crate::task::TaskDef;

/// Keeps the definitions of tasks.
///
/// # Contract
///
/// Each sentence is a case of the conformance suite (`tlo::testing::conformance::run_registry`, feature `testing`).
///
/// - A definition is found as it was put.
/// - An unknown name is found as nothing.
/// - A definition that is not valid is refused and not kept.
/// - A known name is refused and the first definition stays.
/// - A definition is found by its aliases.
/// - A name and an alias never lead to two tasks.
/// - A refused definition leaves nothing behind.
/// - Versions of a name live side by side and one of them twice is refused.
/// - A name alone leads to the definition without a version or to the last.
/// - At most one version of a name has a schedule.
/// - Definitions are listed in the order of their registration.
/// - A removed name is free with its aliases and all its versions.
/// - An alias and an unknown name are not removed.
/// - Hostile names of tasks stay apart.
/// - A name of 255 bytes is kept and a longer one is refused.
/// - Of many that register one name at once one succeeds.
/// - Thousands of definitions are kept.
#[async_trait]
pub trait TaskRegistry: Debug + Send + Sync + 'static {
    /// Adds a definition.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is known, in this version; `Invalid` or `TooLarge` as [`TaskDef::check`] says.
    async fn put(&self, def: TaskDef) -> Result<()>;

    /// The definition of this name or alias; what a submit by name follows.
    ///
    /// # Errors
    /// When the registry cannot be read.
    async fn get(&self, name: &str) -> Result<Option<Arc<TaskDef>>>;

    /// The definition of this name or alias in this version; with `None` the one without a version and no other.
    ///
    /// # Errors
    /// When the registry cannot be read.
    async fn get_version(&self, name: &str, version: Option<&str>) -> Result<Option<Arc<TaskDef>>> {
        let named =
            |def: &Arc<TaskDef>| *def.name == *name || def.aliases.iter().any(|a| **a == *name);
        let mut all = self.list().await?.into_iter();
        Ok(all.find(|def| named(def) && def.version.as_deref() == version))
    }

    /// All definitions, in the order of their registration.
    ///
    /// # Errors
    /// When the registry cannot be read.
    async fn list(&self) -> Result<Vec<Arc<TaskDef>>>;

    /// Removes the definition of this name, in all versions; `false` when there is none.
    ///
    /// # Errors
    /// When the registry cannot be written.
    async fn remove(&self, name: &str) -> Result<bool>;
}
