//! The one door to the tasks: submit, control, read. Command line, server and programs all go through it.

mod batch;
mod context;
mod control;
mod handle;
mod known;
mod lock;
mod peek;
mod prepared;
mod read;
mod signature;
mod submit;
mod why;

use std::sync::Arc;

pub use batch::{BatchRefused, RefusedItem};
pub use context::ClientContext;
pub(crate) use control::{AUDIT_KEPT, trim_audit, unfinished_runs};
pub use control::{
    AuditData, AuditEvent, Bulk, BulkRefusal, BulkReport, Declaration, DeclaredLimits, LimitChange,
    LimitedTarget, Limits, Paused, Target, TaskAction,
};
pub use handle::TaskHandle;
pub use known::WorkerInfo;
pub(crate) use known::{WORKER_MARK, live_workers};
pub use lock::Lock;
pub use prepared::Prepared;
pub use read::Stats;
pub use signature::{Signature, Untyped};
pub use submit::Submit;
pub use why::{Reason, Why, WhyLink};

use crate::clock::Clock;
use crate::handler::Trace;
use crate::id::IdSource;
use crate::observe::Observers;
use crate::payload::Payload;
use crate::registry::TaskRegistry;
use crate::store::SharedStore;
use crate::task::TaskDef;

/// What a client is made of. [`TloContext`](crate::TloContext) fills it in.
#[derive(Clone, Debug)]
pub struct ClientParts {
    /// Where tasks live.
    pub store: SharedStore,
    /// What is known about them.
    pub registry: Arc<dyn TaskRegistry>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<IdSource>,
    /// Who is told.
    pub observers: Observers,
    /// Who the tasks say created them.
    pub created_by: Option<String>,
    /// The largest args, in bytes. Stores refuse what is above 1 MiB whatever this says.
    pub payload_limit: usize,
}

/// Submits, steers and reads tasks. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Client(Arc<ClientParts>, Option<Trace>);

impl Client {
    /// A client of these parts.
    #[must_use]
    pub fn new(parts: ClientParts) -> Self {
        Self(Arc::new(parts), None)
    }

    /// Starts a submit of a task by its name.
    ///
    /// ```
    /// # use tlo::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
    /// let tlo = TloContext::builder()
    ///     .task(task("greet").run(|_: TaskContext, name: String| async move { TaskResult::Ok(format!("hello {name}")) }))
    ///     .build()
    ///     .await?;
    /// let handle = tlo.client().task("greet").args("ada").priority(9).submit().await?;
    /// assert_eq!(handle.record().await?.status, TaskStatus::Pending);
    /// # Ok(()) }
    /// ```
    pub fn task(&self, name: impl Into<String>) -> Submit {
        Submit::new(self.clone(), submit::Named::Name(name.into()))
    }

    /// Starts a submit of a task whose definition is at hand, registered or not.
    pub fn defined(&self, def: TaskDef) -> Submit {
        Submit::new(self.clone(), submit::Named::Def(Box::new(def)))
    }

    /// The store behind it, for what the client has no verb for.
    #[must_use]
    pub fn store(&self) -> &SharedStore {
        &self.0.store
    }

    /// The clock it waits with.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    fn check_size(&self, args: &Payload) -> crate::Result<()> {
        args.check_size("submit", self.0.payload_limit)
    }
}
