//! [`TloContext`]: settings, registry, store and handlers, resolved and checked before anything starts.

mod builder;

use std::sync::Arc;

pub use builder::TloContextBuilder;

use crate::client::{Client, Declaration, DeclaredLimits};
use crate::clock::Clock;
use crate::error::Result;
use crate::handler::{BlockingPool, HandlerTable, Surroundings};
use crate::id::IdSource;
use crate::observe::Observers;
use crate::registry::TaskRegistry;
use crate::settings::{Loaded, TloSettings};
use crate::store::SharedStore;
use crate::worker::{WorkerOptions, WorkerParts};

/// Everything a program needs to submit and run tasks. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct TloContext(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    loaded: Loaded,
    store: SharedStore,
    registry: Arc<dyn TaskRegistry>,
    handlers: HandlerTable,
    surroundings: Arc<Surroundings>,
    clock: Arc<dyn Clock>,
    ids: Arc<IdSource>,
    observers: Observers,
    client: Client,
    declares: Declaration,
}

impl TloContext {
    /// Starts a context.
    pub fn builder() -> TloContextBuilder {
        TloContextBuilder::default()
    }

    /// The door to the tasks.
    #[must_use]
    pub fn client(&self) -> Client {
        self.0.client.clone()
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &TloSettings {
        &self.0.loaded.settings
    }

    /// The settings with their origins.
    #[must_use]
    pub fn loaded(&self) -> &Loaded {
        &self.0.loaded
    }

    /// The limits that those who run its tasks declare for the whole cluster.
    #[must_use]
    pub fn declared_limits(&self) -> &[DeclaredLimits] {
        &self.0.declares.limits
    }

    /// Where tasks live.
    #[must_use]
    pub fn store(&self) -> &SharedStore {
        &self.0.store
    }

    /// What can run.
    #[must_use]
    pub fn registry(&self) -> &Arc<dyn TaskRegistry> {
        &self.0.registry
    }

    /// What runs it.
    #[must_use]
    pub fn handlers(&self) -> &HandlerTable {
        &self.0.handlers
    }

    /// Time.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// New ids, and chance.
    #[must_use]
    pub fn ids(&self) -> &Arc<IdSource> {
        &self.0.ids
    }

    /// Who is told what happens.
    #[must_use]
    pub fn observers(&self) -> &Observers {
        &self.0.observers
    }

    /// Where handlers without `async` run.
    #[must_use]
    pub fn blocking(&self) -> &BlockingPool {
        &self.0.surroundings.blocking
    }

    /// What a worker of this context is made of; each call is a new incarnation.
    ///
    /// # Errors
    /// When the name in the settings cannot be a worker's.
    pub fn worker_parts(&self) -> Result<WorkerParts> {
        let settings = self.settings();
        Ok(WorkerParts {
            store: Arc::clone(&self.0.store),
            client: self.client(),
            handlers: self.0.handlers.clone(),
            surroundings: Arc::clone(&self.0.surroundings),
            clock: Arc::clone(&self.0.clock),
            ids: Arc::clone(&self.0.ids),
            observers: self.0.observers.clone(),
            id: self.0.ids.worker_id(&settings.name)?,
            options: WorkerOptions {
                queues: settings.queues.clone(),
                weights: settings.queue_weights.clone(),
                concurrency: settings.concurrency,
                prefetch: settings.prefetch,
                lease: settings.lease,
                poll: settings.tick_interval,
                kill_grace: settings.kill_grace,
                declares: self.0.declares.clone(),
            },
        })
    }
}
