//! What the verbs are written against: rows, decoded records, their indexes, and a way back.
//!
//! The indexes of records follow from the records alone. Over rows they are rows too, kept by the default methods here; a
//! store that has a better form for them, such as the one in memory, writes these methods its own way.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::keys::{Order, Word};
use super::rows::Pairs;
use super::{index, lanes, mark_rows, owner_rows, row_index};
use crate::clock::{Clock, Steady};
use crate::error::Result;
use crate::id::{LeaseToken, TaskId};
use crate::store::{Hint, Mark};
use crate::task::TaskStateRecord;
use crate::timestamp::Timestamp;

/// The store's two clocks, read once for a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Wall time.
    pub(crate) now: Timestamp,
    /// Steady time.
    pub(crate) steady: Steady,
}

impl Moment {
    /// Now, for a store that several processes share.
    pub(crate) fn of(clock: &dyn Clock) -> Self {
        let mut steady = clock.steady();
        if !clock.knows_boot() {
            steady.boot = Steady::NO_BOOT;
        }
        Self {
            now: clock.now(),
            steady,
        }
    }
}

/// The first ready record of a lane.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) order: Order,
    pub(crate) lane: Word,
    pub(crate) name: Arc<str>,
    pub(crate) version: Option<Arc<str>>,
}

/// A ready record; stores that find it by its order leave the id out.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) order: Order,
    pub(crate) id: Option<TaskId>,
}

/// Where a change leaves a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Where it was.
    Kept,
    /// Somewhere else.
    Moved,
    /// Somewhere else, and its ready row was taken out before.
    Taken,
}

/// The owner of a unique key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) id: TaskId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
}

/// Keys and their owners.
pub(crate) type Owners = Vec<(Arc<str>, Option<Owner>)>;

/// Reading.
pub(crate) trait Source {
    fn moment(&self) -> Moment;
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;
    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs>;
    fn record(&self, id: &TaskId) -> Result<Option<Arc<TaskStateRecord>>>;

    /// The mark of a key, also one whose time is over.
    fn mark(&self, key: &str) -> Result<Option<Arc<Mark>>> {
        mark_rows::mark(self, key)
    }

    /// Marks in order of their keys: those that start with `prefix`, after `after`.
    fn marks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Arc<Mark>>> {
        mark_rows::marks(self, prefix, after, limit)
    }

    /// The owner of a unique key, also one whose time is over.
    fn owner(&self, key: &str) -> Result<Option<Owner>> {
        owner_rows::owner(self, key)
    }

    /// Keys that have owners behind a key, with owners that can be read; in an order of its own.
    fn owners(&self, after: Option<&str>, limit: usize) -> Result<Owners> {
        owner_rows::owners(self, after, limit)
    }

    /// The first row between two keys.
    fn first(&self, from: &[u8], until: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        Ok(self.range(from, until, 1, false)?.pop())
    }

    /// The order of the first record of a lane.
    fn head_of(&self, queue: Word, lane: Word) -> Result<Option<Order>> {
        lanes::head_of(self, queue, lane)
    }

    /// The lanes of a queue that are not empty, in the order of their first record.
    fn heads(&self, queue: Word, after: Option<(Order, Word)>, limit: usize) -> Result<Vec<Head>> {
        lanes::heads(self, queue, after, limit)
    }

    /// The ready records of a lane, in order.
    fn ready(
        &self,
        queue: Word,
        lane: Word,
        after: Option<Order>,
        limit: usize,
    ) -> Result<Vec<Ready>> {
        lanes::ready(self, queue, lane, after, limit)
    }

    /// The record that is ready.
    fn ready_record(&self, ready: &Ready) -> Result<Option<Arc<TaskStateRecord>>> {
        index::ready_record(self, ready)
    }

    /// How many records have ended.
    fn ended(&self) -> Result<u64> {
        index::ended(self)
    }

