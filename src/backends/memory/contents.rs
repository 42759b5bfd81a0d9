//! Everything a store in memory holds: records, their indexes in numbers, and the rows of everything else.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::lanes::Lanes;
use super::line::Line;
use super::marks::Marks;
use super::numbers::Numbers;
use super::records::{Records, Slot};
use crate::store::kv::{Owner, Word, boot_and_end, other_words};
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// The state of a store.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) records: Records,
    pub(super) lanes: Lanes,
    pub(super) words: HashMap<Word, Numbers, RandomState>,
    /// Boot, end and sequence of each lease.
    pub(super) leases: Line<(u64, u64, u64)>,
    pub(super) finished: Line<(Timestamp, u64)>,
    pub(super) rows: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) marks: Marks,
    pub(super) owners: HashMap<Arc<str>, Owner, RandomState>,
    pub(super) last_number: u64,
}

impl Memory {
    pub(super) fn insert(&mut self, record: Arc<TaskStateRecord>, now: Timestamp) {
        let lane = self.lanes.join(&record);
        if let Some(lane) = self.lanes.get(lane) {
            let word = lane.name_word;
            self.words.entry(word).or_default().insert(record.seq);
        }
        for word in other_words(&record) {
            self.words.entry(word).or_default().insert(record.seq);
        }
        self.place(&record, lane, now);
        self.records.insert(Slot { record, lane });
    }

    /// Gives a record another state; answers the old one, and whether it was taken from the delayed.
    pub(super) fn change(
        &mut self,
        new: Arc<TaskStateRecord>,
        is_moved: bool,
        now: Timestamp,
    ) -> Option<(Arc<TaskStateRecord>, bool)> {
        let slot = self.records.get(new.seq)?;
        let (old, mut lane) = (Arc::clone(&slot.record), slot.lane);
        let was_delayed = is_moved && self.displace(&old, lane);
        if old.queue != new.queue {
            let joined = self.lanes.join(&new);
            self.lanes.part(lane, old.status);
            lane = joined;
        } else if old.status != new.status {
            self.lanes.recount(lane, old.status, new.status);
        }
        if is_moved {
            self.place(&new, lane, now);
        }
        self.records.replace(Slot { record: new, lane });
        Some((old, was_delayed))
    }

    /// Removes a record; answers it, and whether it was among the delayed.
    pub(super) fn remove(&mut self, seq: u64) -> Option<(Arc<TaskStateRecord>, bool)> {
        let Slot { record, lane } = self.records.remove(seq)?;
        let was_delayed = self.displace(&record, lane);
        let name = self.lanes.get(lane).map(|lane| lane.name_word);
        for word in name.into_iter().chain(other_words(&record)) {
            let records = &self.records;
            let is_there = |seq| records.get(seq).is_some();
            if self
                .words
                .get_mut(&word)
                .is_some_and(|numbers| numbers.remove(seq, is_there))
            {
                self.words.remove(&word);
            }
        }
        self.lanes.part(lane, record.status);
        Some((record, was_delayed))
    }

    fn place(&mut self, record: &TaskStateRecord, lane: u32, now: Timestamp) {
        match record.status {
            TaskStatus::Pending => {
                if record.parked.is_none() {
                    self.lanes.enter(lane, record, now);
                }
            }
            TaskStatus::Running => {
                if let Some((boot, end)) = boot_and_end(record) {
                    self.leases.insert((boot, end, record.seq));
                }
            }
            TaskStatus::Succeeded | TaskStatus::Failed | TaskStatus::Cancelled => {
                if let Some(at) = record.finished_at {
                    self.finished.insert((at, record.seq));
                }
            }
        }
    }

    /// Answers whether it was among the delayed.
    fn displace(&mut self, record: &TaskStateRecord, lane: u32) -> bool {
        match record.status {
            TaskStatus::Pending => {
                return record.parked.is_none() && self.lanes.leave(lane, record);
            }
            TaskStatus::Running => {
                if let Some((boot, end)) = boot_and_end(record) {
                    self.leases.remove(&(boot, end, record.seq));
                }
            }
            TaskStatus::Succeeded | TaskStatus::Failed | TaskStatus::Cancelled => {
                if let Some(at) = record.finished_at {
                    self.finished.remove(&(at, record.seq));
                }
            }
        }
        false
    }

    /// Moves delayed records of a queue that are due into their lanes, at most `limit`.
    pub(super) fn promote(&mut self, queue: Word, limit: usize, now: Timestamp) {
        for seq in self.lanes.take_due(queue, now, limit) {
            if let Some(slot) = self.records.get(seq) {
                self.lanes.enter(slot.lane, &slot.record, now);
            }
        }
        self.lanes.refresh();
    }
}
