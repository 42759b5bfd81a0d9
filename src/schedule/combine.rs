//! Slots of several schedules together: intersection, difference.

use std::time::Duration;

use crate::timestamp::Timestamp;

/// How many slots one search for a common or a remaining slot looks at before it gives up.
pub(super) const SEARCH_LIMIT: u32 = 20_000;

/// The smallest step of time.
const TICK: Duration = Duration::from_micros(1);

/// What is left of a bounded search.
#[derive(Debug)]
pub(super) struct Budget(u32);

impl Budget {
    pub(super) fn new() -> Self {
        Self(SEARCH_LIMIT)
    }

    /// Takes one step; `None` when none is left.
    fn spend(&mut self) -> Option<()> {
        self.0 = self.0.saturating_sub(1);
        (self.0 > 0).then_some(())
    }

    /// Whether it ended a search.
    pub(super) fn is_spent(&self) -> bool {
        self.0 == 0
    }

    /// What a half did not use.
    pub(super) fn give_back(&mut self, half: &Self) {
        self.0 += half.0;
    }

    /// Two halves, so that one side of a union cannot starve the other.
    pub(super) fn halve(&mut self) -> Self {
        let half = self.0 / 2;
        self.0 -= half;
        Self(half)
    }
}

/// The next slot of a schedule after an instant.
type Next<'a> = &'a dyn Fn(Timestamp, &mut Budget) -> Option<Timestamp>;

/// The first slot after `after` that both have.
pub(super) fn common(
    left: Next<'_>,
    right: Next<'_>,
    after: Timestamp,
    budget: &mut Budget,
) -> Option<Timestamp> {
    let mut a = left(after, budget)?;
    let mut b = right(after, budget)?;
    while a != b {
        budget.spend()?;
        if a < b {
            a = left(b.saturating_sub(TICK), budget)?;
        } else {
            b = right(a.saturating_sub(TICK), budget)?;
        }
    }
    Some(a)
}

/// The first slot after `after` that `kept` has and `removed` has not. `covered` gives the instant up to which all slots
/// of the first are slots of the second, so that long stretches take one step.
pub(super) fn remaining(
    kept: Next<'_>,
    removed: Next<'_>,
    covered: &dyn Fn(Timestamp) -> Option<Timestamp>,
    after: Timestamp,
    budget: &mut Budget,
) -> Option<Timestamp> {
    let mut slot = kept(after, budget)?;
    while removed(slot.saturating_sub(TICK), budget) == Some(slot) {
        budget.spend()?;
        let from = covered(slot).map_or(slot, |until| until.max(slot));
        slot = kept(from, budget)?;
    }
    Some(slot)
}
