//! [`TaskRegistry`]: which tasks are defined.

use std::fmt::Debug;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::task::TaskDef;

/// Where definitions live. Handlers live elsewhere.
#[async_trait]
pub trait TaskRegistry: Debug + Send + Sync + 'static {
    /// Adds a definition; its name must be new.
    async fn put(&self, def: TaskDef) -> Result<()>;
    /// The definition of that name.
    async fn get(&self, name: &str) -> Result<Option<TaskDef>>;
    /// All definitions in order of registration.
    async fn list(&self) -> Result<Vec<TaskDef>>;
    /// Removes a definition; whether there was one.
    async fn remove(&self, name: &str) -> Result<bool>;
}

/// Definitions in the memory of this process.
#[derive(Debug, Default)]
pub struct InMemoryTaskRegistry {
    definitions: Mutex<Vec<TaskDef>>,
}

#[async_trait]
impl TaskRegistry for InMemoryTaskRegistry {
    async fn put(&self, def: TaskDef) -> Result<()> {
        let mut definitions = self.definitions.lock();
        if definitions.iter().any(|known| known.name == def.name) {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                "register task",
                format!("the task \"{}\" is already registered", def.name),
            ));
        }
        definitions.push(def);
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Option<TaskDef>> {
        let definitions = self.definitions.lock();
        Ok(definitions.iter().find(|def| &*def.name == name).cloned())
    }

    async fn list(&self) -> Result<Vec<TaskDef>> {
        Ok(self.definitions.lock().clone())
    }

    async fn remove(&self, name: &str) -> Result<bool> {
        let mut definitions = self.definitions.lock();
        let before = definitions.len();
        definitions.retain(|def| &*def.name != name);
        Ok(definitions.len() < before)
    }
}
