//! What a worker runs, seen from outside.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;

/// What a worker runs now; it stays readable while the worker works, and after.
#[derive(Clone, Debug)]
pub struct Runs(pub(super) Arc<Shared>);

impl Runs {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.held.len()
    }

    /// Runs that ended without their handlers, which did not end in their grace: all since the worker started.
    #[must_use]
    pub fn left_behind(&self) -> usize {
        self.0.left_behind.load(Ordering::Relaxed)
    }

    /// Handlers that still go on although their runs have ended: functions without `async`, of all workers of the context,
    /// and handlers that block their threads. Each keeps a thread busy until it returns.
    #[must_use]
    pub fn stuck(&self) -> usize {
        self.0.stuck.load(Ordering::Relaxed) + self.0.parts.surroundings.blocking.left_behind()
    }

    /// The longest that one of them said it needs to clean up after it is asked to end; zero when none said so.
    #[must_use]
    pub fn needed_grace(&self) -> Duration {
        self.0.held.needed_grace()
    }
}
