//! When something is due, as the asker says it; the store resolves it with its own clock.

use std::time::Duration;

use crate::timestamp::Timestamp;

/// A moment given as an instant or as a wait from now, where "now" is the store's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Due {
    /// At once.
    #[default]
    Now,
    /// At an instant; one in the past is due at once and orders before what came due later.
    At(Timestamp),
    /// After a wait.
    In(Duration),
}

impl Due {
    /// The instant, when it is `now` in the store.
    #[must_use]
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Now => now,
            Self::At(instant) => instant,
            Self::In(wait) => now.saturating_add(wait),
        }
    }
}
