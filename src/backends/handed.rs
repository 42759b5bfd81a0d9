//! Claims on their way to who asked: leases that nobody takes go back at once, not when they end.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::{Claims, Commit, Guard, Op};
use crate::task::{Ended, decide};

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

/// Claims that were written. Whoever asked takes them; dropped before, because the caller gave up or went away, their
/// leases are returned.
pub(super) struct Handed {
    claims: Option<Claims>,
    returned: Returned,
    wake: Wake,
}

impl Handed {
    pub(super) fn new(claims: Claims, returned: Returned, wake: Wake) -> Self {
        Self {
            claims: Some(claims),
            returned,
            wake,
        }
    }

    /// The claims; `None` never, for this takes itself away.
    pub(super) fn take(mut self) -> Option<Claims> {
        self.claims.take()
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        let tasks = self.claims.take().map(|claims| claims.tasks);
        let back: Vec<Commit> = tasks
            .into_iter()
            .flatten()
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
