//! Records and rows in memory, with a way back: what the verbs of the port run on, without encoding anything.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::error::Result;
use crate::id::{IdSource, LeaseToken, TaskId};
use crate::store::Hint;
use crate::store::kv::{Moment, Pairs, Source, Table};
use crate::task::TaskStateRecord;

/// The table of the rows that hold records.
const RECORDS: u8 = b't';

/// Everything a store in memory holds.
#[derive(Debug, Default)]
pub(super) struct Memory {
    records: HashMap<TaskId, Arc<TaskStateRecord>>,
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    last_number: u64,
}

enum Undo {
    Row(Vec<u8>, Option<Vec<u8>>),
    Record(TaskId, Option<Arc<TaskStateRecord>>),
    Hint,
}

/// A transaction: it owns the lock, so what it writes is seen by nobody before its end.
pub(super) struct Transaction<'a> {
    memory: &'a mut Memory,
    ids: &'a IdSource,
    moment: Moment,
    undo: Vec<Undo>,
    hints: Vec<Hint>,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(memory: &'a mut Memory, ids: &'a IdSource, moment: Moment) -> Self {
        Self {
            memory,
            ids,
            moment,
            undo: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// Keeps what was written; gives the hints to send.
    pub(super) fn keep(self) -> Vec<Hint> {
        self.hints
    }
}

impl Memory {
    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Pairs {
        if from >= until || limit == 0 {
            return Pairs::new();
        }
        if from.first() == Some(&RECORDS) {
            return self.records_between(from, until, limit, reverse);
        }
        let range = self
            .rows
            .range::<[u8], _>((Bound::Included(from), Bound::Excluded(until)));
        let owned = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        if reverse {
            range.rev().take(limit).map(owned).collect()
        } else {
            range.take(limit).map(owned).collect()
        }
    }

    /// Records are found by their id, not kept in order: a search by the start of an id looks at all of them.
    fn records_between(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Pairs {
        let key = |id: &TaskId| [&[RECORDS], id.as_str().as_bytes()].concat();
        let mut keys: Vec<_> = self
            .records
            .keys()
            .map(key)
            .filter(|key| key.as_slice() >= from && key.as_slice() < until)
            .collect();
        keys.sort_unstable();
        if reverse {
            keys.reverse();
        }
        keys.into_iter()
            .take(limit)
            .map(|key| (key, Vec::new()))
            .collect()
    }
}

/// A look at the memory under its lock.
pub(super) struct Look<'a> {
    pub(super) memory: &'a Memory,
    pub(super) moment: Moment,
}

impl Source for Look<'_> {
    fn moment(&self) -> Moment {
        self.moment
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.memory.rows.get(key).cloned())
    }

    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        Ok(self.memory.range(from, until, limit, reverse))
    }

    fn record(&self, id: &TaskId) -> Result<Option<Arc<TaskStateRecord>>> {
        Ok(self.memory.records.get(id).cloned())
    }
}

impl Source for Transaction<'_> {
    fn moment(&self) -> Moment {
        self.moment
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.memory.rows.get(key).cloned())
    }

    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        Ok(self.memory.range(from, until, limit, reverse))
    }

    fn record(&self, id: &TaskId) -> Result<Option<Arc<TaskStateRecord>>> {
        Ok(self.memory.records.get(id).cloned())
    }
}

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

    fn put_record(&mut self, record: Arc<TaskStateRecord>) -> Result<()> {
        let id = record.id.clone();
        let before = self.memory.records.insert(id.clone(), record);
        self.undo.push(Undo::Record(id, before));
        Ok(())
    }

    fn delete_record(&mut self, id: &TaskId) -> Result<()> {
        if let Some((id, before)) = self.memory.records.remove_entry(id) {
            self.undo.push(Undo::Record(id, Some(before)));
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
        self.hints.push(hint);
        self.undo.push(Undo::Hint);
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
                Some(Undo::Record(id, Some(before))) => {
                    self.memory.records.insert(id, before);
                }
                Some(Undo::Record(id, None)) => {
                    self.memory.records.remove(&id);
                }
                Some(Undo::Hint) => {
                    self.hints.pop();
                }
                None => break,
            }
        }
    }
}
