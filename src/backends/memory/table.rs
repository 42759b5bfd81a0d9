//! The memory as what the verbs of the port run on, with a way back.

use std::sync::Arc;

use super::contents::Memory;
use crate::error::Result;
use crate::id::{IdSource, LeaseToken, TaskId};
use crate::store::kv::{
    Head, Moment, Order, Owner, Owners, Pairs, Place, Ready, Source, Table, Word,
};
use crate::store::{Hint, Mark};
use crate::task::TaskStateRecord;
use crate::timestamp::Timestamp;

#[derive(Debug)]
pub(super) enum Undo {
    Row(Vec<u8>, Option<Vec<u8>>),
    Mark(Arc<str>, Option<Arc<Mark>>),
    Owner(Arc<str>, Option<Owner>),
    Inserted(u64),
    Changed {
        old: Arc<TaskStateRecord>,
        is_moved: bool,
        was_delayed: bool,
    },
    Removed {
        record: Arc<TaskStateRecord>,
        was_delayed: bool,
    },
    Hint,
}

/// A transaction: it owns the lock, so what it writes is seen by nobody before its end.
pub(super) struct Transaction<'a> {
    memory: &'a mut Memory,
    ids: &'a IdSource,
    moment: Moment,
    undo: Vec<Undo>,
    hints: Vec<Hint>,
    tells_ends: bool,
}

impl<'a> Transaction<'a> {
    /// `tells_ends` says whether anybody wants to hear of tasks that end; `room` is empty.
    pub(super) fn new(
        memory: &'a mut Memory,
        ids: &'a IdSource,
        moment: Moment,
        tells_ends: bool,
        room: Vec<Undo>,
    ) -> Self {
        Self {
            memory,
            ids,
            moment,
            undo: room,
            hints: Vec::new(),
            tells_ends,
        }
    }

    /// Keeps what was written; gives the hints to send, and what is no longer needed, to be dropped outside of the lock.
    pub(super) fn keep(self) -> (Vec<Hint>, Vec<Undo>) {
        self.memory.lanes.refresh();
        (self.hints, self.undo)
    }
}

/// A look at the memory under its lock.
pub(super) struct Look<'a> {
    pub(super) memory: &'a Memory,
    pub(super) moment: Moment,
}

/// A moment at which a record waits where it waited before: what was due stays due, also when the clock was set back since.
const fn moment_of(was_delayed: bool) -> Timestamp {
    if was_delayed {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    }
}

macro_rules! reads_memory {
    ($reader:ident) => {
        impl Source for $reader<'_> {
            fn moment(&self) -> Moment {
                self.moment
            }

            fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
                Ok(self.memory.rows.get(key).cloned())
            }

            fn range(
                &self,
                from: &[u8],
                until: &[u8],
                limit: usize,
                reverse: bool,
            ) -> Result<Pairs> {
                Ok(self.memory.range(from, until, limit, reverse))
            }

            fn record(&self, id: &TaskId) -> Result<Option<Arc<TaskStateRecord>>> {
                let slot = self.memory.records.find(id);
                Ok(slot.map(|slot| Arc::clone(&slot.record)))
            }

            fn mark(&self, key: &str) -> Result<Option<Arc<Mark>>> {
                Ok(self.memory.marks.get(key).cloned())
            }

            fn marks(
                &self,
                prefix: &str,
                after: Option<&str>,
                limit: usize,
            ) -> Result<Vec<Arc<Mark>>> {
                let found = self.memory.marks.from(prefix, after);
                let found = found.take_while(|mark| mark.key.starts_with(prefix));
                Ok(found.take(limit).cloned().collect())
            }

            fn owner(&self, key: &str) -> Result<Option<Owner>> {
                Ok(self.memory.owners.get(key).cloned())
            }

            fn owners(&self, after: Option<&str>, limit: usize) -> Result<Owners> {
                let mut keys: Vec<&Arc<str>> = self.memory.owners.keys().collect();
                keys.retain(|key| after.is_none_or(|after| &***key > after));
                keys.sort_unstable();
                keys.truncate(limit);
                let owner = |key: &Arc<str>| self.memory.owners.get(key).cloned();
                Ok(keys
                    .into_iter()
                    .map(|key| (Arc::clone(key), owner(key)))
                    .collect())
            }

            fn head_of(&self, queue: Word, lane: Word) -> Result<Option<Order>> {
                Ok(self.memory.lanes.head_of(queue, lane))
            }

            fn heads(
                &self,
                queue: Word,
                after: Option<(Order, Word)>,
                limit: usize,
            ) -> Result<Vec<Head>> {
                Ok(self.memory.lanes.heads(queue, after, limit))
            }

            fn ready(
                &self,
                queue: Word,
                lane: Word,
                after: Option<Order>,
                limit: usize,
            ) -> Result<Vec<Ready>> {
                let orders = self.memory.lanes.ready(queue, lane, after, limit);
                Ok(orders
                    .into_iter()
                    .map(|order| Ready { order, id: None })
                    .collect())
            }

            fn ready_record(&self, ready: &Ready) -> Result<Option<Arc<TaskStateRecord>>> {
                let slot = self.memory.records.hand_out(ready.order.seq);
                Ok(slot.map(|slot| Arc::clone(&slot.record)))
            }

            fn ended(&self) -> Result<u64> {
                Ok(self.memory.finished.len() as u64)
            }

            fn has_rules(&self) -> Result<bool> {
                Ok(self.memory.marks.has_rules())
            }
        }
    };
}

reads_memory!(Look);
reads_memory!(Transaction);

