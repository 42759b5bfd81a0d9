//! The registry in memory: what a program registers when it starts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;

use super::TaskRegistry;
use crate::error::{Error, ErrorKind, Result};
use crate::task::TaskDef;

/// A [`TaskRegistry`] in memory. Nothing survives the process: a program registers its tasks at each start.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tlo::Result<()> {
/// use tlo::registry::{InMemoryTaskRegistry, TaskRegistry};
/// use tlo::task::TaskDef;
///
/// let registry = InMemoryTaskRegistry::default();
/// registry.put(TaskDef::new("greet")).await?;
/// let again = registry.put(TaskDef::new("greet")).await;
/// assert_eq!(again.unwrap_err().to_string(), "the task \"greet\" is already registered");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct InMemoryTaskRegistry {
    entries: RwLock<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_number: BTreeMap<u64, TaskDef>,
    /// Names and aliases.
    numbers: HashMap<Arc<str>, u64>,
    last: u64,
}

impl Entries {
    fn owner(&self, name: &str) -> Option<&TaskDef> {
        self.by_number.get(self.numbers.get(name)?)
    }

    fn put(&mut self, def: TaskDef) -> Result<()> {
        for name in names(&def) {
            if let Some(owner) = self.owner(name) {
                return Err(taken(name, &def, owner));
            }
        }
        self.last += 1;
        for name in names(&def) {
            self.numbers.insert(Arc::clone(name), self.last);
        }
        self.by_number.insert(self.last, def);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> bool {
        let Some(number) = self.numbers.get(name).copied() else {
            return false;
        };
        if self
            .by_number
            .get(&number)
            .is_none_or(|def| &*def.name != name)
        {
            return false;
        }
        if let Some(def) = self.by_number.remove(&number) {
            for name in names(&def) {
                self.numbers.remove(name);
            }
        }
        true
    }
}

fn names(def: &TaskDef) -> impl Iterator<Item = &Arc<str>> {
    std::iter::once(&def.name).chain(&def.aliases)
}

fn taken(name: &str, def: &TaskDef, owner: &TaskDef) -> Error {
    let message = if *def.name == *name && *owner.name == *name {
        format!("the task \"{name}\" is already registered")
    } else if *owner.name == *name {
        format!(
            "the alias \"{name}\" of the task \"{}\" is the name of another task",
            def.name
        )
    } else {
        format!(
            "the name \"{name}\" of the task \"{}\" is already an alias of the task \"{}\"",
            def.name, owner.name
        )
    };
    Error::new(ErrorKind::AlreadyExists, "register task", message)
}

#[async_trait]
impl TaskRegistry for InMemoryTaskRegistry {
    async fn put(&self, def: TaskDef) -> Result<()> {
        def.check()?;
        self.entries.write().put(def)
    }

    async fn get(&self, name: &str) -> Result<Option<TaskDef>> {
        Ok(self.entries.read().owner(name).cloned())
    }

    async fn list(&self) -> Result<Vec<TaskDef>> {
        Ok(self.entries.read().by_number.values().cloned().collect())
    }

    async fn remove(&self, name: &str) -> Result<bool> {
        Ok(self.entries.write().remove(name))
    }
}
