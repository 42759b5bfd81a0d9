//! What a node knows of one schedule.

use std::sync::Arc;

use crate::schedule::Schedule;
use crate::store::{LeaseTo, Mark, MarkExpect};
use crate::task::{Cursor, Pattern, TaskDef};
use crate::timestamp::Timestamp;

/// One schedule on this node.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) def: Arc<TaskDef>,
    /// The schedule of the definition, seeded with its name.
    pub(super) schedule: Schedule,
    /// What its runs have in common.
    pub(super) pattern: Pattern,
    /// Who runs it here; `None` when nobody does.
    pub(super) lease: Option<LeaseTo>,
    /// The key of the cursor's mark.
    pub(super) key: Arc<str>,
    pub(super) cursor: Cursor,
    /// The slot after the cursor, where it is known.
    pub(super) following: Option<Timestamp>,
    /// The number of its last note, as far as this node made it.
    pub(super) noted: u64,
    /// What the cursor's mark was when it was read or written last.
    pub(super) expected: MarkExpect,
    /// While it is paused: when this node last looked whether it still is.
    pub(super) looked: Option<Timestamp>,
    /// This node no longer fires it: another specification of this name took over on another node, or it cannot fire.
    pub(super) stood_down: bool,
}

impl Entry {
    /// The next slot to decide; while the schedule is paused, the next one at which to look whether it goes on.
    pub(super) fn next(&self) -> Option<Timestamp> {
        if self.stood_down || self.is_used_up() {
            return None;
        }
        match self.looked.filter(|_| self.is_paused()) {
            Some(looked) => {
                let last = self.cursor.last.max(looked);
                self.schedule.next(self.cursor.anchor, last)
            }
            None => self.slot_after_cursor(),
        }
    }

    /// The slot after the last one that was decided.
    pub(super) fn slot_after_cursor(&self) -> Option<Timestamp> {
        self.following
            .or_else(|| self.schedule.next(self.cursor.anchor, self.cursor.last))
    }

    /// Takes over a cursor; with the slot after it, where that is known.
    pub(super) fn move_to(&mut self, cursor: Cursor, following: Option<Timestamp>) {
        self.cursor = cursor;
        self.following = following;
    }

    pub(super) fn is_paused(&self) -> bool {
        self.cursor.paused.is_some()
    }

    fn is_used_up(&self) -> bool {
        self.def
            .policy
            .max_runs
            .is_some_and(|max| self.cursor.runs >= max)
    }

    /// Takes over what another node wrote. One with another specification makes this node stand down; a cursor that is
    /// gone or cannot be read is written anew.
    pub(super) fn adopt(&mut self, mark: Option<&Mark>) {
        let Some(mark) = mark else {
            self.expected = MarkExpect::Absent;
            self.cursor.paused = None;
            return;
        };
        self.expected = MarkExpect::Version(mark.version);
        let Some(cursor) = Cursor::read(&mark.key, &mark.value) else {
            return;
        };
        if cursor.hash != self.cursor.hash {
            self.stood_down = true;
            tracing::warn!(
                schedule = &*self.def.name,
                "another node runs this schedule with a different specification; this node stands down until it is restarted"
            );
        }
        self.move_to(cursor, None);
    }
}
