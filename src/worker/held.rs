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

/// All running tasks of a worker.
#[derive(Debug, Default)]
pub(super) struct Held {
    tasks: Mutex<HashMap<TaskId, HeldTask>>,
    changed: Notify,
}

impl Held {
    pub(super) fn insert(&self, task: HeldTask) {
        let mut tasks = self.tasks.lock();
        let was_empty = tasks.is_empty();
        tasks.insert(task.record.id.clone(), task);
        drop(tasks);
        if was_empty {
            self.changed.notify_one();
        }
    }

    pub(super) fn set_abort(&self, id: &TaskId, abort: AbortHandle) {
        if let Some(task) = self.tasks.lock().get_mut(id) {
            task.abort = Some(abort);
        }
    }

    /// Forgets a task, when it is still this lease of it.
    pub(super) fn remove(&self, id: &TaskId, lease: LeaseRef) -> Option<HeldTask> {
        let mut tasks = self.tasks.lock();
        if tasks.get(id).is_some_and(|task| task.lease == lease) {
            tasks.remove(id)
        } else {
            None
        }
    }

    pub(super) fn get(&self, id: &TaskId) -> Option<HeldTask> {
        self.tasks.lock().get(id).cloned()
    }

    pub(super) fn all(&self) -> Vec<HeldTask> {
        self.tasks.lock().values().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.lock().len()
    }

    /// Waits until a task is held after there was none.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
