//! [`Overlay`]: the writes of one transaction, kept in memory until its end, over any [`Rows`].
//!
//! Many commits share a transaction. One that is refused is undone here, so the engine needs no savepoints; rows that several
//! commits touch (counters, the heads of lanes) are written once; and a record is decoded once.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::rows::{Pairs, Rows};
use super::table::{Moment, Source, Table};
use super::{index, keys};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{IdSource, LeaseToken, TaskId};
use crate::store::Hint;
use crate::task::{SCHEMA_VERSION, TaskStateRecord};

/// Left out when the last number is not known any more.
const NUMBERS_SKIPPED: u64 = 1 << 32;

/// A row that was put, or `None` for one that was deleted.
pub(crate) type Written = Option<Vec<u8>>;

#[derive(Clone)]
struct Cached {
    record: Option<Arc<TaskStateRecord>>,
    dirty: bool,
}

enum Undo {
    Row(Vec<u8>, Option<Written>),
    Record(TaskId, Option<Cached>),
    Hint,
}

/// What a write transaction wrote.
#[cfg(feature = "postgres")]
pub(crate) struct Changes {
    /// Rows, `None` for those that go.
    pub(crate) rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Records, `None` for those that go.
    pub(crate) records: BTreeMap<TaskId, Option<Arc<TaskStateRecord>>>,
    /// What to tell once it is durable.
    pub(crate) hints: Vec<Hint>,
}

/// A write transaction.
pub(crate) struct Overlay<'a> {
    rows: &'a mut dyn Rows,
    ids: &'a IdSource,
    moment: Moment,
    written: BTreeMap<Vec<u8>, Written>,
    records: RefCell<HashMap<TaskId, Cached>>,
    undo: Vec<Undo>,
    hints: Vec<Hint>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(rows: &'a mut dyn Rows, ids: &'a IdSource, moment: Moment) -> Self {
        Self {
            rows,
            ids,
            moment,
            written: BTreeMap::new(),
            records: RefCell::default(),
            undo: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// Writes everything through, in order of the keys, and gives the hints to send once that is durable.
    pub(crate) fn flush(self) -> Result<Vec<Hint>> {
        let mut written = self.written;
        for (id, cached) in self.records.into_inner() {
            if cached.dirty {
                let value = cached.record.as_deref().map(encode).transpose()?;
                written.insert(keys::record(&id), value);
            }
        }
        for (key, value) in written {
            match value {
                Some(value) => self.rows.put(&key, &value)?,
                None => self.rows.delete(&key)?,
            }
        }
        Ok(self.hints)
    }

    /// What this transaction knows of a record without a look at its rows.
    #[cfg(feature = "postgres")]
    pub(crate) fn known(&self, id: &TaskId) -> Option<Option<Arc<TaskStateRecord>>> {
        let records = self.records.borrow();
        records.get(id).map(|cached| cached.record.clone())
    }

    /// What was written, for a store that keeps it its own way: nothing was put through.
    #[cfg(feature = "postgres")]
    pub(crate) fn into_changes(self) -> Changes {
        let records = self.records.into_inner().into_iter();
        let records = records.filter(|(_, cached)| cached.dirty);
        Changes {
            rows: self.written,
            records: records.map(|(id, cached)| (id, cached.record)).collect(),
            hints: self.hints,
        }
    }

    fn write(&mut self, key: Vec<u8>, value: Written) {
        let before = self.written.insert(key.clone(), value);
        self.undo.push(Undo::Row(key, before));
    }

    fn cache(&mut self, id: TaskId, record: Option<Arc<TaskStateRecord>>) {
        let before = self.records.get_mut().insert(
            id.clone(),
            Cached {
                record,
                dirty: true,
            },
        );
        self.undo.push(Undo::Record(id, before));
    }
}

pub(crate) fn encode(record: &TaskStateRecord) -> Result<Vec<u8>> {
    // Most records fit without growing the buffer on the way.
    let payloads = [
        Some(&record.args),
        record.state.as_ref(),
        record.result.as_ref(),
    ];
    let payloads = payloads
        .into_iter()
        .flatten()
        .map(|payload| payload.as_str().len());
    let mut bytes = Vec::with_capacity(768 + payloads.sum::<usize>());
    serde_json::to_writer(&mut bytes, record).map_err(|source| {
        Error::new(
            ErrorKind::Internal,
            "encode record",
            format!("the record \"{}\" has no JSON form", record.id),
        )
        .with_source(source)
    })?;
    Ok(bytes)
}

/// Reads a stored record.
pub(crate) fn decode(id: &TaskId, bytes: &[u8]) -> Result<TaskStateRecord> {
    let record: TaskStateRecord = serde_json::from_slice(bytes).map_err(|source| {
        Error::new(
            ErrorKind::Corrupt,
            "read record",
            format!("the stored record \"{id}\" cannot be read: {source}"),
        )
        .with_source(source)
    })?;
    if record.schema_version > SCHEMA_VERSION {
        let version = record.schema_version;
        return Err(Error::new(
            ErrorKind::Corrupt,
            "read record",
            format!(
                "the record \"{id}\" has layout {version}; this build reads up to {SCHEMA_VERSION}: use a newer one"
            ),
        ));
    }
    if record.id != *id {
        let other = record.id;
        return Err(Error::new(
            ErrorKind::Corrupt,
            "read record",
            format!("the row of \"{id}\" holds the record \"{other}\""),
        ));
    }
    Ok(record)
}

impl Source for Overlay<'_> {
    fn moment(&self) -> Moment {
        self.moment
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.written.get(key) {
            Some(written) => Ok(written.clone()),
            None => self.rows.get(key),
        }
    }

    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        range_over(&self.written, from, until, limit, reverse, |limit| {
            self.rows.range(from, until, limit, reverse)
        })
    }

    fn record(&self, id: &TaskId) -> Result<Option<Arc<TaskStateRecord>>> {
        if let Some(cached) = self.records.borrow().get(id) {
            return Ok(cached.record.clone());
        }
        let record = match self.rows.get(&keys::record(id))? {
            Some(bytes) => Some(Arc::new(decode(id, &bytes)?)),
            None => None,
        };
        self.records.borrow_mut().insert(
            id.clone(),
            Cached {
                record: record.clone(),
                dirty: false,
            },
        );
        Ok(record)
    }
}

