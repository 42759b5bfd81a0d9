//! Stretches in which one schedule has all the slots of another, so that a difference can pass over them at once.

use super::rule::Rule;
use crate::timestamp::Timestamp;

impl Rule {
    /// An instant up to which every slot of `other` after `slot` is a slot of this rule too, when that is easy to see.
    ///
    /// Both count from the same anchor.
    pub(super) fn covers_until(&self, other: &Self, slot: Timestamp) -> Option<Timestamp> {
        if self == other {
            return Some(Timestamp::MAX);
        }
        match (self, other) {
            // What is left of a rule is part of it.
            (_, Self::Between(window)) => self.covers_until(&window.of, slot),
            (_, Self::Except(both)) => self.covers_until(&both.0, slot),
            (_, Self::And(both)) => self
                .covers_until(&both.0, slot)
                .max(self.covers_until(&both.1, slot)),
            (_, Self::Or(both)) => {
                let left = self.covers_until(&both.0, slot)?;
                Some(left.min(self.covers_until(&both.1, slot)?))
            }
            (Self::Between(window), _) => {
                let until = window.of.covers_until(other, slot)?;
                let started = window.start.is_none_or(|start| start <= slot);
                started.then(|| window.end.map_or(until, |end| until.min(end)))
            }
            (Self::Or(both), _) => both
                .0
                .covers_until(other, slot)
                .max(both.1.covers_until(other, slot)),
            (Self::And(both), _) => {
                let left = both.0.covers_until(other, slot)?;
                Some(left.min(both.1.covers_until(other, slot)?))
            }
            (Self::Every(mine), Self::Every(others)) => others
                .as_micros()
                .is_multiple_of(mine.as_micros())
                .then_some(Timestamp::MAX),
            (Self::Cron(mine), Self::Cron(others)) => mine.covers_until(others, slot),
            _ => None,
        }
    }
}