impl Table for Transaction<'_> {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<()> {
        let before = self.memory.rows.insert(key.clone(), value);
        self.undo.push(Undo::Row(key, before));
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        if let Some((key, before)) = self.memory.rows.remove_entry(key) {
            self.undo.push(Undo::Row(key, Some(before)));
        }
        Ok(())
    }

    fn put_mark(&mut self, mark: Arc<Mark>) -> Result<()> {
        let key = Arc::clone(&mark.key);
        let before = self.memory.marks.insert(mark);
        self.undo.push(Undo::Mark(key, before));
        Ok(())
    }

    fn delete_mark(&mut self, key: &str) -> Result<()> {
        if let Some(before) = self.memory.marks.remove(key) {
            let key = Arc::clone(&before.key);
            self.undo.push(Undo::Mark(key, Some(before)));
        }
        Ok(())
    }

    fn put_owner(&mut self, key: &Arc<str>, owner: Owner) -> Result<()> {
        let before = self.memory.owners.insert(Arc::clone(key), owner);
        self.undo.push(Undo::Owner(Arc::clone(key), before));
        Ok(())
    }

    fn delete_owner(&mut self, key: &str) -> Result<()> {
        if let Some((key, before)) = self.memory.owners.remove_entry(key) {
            self.undo.push(Undo::Owner(key, Some(before)));
        }
        Ok(())
    }

    fn put_record(&mut self, record: Arc<TaskStateRecord>) -> Result<()> {
        if self.memory.records.get(record.seq).is_some() {
            self.write(record, false);
            Ok(())
        } else {
            self.insert(record)
        }
    }

    fn delete_record(&mut self, id: &TaskId) -> Result<()> {
        let seq = self.memory.records.find(id).map(|slot| slot.record.seq);
        if let Some((record, was_delayed)) = seq.and_then(|seq| self.memory.remove(seq)) {
            self.undo.push(Undo::Removed {
                record,
                was_delayed,
            });
        }
        Ok(())
    }

    fn next_number(&mut self) -> Result<u64> {
        // A number that a refused commit took is not given again: they grow, nothing more is promised.
        self.memory.last_number += 1;
        Ok(self.memory.last_number)
    }

    fn token(&mut self) -> LeaseToken {
        self.ids.token()
    }

    fn hint(&mut self, hint: Hint) {
        let is_needless = match &hint {
            Hint::Finished(_) => !self.tells_ends,
            // One is enough to make who listens look.
            Hint::Ready(_) => self.hints.last() == Some(&hint),
            _ => false,
        };
        if !is_needless {
            self.hints.push(hint);
            self.undo.push(Undo::Hint);
        }
    }

    fn savepoint(&mut self) -> usize {
        self.undo.len()
    }

    fn rollback(&mut self, savepoint: usize) {
        while self.undo.len() > savepoint {
            match self.undo.pop() {
                Some(Undo::Row(key, Some(before))) => {
                    self.memory.rows.insert(key, before);
                }
                Some(Undo::Row(key, None)) => {
                    self.memory.rows.remove(&key);
                }
                Some(Undo::Mark(_, Some(before))) => {
                    self.memory.marks.insert(before);
                }
                Some(Undo::Mark(key, None)) => {
                    self.memory.marks.remove(&key);
                }
                Some(Undo::Owner(key, Some(before))) => {
                    self.memory.owners.insert(key, before);
                }
                Some(Undo::Owner(key, None)) => {
                    self.memory.owners.remove(&key);
                }
                Some(Undo::Inserted(seq)) => {
                    self.memory.remove(seq);
                }
                Some(Undo::Changed {
                    old,
                    is_moved,
                    was_delayed,
                }) => {
                    self.memory.change(old, is_moved, moment_of(was_delayed));
                }
                Some(Undo::Removed {
                    record,
                    was_delayed,
                }) => self.memory.insert(record, moment_of(was_delayed)),
                Some(Undo::Hint) => {
                    self.hints.pop();
                }
                None => break,
            }
        }
    }

    fn insert(&mut self, record: Arc<TaskStateRecord>) -> Result<()> {
        self.undo.push(Undo::Inserted(record.seq));
        self.memory.insert(record, self.moment.now);
        Ok(())
    }

    fn change(
        &mut self,
        _old: &TaskStateRecord,
        new: Arc<TaskStateRecord>,
        place: Place,
    ) -> Result<()> {
        self.write(new, place != Place::Kept);
        Ok(())
    }

    fn remove(&mut self, record: &TaskStateRecord) -> Result<()> {
        self.delete_record(&record.id)
    }

    fn take(&mut self, _queue: Word, _lane: Word, _ready: &Ready) -> Result<()> {
        // The change that follows moves the record out of where it is.
        Ok(())
    }

    fn leave(&mut self, _record: &TaskStateRecord) -> Result<()> {
        Ok(())
    }

    fn promote(&mut self, queue: Word, limit: usize) -> Result<()> {
        self.memory.promote(queue, limit, self.moment.now);
        Ok(())
    }

    fn refresh_head(&mut self, _queue: Word, _lane: Word) -> Result<()> {
        self.memory.lanes.refresh();
        Ok(())
    }
}

impl Transaction<'_> {
    fn write(&mut self, new: Arc<TaskStateRecord>, is_moved: bool) {
        if let Some((old, was_delayed)) = self.memory.change(new, is_moved, self.moment.now) {
            self.undo.push(Undo::Changed {
                old,
                is_moved,
                was_delayed,
            });
        }
    }
}