/// The rows between two keys, of what was written over what is `below`, which is asked for so many rows.
pub(crate) fn range_over(
    written: &BTreeMap<Vec<u8>, Written>,
    from: &[u8],
    until: &[u8],
    limit: usize,
    reverse: bool,
    below: impl FnOnce(usize) -> Result<Pairs>,
) -> Result<Pairs> {
    if from >= until || limit == 0 {
        return Ok(Pairs::new());
    }
    let bounds = (Bound::Included(from), Bound::Excluded(until));
    let mut overlay: Vec<(&Vec<u8>, &Written)> = written.range::<[u8], _>(bounds).collect();
    if overlay.is_empty() {
        return below(limit);
    }
    if reverse {
        overlay.reverse();
    }
    // Each removed row can hide one row of the engine, so this many of them are enough.
    let removed = overlay
        .iter()
        .filter(|(_, written)| written.is_none())
        .count();
    let below = below(limit.saturating_add(removed))?;
    Ok(merge(below, &overlay, limit, reverse))
}

fn merge(below: Pairs, overlay: &[(&Vec<u8>, &Written)], limit: usize, reverse: bool) -> Pairs {
    let comes_first = |left: &[u8], right: &[u8]| if reverse { left > right } else { left < right };
    let mut pairs = Pairs::with_capacity(limit.min(below.len() + overlay.len()));
    let mut below = below.into_iter().peekable();
    let mut above = overlay.iter().peekable();
    while pairs.len() < limit {
        match (below.peek(), above.peek()) {
            (Some((low, _)), Some((high, _))) if comes_first(low, high) => {
                pairs.extend(below.next());
            }
            (Some((low, _)), Some((high, value))) => {
                if low == *high {
                    below.next();
                }
                pairs.extend(value.as_ref().map(|value| ((*high).clone(), value.clone())));
                above.next();
            }
            (Some(_), None) => pairs.extend(below.next()),
            (None, Some((high, value))) => {
                pairs.extend(value.as_ref().map(|value| ((*high).clone(), value.clone())));
                above.next();
            }
            (None, None) => break,
        }
    }
    pairs
}

impl Table for Overlay<'_> {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<()> {
        self.write(key, Some(value));
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.write(key.to_vec(), None);
        Ok(())
    }

    fn put_record(&mut self, record: Arc<TaskStateRecord>) -> Result<()> {
        self.cache(record.id.clone(), Some(record));
        Ok(())
    }

    fn delete_record(&mut self, id: &TaskId) -> Result<()> {
        self.cache(id.clone(), None);
        Ok(())
    }

    fn next_number(&mut self) -> Result<u64> {
        let kept = self.get(keys::LAST_NUMBER)?;
        let is_new = kept.is_none();
        let last = match kept.and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => u64::from_be_bytes(bytes),
            // A number given twice would take a record out of the indexes. Marks have theirs from here, too, hence the
            // distance.
            None => match index::last_number(self)? {
                0 if is_new => 0,
                last => {
                    tracing::error!(
                        last,
                        "the row of the last number is damaged; it was made anew"
                    );
                    last.saturating_add(NUMBERS_SKIPPED)
                }
            },
        };
        self.write(
            keys::LAST_NUMBER.to_vec(),
            Some((last + 1).to_be_bytes().to_vec()),
        );
        Ok(last + 1)
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
                    self.written.insert(key, before);
                }
                Some(Undo::Row(key, None)) => {
                    self.written.remove(&key);
                }
                Some(Undo::Record(id, Some(before))) => {
                    self.records.get_mut().insert(id, before);
                }
                Some(Undo::Record(id, None)) => {
                    self.records.get_mut().remove(&id);
                }
                Some(Undo::Hint) => {
                    self.hints.pop();
                }
                None => break,
            }
        }
    }
}

/// A read transaction.
pub(crate) struct View<'a> {
    rows: &'a dyn Rows,
    moment: Moment,
}

impl<'a> View<'a> {
    pub(crate) fn new(rows: &'a dyn Rows, moment: Moment) -> Self {
        Self { rows, moment }
    }
}

impl Source for View<'_> {
    fn moment(&self) -> Moment {
        self.moment
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.rows.get(key)
    }

    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        if from >= until || limit == 0 {
            Ok(Pairs::new())
        } else {
            self.rows.range(from, until, limit, reverse)
        }
    }

    fn record(&self, id: &TaskId) -> Result<Option<Arc<TaskStateRecord>>> {
        match self.rows.get(&keys::record(id))? {
            Some(bytes) => Ok(Some(Arc::new(decode(id, &bytes)?))),
            None => Ok(None),
        }
    }
}