    /// Records that are likely asked for next; stores that pay for each time they read have all of them at hand then.
    fn read_ahead(&self, _ids: &mut dyn Iterator<Item = TaskId>) -> Result<()> {
        Ok(())
    }

    /// Whether there may be a rule that an operator set for a gate; stores that know without a look say so.
    fn has_rules(&self) -> Result<bool> {
        Ok(true)
    }
}

/// What a claim passes over, though it is ready.
#[cfg_attr(
    not(feature = "postgres"),
    expect(dead_code, reason = "only a table that reads a part asks what it was")
)]
pub(crate) enum Passed<'a> {
    /// The rest of a queue.
    Queue(Word),
    /// The rest of a lane of a queue.
    Lane(Word, Word),
    /// One row of a lane, which another worker is to have.
    Row(Word, Word, &'a Ready),
}

/// Writing. Records are the only rows that are decoded; they never go through `put`.
pub(crate) trait Table: Source {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<()>;
    fn delete(&mut self, key: &[u8]) -> Result<()>;
    fn put_record(&mut self, record: Arc<TaskStateRecord>) -> Result<()>;
    fn delete_record(&mut self, id: &TaskId) -> Result<()>;

    fn put_mark(&mut self, mark: Arc<Mark>) -> Result<()> {
        mark_rows::put(self, &mark)
    }

    fn delete_mark(&mut self, key: &str) -> Result<()> {
        self.delete(&super::keys::mark(key))
    }

    fn put_owner(&mut self, key: &Arc<str>, owner: Owner) -> Result<()> {
        owner_rows::put(self, key, &owner)
    }

    fn delete_owner(&mut self, key: &str) -> Result<()> {
        self.delete(&super::keys::unique(key))
    }

    /// The next number of the store: creation sequences and mark versions come from here.
    fn next_number(&mut self) -> Result<u64>;
    /// A fresh lease token.
    fn token(&mut self) -> LeaseToken;
    /// Sends a hint when the transaction is durable.
    fn hint(&mut self, hint: Hint);
    /// A point to go back to.
    fn savepoint(&mut self) -> usize;
    /// Undoes what was written since.
    fn rollback(&mut self, savepoint: usize);

    /// Keeps a record that did not exist, with its indexes.
    fn insert(&mut self, record: Arc<TaskStateRecord>) -> Result<()> {
        row_index::insert(self, record)
    }

    /// Keeps the new state of a record and makes its indexes follow. Rows of parked records are not its business.
    fn change(
        &mut self,
        old: &TaskStateRecord,
        new: Arc<TaskStateRecord>,
        place: Place,
    ) -> Result<()> {
        row_index::change(self, old, new, place)
    }

    /// Makes the row of a record anew that says where it waits, runs or ended, whether it is there or not.
    fn place_again(&mut self, record: &TaskStateRecord) -> Result<()> {
        row_index::place(self, record)
    }

    /// Removes a record with its indexes.
    fn remove(&mut self, record: &TaskStateRecord) -> Result<()> {
        row_index::remove(self, record)
    }

    /// Takes a ready row out of its lane during a claim, which refreshes the head of the lane at its end.
    fn take(&mut self, queue: Word, lane: Word, ready: &Ready) -> Result<()> {
        self.delete(&super::keys::ready(queue, lane, ready.order))
    }

    /// Takes a pending record out of the ready set.
    fn leave(&mut self, record: &TaskStateRecord) -> Result<()> {
        lanes::leave(self, record)
    }

    /// A claim goes on without this. A table that has read only a part of what is ready has to know, for it reads on.
    fn passed(&mut self, _what: Passed<'_>) {}

    /// Moves delayed records of a queue that are due into their lanes, at most `limit`.
    fn promote(&mut self, queue: Word, limit: usize) -> Result<()> {
        lanes::promote(self, queue, limit)
    }

    /// Makes the head of a lane true again after rows were taken from it.
    fn refresh_head(&mut self, queue: Word, lane: Word) -> Result<()> {
        lanes::refresh_head(self, queue, lane)
    }
}
