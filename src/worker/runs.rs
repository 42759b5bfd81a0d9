//! What a worker runs, seen from outside.

use std::sync::Arc;
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

    /// The longest that one of them said it needs to clean up after it is asked to end; zero when none said so.
    #[must_use]
    pub fn needed_grace(&self) -> Duration {
        self.0.held.needed_grace()
    }
}
