//! The registry in memory: what a program registers when it starts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;
use smallvec::SmallVec;

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
    by_number: BTreeMap<u64, Arc<TaskDef>>,
    /// Names and aliases, and the definitions that they lead to, in the order of their registration: one, or one of each
    /// version.
    numbers: HashMap<Arc<str>, SmallVec<[u64; 1]>>,
    last: u64,
}

impl Entries {
    fn versions(&self, name: &str) -> impl DoubleEndedIterator<Item = &Arc<TaskDef>> {
        let numbers = self.numbers.get(name).map_or(&[][..], SmallVec::as_slice);
        numbers
            .iter()
            .filter_map(|number| self.by_number.get(number))
    }

    fn get(&self, name: &str) -> Option<&Arc<TaskDef>> {
        let plain = self.versions(name).find(|def| def.version.is_none());
        plain.or_else(|| self.versions(name).next_back())
    }

    fn put(&mut self, def: Arc<TaskDef>) -> Result<()> {
        for name in names(&def) {
            for owner in self.versions(name) {
                if owner.name != def.name || owner.version == def.version {
                    return Err(taken(name, &def, owner));
                }
            }
        }
        if def.schedule.is_some()
            && let Some(owner) = self
                .versions(&def.name)
                .find(|owner| owner.schedule.is_some())
        {
            return Err(scheduled_twice(&def, owner));
        }
        self.last += 1;
        for name in names(&def) {
            let numbers = self.numbers.entry(Arc::clone(name)).or_default();
            numbers.push(self.last);
        }
        self.by_number.insert(self.last, def);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> bool {
        if self
            .versions(name)
            .next()
            .is_none_or(|def| &*def.name != name)
        {
            return false;
        }
        // All versions, and the aliases that any of them has: they lead to no other name.
        for number in self.numbers.get(name).cloned().unwrap_or_default() {
            if let Some(def) = self.by_number.remove(&number) {
                for name in names(&def) {
                    self.numbers.remove(name);
                }
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
        match &def.version {
            Some(version) => {
                format!("the task \"{name}\" is already registered in version \"{version}\"")
            }
            None => format!("the task \"{name}\" is already registered"),
        }
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

fn scheduled_twice(def: &TaskDef, owner: &TaskDef) -> Error {
    let shown = |def: &TaskDef| match &def.version {
        Some(version) => format!("version \"{version}\""),
        None => "the one without a version".to_owned(),
    };
    Error::new(
        ErrorKind::AlreadyExists,
        "register task",
        format!(
            "the task \"{}\" has a schedule already, of {}; take the schedule out of that one or of {}",
            def.name,
            shown(owner),
            shown(def)
        ),
    )
}

#[async_trait]
impl TaskRegistry for InMemoryTaskRegistry {
    async fn put(&self, def: TaskDef) -> Result<()> {
        def.check()?;
        self.entries.write().put(Arc::new(def))
    }

    async fn get(&self, name: &str) -> Result<Option<Arc<TaskDef>>> {
        Ok(self.entries.read().get(name).cloned())
    }

    async fn get_version(&self, name: &str, version: Option<&str>) -> Result<Option<Arc<TaskDef>>> {
        let entries = self.entries.read();
        let mut versions = entries.versions(name);
        Ok(versions
            .find(|def| def.version.as_deref() == version)
            .cloned())
    }

    async fn list(&self) -> Result<Vec<Arc<TaskDef>>> {
        Ok(self.entries.read().by_number.values().cloned().collect())
    }

    async fn remove(&self, name: &str) -> Result<bool> {
        Ok(self.entries.write().remove(name))
    }
}
