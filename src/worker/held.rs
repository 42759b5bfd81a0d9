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
    runs: Mutex<Running>,
    changed: Notify,
    /// Places came back that were promised and not needed.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Running {
    tasks: HashMap<LeaseToken, HeldTask, RandomState>,
    /// Places set aside for runs whose lease is being asked for.
    promised: usize,
    /// The shortest lease when that was last asked for: who renews leases waits by it.
    known_shortest: Option<Duration>,
}

impl Held {
    /// Sets places aside, as many as are wanted and free of so many; answers how many.
    pub(super) fn promise(&self, places: usize, wanted: usize) -> usize {
        let mut runs = self.runs.lock();
        let free = places.saturating_sub(runs.tasks.len() + runs.promised);
        let promised = free.min(wanted);
        runs.promised += promised;
        promised
    }

    /// Takes these in, in the places that were set aside for them; those that are not needed are free again.
    pub(super) fn insert(&self, tasks: Vec<HeldTask>, promised: usize) {
        let mut runs = self.runs.lock();
        let known = runs.known_shortest;
        let is_shorter = tasks
            .iter()
            .any(|task| known.is_none_or(|known| task.ttl < known));
        runs.promised = runs.promised.saturating_sub(promised);
        let tasks = tasks.into_iter().map(|task| (task.lease.token, task));
        runs.tasks.extend(tasks);
        drop(runs);
        if is_shorter {
            self.changed.notify_one();
        }
    }

    /// Tells the worker that places are free again that it did not give away itself.
    pub(super) fn tell_freed(&self) {
        self.freed.notify_one();
    }

    /// Waits until places came back since this last ended.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Places that neither a run nor a promise takes, of so many.
    pub(super) fn free(&self, places: usize) -> usize {
        let runs = self.runs.lock();
        places.saturating_sub(runs.tasks.len() + runs.promised)
    }

    pub(super) fn set_abort(&self, lease: LeaseRef, abort: AbortHandle) {
        if let Some(task) = self.runs.lock().tasks.get_mut(&lease.token) {
            task.abort = Some(abort);
        }
    }

    pub(super) fn remove(&self, leases: impl IntoIterator<Item = LeaseRef>) {
        let mut runs = self.runs.lock();
        let gone: Vec<_> = leases
            .into_iter()
            .filter_map(|lease| runs.tasks.remove(&lease.token))
            .collect();
        drop(runs);
        // Contexts may own what a handler left in them; they go outside of the lock.
        drop(gone);
    }

    pub(super) fn get(&self, lease: LeaseRef) -> Option<HeldTask> {
        self.runs.lock().tasks.get(&lease.token).cloned()
    }

    /// The runs of a task, whatever their fence.
    pub(super) fn of(&self, id: &TaskId) -> Vec<HeldTask> {
        let runs = self.runs.lock();
        let of_id = runs.tasks.values().filter(|task| task.record().id == *id);
        in_one_order(of_id.cloned().collect())
    }

    pub(super) fn all(&self) -> Vec<HeldTask> {
        in_one_order(self.runs.lock().tasks.values().cloned().collect())
    }

    /// Those that have said something that is not written yet.
    pub(super) fn with_log(&self) -> Vec<HeldTask> {
        let runs = self.runs.lock();
        let said = runs.tasks.values().filter(|task| task.context.has_log());
        said.cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.runs.lock().tasks.len()
    }

    /// The shortest lease among them.
    pub(super) fn shortest_lease(&self) -> Option<Duration> {
        let mut runs = self.runs.lock();
        let shortest = runs.tasks.values().map(|task| task.ttl).min();
        runs.known_shortest = shortest;
        shortest
    }

    /// The longest that a run said it needs to clean up.
    pub(super) fn needed_grace(&self) -> Duration {
        let runs = self.runs.lock();
        let needed = runs.tasks.values().map(|task| task.context.needed_grace());
        needed.max().unwrap_or_default()
    }

    /// Waits until a task was added, since this last ended, whose lease is shorter than what was known to be the shortest.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// The map has an order of its own in every process; a simulation is to repeat itself.
fn in_one_order(mut tasks: Vec<HeldTask>) -> Vec<HeldTask> {
    tasks.sort_unstable_by_key(|task| task.lease.token.as_u128());
    tasks
}
