//! What a node knows of one schedule.

use std::sync::Arc;

use super::cursor::Cursor;
use crate::schedule::Schedule;
use crate::task::TaskDef;
use crate::timestamp::Timestamp;

/// One schedule on this node.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) def: Arc<TaskDef>,
    /// The schedule of the definition, seeded with its name.
    pub(super) schedule: Schedule,
    pub(super) cursor: Cursor,
    /// The version of the cursor's mark that was read or written last.
    pub(super) version: u64,
    /// Another specification of this name took over on another node: this one no longer fires.
    pub(super) stood_down: bool,
}

impl Entry {
    /// The next slot to decide.
    pub(super) fn next(&self) -> Option<Timestamp> {
        if self.stood_down || self.is_used_up() {
            return None;
        }
        self.schedule.next(self.cursor.anchor, self.cursor.last)
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.def
            .policy
            .max_runs
            .is_some_and(|max| self.cursor.runs >= max)
    }

    /// Takes over what another node wrote. One with another specification makes this node stand down.
    pub(super) fn adopt(&mut self, cursor: Cursor, version: u64) {
        if cursor.hash != self.cursor.hash {
            self.stood_down = true;
            tracing::warn!(
                schedule = &*self.def.name,
                "another node runs this schedule with a different specification; this node stands down until it is restarted"
            );
        }
        self.cursor = cursor;
        self.version = version;
    }
}
