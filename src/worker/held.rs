//! The leases that a worker holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::handler::TaskContext;
use crate::id::TaskId;
use crate::task::{LeaseRef, TaskStateRecord};

/// One running task.
#[derive(Clone, Debug)]
pub(super) struct HeldTask {
    pub(super) record: Arc<TaskStateRecord>,
    pub(super) lease: LeaseRef,
    pub(super) ttl: Duration,
    pub(super) context: TaskContext,
    pub(super) abort: Option<AbortHandle>,
}

/// A run: a task that was lost and claimed again by the same worker has two for a while.
type Run = (TaskId, u64);

/// All running tasks of a worker.
#[derive(Debug, Default)]
pub(super) struct Held {
    tasks: Mutex<HashMap<Run, HeldTask>>,
    changed: Notify,
}

impl Held {
    pub(super) fn insert(&self, task: HeldTask) {
        let run = (task.record.id.clone(), task.lease.fence);
        self.tasks.lock().insert(run, task);
        self.changed.notify_one();
    }

    pub(super) fn set_abort(&self, id: &TaskId, lease: LeaseRef, abort: AbortHandle) {
        if let Some(task) = self.tasks.lock().get_mut(&(id.clone(), lease.fence)) {
            task.abort = Some(abort);
        }
    }

    pub(super) fn remove(&self, id: &TaskId, lease: LeaseRef) {
        self.tasks.lock().remove(&(id.clone(), lease.fence));
    }

    pub(super) fn get(&self, id: &TaskId, fence: u64) -> Option<HeldTask> {
        self.tasks.lock().get(&(id.clone(), fence)).cloned()
    }

    /// The runs of a task, whatever their fence.
    pub(super) fn of(&self, id: &TaskId) -> Vec<HeldTask> {
        let tasks = self.tasks.lock();
        let of_id = tasks.values().filter(|task| task.record.id == *id);
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
