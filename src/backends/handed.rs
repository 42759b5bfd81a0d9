//! Leases on their way to who asked: those that nobody takes go back at once, not when they end.

use std::sync::Arc;

use super::sync::Mutex;
use crate::store::{Claims, Commit, Committed, Effect, Guard, Op};
use crate::task::{Ended, LOCK_NAME, TaskStateRecord, decide};

/// Leases that nobody took, and the commits that hand them back.
#[derive(Clone, Debug, Default)]
pub(super) struct Returned(Arc<Mutex<Vec<Commit>>>);

impl Returned {
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub(super) fn take(&self) -> Vec<Commit> {
        std::mem::take(&mut *self.0.lock())
    }
}

/// What tells the writer that something was returned; it may be busy, and look by itself.
type Wake = Box<dyn Fn() + Send>;

/// An answer that may bring leases.
pub(super) trait Leases {
    /// The tasks that were leased.
    fn leased(self) -> Vec<Arc<TaskStateRecord>>;
}

impl Leases for Claims {
    fn leased(self) -> Vec<Arc<TaskStateRecord>> {
        self.tasks
    }
}

impl Leases for Vec<Committed> {
    fn leased(self) -> Vec<Arc<TaskStateRecord>> {
        let effects = self.into_iter().flatten().flatten();
        effects
            .filter_map(|effect| match effect {
                Effect::Created { leased, .. } => leased,
                _ => None,
            })
            // A lock is a record that nobody can run: it ends with its lease.
            .filter(|task| *task.name != *LOCK_NAME)
            .collect()
    }
}

/// An answer that was written. Whoever asked takes it; dropped before, because the caller gave up or went away, its
/// leases are returned.
pub(super) struct Handed<T: Leases> {
    answer: Option<T>,
    returned: Returned,
    wake: Wake,
}

impl<T: Leases> Handed<T> {
    pub(super) fn new(answer: T, returned: Returned, wake: Wake) -> Self {
        Self {
            answer: Some(answer),
            returned,
            wake,
        }
    }

    /// The answer, to change something of it that is no lease.
    #[cfg(feature = "redis")]
    pub(super) fn answer_mut(&mut self) -> Option<&mut T> {
        self.answer.as_mut()
    }

    /// The answer; `None` never, for this takes itself away.
    pub(super) fn take(mut self) -> Option<T> {
        self.answer.take()
    }
}

impl<T: Leases> Drop for Handed<T> {
    fn drop(&mut self) {
        let Some(answer) = self.answer.take() else {
            return;
        };
        let back: Vec<Commit> = answer
            .leased()
            .into_iter()
            .filter_map(|task| {
                let lease = task.lease.as_ref()?.reference();
                let released = Box::new(decide(Ended::Released, &task, 0.0));
                let held = Guard::Held(task.id.clone(), lease);
                let commit = Commit::default().when(held);
                Some(commit.then(Op::Settle(task.id.clone(), released)))
            })
            .collect();
        if back.is_empty() {
            return;
        }
        tracing::debug!(tasks = back.len(), "nobody took these leases; they go back");
        self.returned.0.lock().extend(back);
        (self.wake)();
    }
}
