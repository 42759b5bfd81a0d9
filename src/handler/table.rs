//! [`HandlerTable`]: names to handlers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::SharedHandler;
use super::layers::{Layer, Panic};
use super::task::Task;
use crate::error::{Error, ErrorKind, Result};
use crate::store::NameVersion;

/// The handlers of this process, by name and version. Cloning it is cheap: clones share the table until one of them
/// changes.
#[derive(Clone, Default)]
pub struct HandlerTable(Arc<Inner>);

#[derive(Clone, Default)]
struct Inner {
    by_name: HashMap<Arc<str>, SmallVec<[Versioned; 1]>, RandomState>,
    lanes: Arc<BTreeSet<NameVersion>>,
    aliases: Arc<BTreeMap<Arc<str>, Arc<str>>>,
}

#[derive(Clone)]
struct Versioned {
    version: Option<Arc<str>>,
    lease: Option<Duration>,
    handler: SharedHandler,
}

impl HandlerTable {
    /// Adds the handler of a task under its name and its aliases. A task that is only declared adds nothing.
    ///
    /// # Errors
    /// As [`Task::check`] says; `AlreadyExists` when there is a handler of that name and version. Nothing is added then.
    pub fn insert(&mut self, task: Task) -> Result<()> {
        task.check()?;
        let Task { def, handler, .. } = task;
        let Some(handler) = handler else {
            return Ok(());
        };
        let names = || std::iter::once(&def.name).chain(&def.aliases);
        if let Some(name) = names().find(|name| self.has(name, def.version.as_deref())) {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                "register task",
                match &def.version {
                    Some(version) => {
                        format!(
                            "the task \"{name}\" in version \"{version}\" has a handler already"
                        )
                    }
                    None => format!("the task \"{name}\" has a handler already"),
                },
            ));
        }
        let inner = Arc::make_mut(&mut self.0);
        let aliases = Arc::make_mut(&mut inner.aliases);
        for alias in &def.aliases {
            aliases.insert(Arc::clone(alias), Arc::clone(&def.name));
        }
        let lanes = Arc::make_mut(&mut inner.lanes);
        for name in names() {
            lanes.insert((Arc::clone(name), def.version.clone()));
            inner
                .by_name
                .entry(Arc::clone(name))
                .or_default()
                .push(Versioned {
                    version: def.version.clone(),
                    lease: def.lease,
                    handler: Arc::clone(&handler),
                });
        }
        Ok(())
    }

    /// Whether a name is known in exactly this version.
    pub(crate) fn has(&self, name: &str, version: Option<&str>) -> bool {
        self.0.by_name.get(name).is_some_and(|versions| {
            versions
                .iter()
                .any(|known| known.version.as_deref() == version)
        })
    }

    /// The handler for a record of this name and version. A record without a version takes the handler without one, or
    /// else the one that was added last; a record with a version takes no other.
    #[must_use]
    pub fn get(&self, name: &str, version: Option<&str>) -> Option<SharedHandler> {
        self.find(name, version)
            .map(|known| Arc::clone(&known.handler))
    }

    /// How long leases of a record of this name and version last, when its definition says so.
    #[must_use]
    pub fn lease(&self, name: &str, version: Option<&str>) -> Option<Duration> {
        self.find(name, version)?.lease
    }

    /// What runs a name, and how long its leases last when its definition says so.
    pub(crate) fn run_of(
        &self,
        name: &str,
        version: Option<&str>,
    ) -> (Option<SharedHandler>, Option<Duration>) {
        let known = self.find(name, version);
        (
            known.map(|known| Arc::clone(&known.handler)),
            known.and_then(|known| known.lease),
        )
    }

    fn find(&self, name: &str, version: Option<&str>) -> Option<&Versioned> {
        let versions = self.0.by_name.get(name)?;
        let exact = versions
            .iter()
            .find(|known| known.version.as_deref() == version);
        match version {
            Some(_) => exact,
            None => exact.or(versions.last()),
        }
    }

    /// The names and versions that can run here, as a claim wants them.
    #[must_use]
    pub fn lanes(&self) -> Arc<BTreeSet<NameVersion>> {
        Arc::clone(&self.0.lanes)
    }

    /// Aliases and the names they stand for, as a claim wants them.
    #[must_use]
    pub fn aliases(&self) -> Arc<BTreeMap<Arc<str>, Arc<str>>> {
        Arc::clone(&self.0.aliases)
    }

    /// How many names and versions can run here, aliases included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lanes.len()
    }

    /// Whether nothing can run here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.lanes.is_empty()
    }

    /// The same handlers, each with this layer around it; panics of the layer are caught.
    #[must_use]
    pub fn layered(&self, layer: &dyn Layer) -> Self {
        self.map(|handler| Panic.wrap(layer.wrap(handler)))
    }

    /// The same handlers, each in the [`standard`](super::layers::standard) layers; what a worker runs.
    #[must_use]
    pub fn standard(&self) -> Self {
        self.map(super::layers::standard)
    }

    fn map(&self, wrap: impl Fn(SharedHandler) -> SharedHandler) -> Self {
        let mut inner = Inner::clone(&self.0);
        for known in inner.by_name.values_mut().flatten() {
            known.handler = wrap(Arc::clone(&known.handler));
        }
        Self(Arc::new(inner))
    }
}

impl fmt::Debug for HandlerTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.lanes.iter()).finish()
    }
}
