//! Where a claim stands in a lane.

use std::collections::VecDeque;

use super::keys::{Order, Word};
use super::table::{Ready, Table};
use crate::error::Result;

/// The ready records of one lane, read ahead a little.
pub(super) struct LaneCursor {
    queue: Word,
    pub(super) lane: Word,
    pub(super) rows: VecDeque<Ready>,
    after: Option<Order>,
    page: usize,
    exhausted: bool,
}

impl LaneCursor {
    pub(super) fn new(queue: Word, lane: Word) -> Self {
        Self {
            queue,
            lane,
            rows: VecDeque::new(),
            after: None,
            page: 4,
            exhausted: false,
        }
    }

    pub(super) fn peek(&mut self, table: &dyn Table) -> Result<Option<Order>> {
        if self.rows.is_empty() && !self.exhausted {
            let rows = table.ready(self.queue, self.lane, self.after, self.page)?;
            self.exhausted = rows.len() < self.page;
            self.after = rows.last().map(|last| last.order).or(self.after);
            self.rows = rows.into();
            self.page = (self.page * 4).min(256);
        }
        Ok(self.rows.front().map(|ready| ready.order))
    }
}
