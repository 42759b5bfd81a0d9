//! The leases that a worker holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::handler::TaskContext;
use crate::id::{LeaseToken, TaskId};
use crate::task::{LeaseRef, TaskStateRecord};

/// One running task.
#[derive(Clone, Debug)]
pub(super) struct HeldTask {
    pub(super) lease: LeaseRef,
    pub(super) ttl: Duration,
    pub(super) context: TaskContext,
    pub(super) abort: Option<AbortHandle>,
}

impl HeldTask {
    pub(super) fn record(&self) -> &Arc<TaskStateRecord> {
        self.context.record()
    }
}

/// All running tasks of a worker, by the token of their lease: a task that was lost and claimed again by the same
/// worker has two for a while.
#[derive(Debug, Default)]
pub(super) struct Held {
    tasks: Mutex<HashMap<LeaseToken, HeldTask, RandomState>>,
    changed: Notify,
}

impl Held {
    pub(super) fn insert(&self, tasks: impl IntoIterator<Item = HeldTask>) {
        let mut held = self.tasks.lock();
        held.extend(tasks.into_iter().map(|task| (task.lease.token, task)));
        drop(held);
        self.changed.notify_one();
    }

    pub(super) fn set_abort(&self, lease: LeaseRef, abort: AbortHandle) {
        if let Some(task) = self.tasks.lock().get_mut(&lease.token) {
            task.abort = Some(abort);
        }
    }

    pub(super) fn remove(&self, leases: impl IntoIterator<Item = LeaseRef>) {
        let mut tasks = self.tasks.lock();
        let gone: Vec<_> = leases
            .into_iter()
            .filter_map(|lease| tasks.remove(&lease.token))
            .collect();
        drop(tasks);
        // Contexts may own what a handler left in them; they go outside of the lock.
        drop(gone);
    }

    pub(super) fn get(&self, lease: LeaseRef) -> Option<HeldTask> {
        self.tasks.lock().get(&lease.token).cloned()
    }

    /// The runs of a task, whatever their fence.
    pub(super) fn of(&self, id: &TaskId) -> Vec<HeldTask> {
        let tasks = self.tasks.lock();
        let of_id = tasks.values().filter(|task| task.record().id == *id);
        of_id.cloned().collect()
    }

    pub(super) fn all(&self) -> Vec<HeldTask> {
        self.tasks.lock().values().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.lock().len()
    }

    /// The shortest lease among them.
    pub(super) fn shortest_lease(&self) -> Option<Duration> {
        self.tasks.lock().values().map(|task| task.ttl).min()
    }

    /// The longest that a run said it needs to clean up.
    pub(super) fn needed_grace(&self) -> Duration {
        let tasks = self.tasks.lock();
        let needed = tasks.values().map(|task| task.context.needed_grace());
        needed.max().unwrap_or_default()
    }

    /// Waits until a task was added since this last ended.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
