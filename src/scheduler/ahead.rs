//! Deciding before the time comes: what a slot makes is known before it is due, so that then it only has to be written.

use std::collections::VecDeque;
use std::time::Duration;

use super::decide::{self, Decision};
use super::entry::Entry;
use super::{BATCH_IN_MEMORY, BATCHES_IN_A_ROW, Scheduler};
use crate::timestamp::Timestamp;

/// Slots that are decided ahead, at most.
const MOST: usize = BATCH_IN_MEMORY * BATCHES_IN_A_ROW;

/// How long that may take: a thousand plain ones take a millisecond or two, and the others have to wait for the rest.
const LONGEST: Duration = Duration::from_millis(2);

/// What is due later than this is not decided yet.
const SOON: Duration = Duration::from_millis(20);

/// A slot that comes to its turn later than this is decided anew.
const IN_TIME: Duration = Duration::from_secs(1);

/// Decisions that were made ahead, in the order of the line.
#[derive(Debug, Default)]
pub(super) struct Ahead(VecDeque<Decision>);

impl Ahead {
    /// Decides the slots of the next instant, when that is soon. Nothing is written.
    pub(super) fn look(scheduler: &Scheduler, now: Timestamp) -> Self {
        let Some(at) = scheduler.due.first().filter(|at| at.since(now) <= SOON) else {
            return Self::default();
        };
        let decide = |index: usize| {
            let entry = &scheduler.entries[index];
            if entry.is_paused() {
                return None;
            }
            // What cannot be decided is looked at in its turn.
            let decision = decide::first(entry, index, at).ok()?;
            super::fire::is_ready(scheduler, &decision).then_some(decision)
        };
        let until = scheduler.clock.steady().at + LONGEST;
        let in_time = |_: &usize| scheduler.clock.steady().at < until;
        let next = scheduler.due.next().take(MOST).take_while(in_time);
        Self(next.filter_map(decide).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The decision about an entry, if it was made and still is what would be decided now. Whether the cursor still stands
    /// where it stood is for the guard of its commit.
    pub(super) fn take(&mut self, entry: &Entry, index: usize, now: Timestamp) -> Option<Decision> {
        let decision = self.0.pop_front_if(|decision| decision.index == index)?;
        let [slot] = decision.runs[..] else {
            return None;
        };
        let late = now.since(slot);
        let grace = entry.def.policy.grace.unwrap_or(IN_TIME);
        // When the next one is due as well there is more to decide.
        let is_same =
            late <= grace.min(IN_TIME) && decision.following.is_some_and(|next| next > now);
        is_same.then_some(decision)
    }
}
