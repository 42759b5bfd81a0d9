//! What was read of the database so far. Whoever asks for more is told that it was not read, and it is noted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use super::needs::{Needs, Span};
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::store::kv::{Pairs, Rows, Word, decode, keys};
use crate::task::TaskStateRecord;
use crate::timestamp::Timestamp;

/// Which table holds a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// What waits or runs.
    Task,
    /// What has ended.
    Ended,
}

/// A record as it was read.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) seq: u64,
    pub(super) home: Home,
    pub(super) status: u8,
    pub(super) queue: String,
    pub(super) name: String,
    /// What the body says.
    pub(super) record: Option<Arc<TaskStateRecord>>,
    /// The body, when it cannot be read.
    pub(super) body: Vec<u8>,
    /// Not read now: what this transaction wrote before. Nothing may follow from it unless it is still so.
    pub(super) written_by: Option<Arc<str>>,
}

impl Stored {
    /// Reads the body, once for all that is done with it.
    pub(super) fn read(mut self, id: &TaskId, body: Vec<u8>) -> Self {
        match decode(id, &body) {
            Ok(record) => self.record = Some(Arc::new(record)),
            Err(_) => self.body = body,
        }
        self
    }
}

/// A part of the database.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) records: HashMap<TaskId, Option<Stored>>,
    pub(super) entries: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Parts of the entries that were read whole, by their begin; with their end.
    whole: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) gates: BTreeSet<Word>,
    /// Waiting tasks by line, as rows of counts.
    pub(super) depths: BTreeMap<Word, Pairs>,
    pub(super) numbers: Vec<u64>,
    /// The next due time of each line that was asked for.
    pub(super) delayed: BTreeMap<Word, Option<Timestamp>>,
    /// Leases by their end: the first, and those that have ended.
    pub(super) leases: Pairs,
    /// Whether there is a rule of a gate.
    pub(super) has_rules: bool,
    pub(super) missed: Mutex<Needs>,
}

/// Says that something was not read yet. Only its being an error counts: what was missed is noted.
fn missed() -> Error {
    Error::new(
        ErrorKind::Internal,
        MISSED,
        "a part of the database was used that was not read",
    )
}

/// The operation of such an error.
const MISSED: &str = "read what was not read";

/// Whether it says that something was not read yet.
pub(super) fn is_missed(error: &Error) -> bool {
    error.operation() == MISSED
}

impl Loaded {
    /// Notes what is missing.
    pub(super) fn miss(&self, note: impl FnOnce(&mut Needs)) -> Error {
        note(&mut self.missed.lock());
        missed()
    }

    /// Sees to it that these records were read, all of them at once.
    pub(super) fn read_ahead(&self, ids: &mut dyn Iterator<Item = TaskId>) -> Result<()> {
        let unread: Vec<TaskId> = ids.filter(|id| !self.records.contains_key(id)).collect();
        if unread.is_empty() {
            return Ok(());
        }
        Err(self.miss(|needs| needs.records.extend(unread)))
    }

    pub(super) fn take_missed(&self) -> Needs {
        std::mem::take(&mut self.missed.lock())
    }

    /// A record that was read and understood, or that is not there.
    pub(super) fn record(&self, id: &TaskId) -> Option<Option<Arc<TaskStateRecord>>> {
        match self.records.get(id)? {
            None => Some(None),
            Some(stored) => stored.record.clone().map(Some),
        }
    }

    /// Records that were not read in this transaction.
    pub(super) fn unread(&self) -> impl Iterator<Item = &TaskId> {
        let stored = |stored: &Option<Stored>| {
            stored
                .as_ref()
                .is_some_and(|stored| stored.written_by.is_some())
        };
        self.records
            .iter()
            .filter(move |(_, record)| stored(record))
            .map(|(id, _)| id)
    }

    /// Keeps a span that was read.
    pub(super) fn keep_span(&mut self, span: &Span, rows: Pairs) {
        let until = match rows.last() {
            Some((last, _)) if rows.len() >= span.limit => [last.as_slice(), &[0]].concat(),
            _ => span.until.clone(),
        };
        let known = self.whole.entry(span.from.clone()).or_default();
        if *known < until {
            *known = until;
        }
        for (key, value) in rows {
            self.entries.insert(key, Some(value));
        }
    }

    /// Whether all of a span was read.
    pub(super) fn knows(&self, span: &Span) -> bool {
        self.known_until(&span.from)
            .is_some_and(|until| *until >= span.until)
    }

    /// Up to where everything from a key on is known.
    fn known_until(&self, from: &[u8]) -> Option<&Vec<u8>> {
        let before = self
            .whole
            .range::<[u8], _>((Bound::Unbounded, Bound::Included(from)));
        before
            .rev()
            // Spans do not nest deeper than a table, a gate and a place in it.
            .take(8)
            .map(|(_, until)| until)
            .filter(|until| until.as_slice() > from)
            .max()
    }

    /// The gate that a key is of, if it is of one.
    fn gate_of(key: &[u8]) -> Option<Word> {
        match key.first()? {
            b'g' | b'p' | b'P' | b'L' | b'S' | b'b' => Word::from_slice(key.get(1..17)?),
            _ => None,
        }
    }

    fn needs_gate(&self, key: &[u8]) -> Result<()> {
        match Self::gate_of(key).filter(|gate| !self.gates.contains(gate)) {
            Some(gate) => Err(self.miss(|needs| {
                needs.gates.insert(gate);
            })),
            None => Ok(()),
        }
    }

    fn known(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Pairs {
        let bounds = (Bound::Included(from), Bound::Excluded(until));
        let rows = self
            .entries
            .range::<[u8], _>(bounds)
            .filter_map(|(key, value)| Some((key.clone(), value.clone()?)));
        if reverse {
            let mut all: Pairs = rows.collect();
            all.reverse();
            all.truncate(limit);
            all
        } else {
            rows.take(limit).collect()
        }
    }
}

fn cut(rows: &Pairs, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Pairs {
    let inside = |(key, _): &&(Vec<u8>, Vec<u8>)| key.as_slice() >= from && key.as_slice() < until;
    if reverse {
        rows.iter()
            .rev()
            .filter(inside)
            .take(limit)
            .cloned()
            .collect()
    } else {
        rows.iter().filter(inside).take(limit).cloned().collect()
    }
}

impl Rows for &Loaded {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match key.first() {
            Some(b't') => {
                let id = std::str::from_utf8(&key[1..]).ok();
                let Some(id) = id.and_then(|id| TaskId::new(id).ok()) else {
                    return Ok(None);
                };
                return match self.records.get(&id) {
                    // Those that can be read are taken as they are, see `record`.
                    Some(stored) => Ok(stored.as_ref().map(|stored| stored.body.clone())),
                    None => Err(self.miss(|needs| {
                        needs.records.insert(id);
                    })),
                };
            }
            // Columns and indexes of tables stand for these.
            Some(b's' | b'w' | b'q' | b'h' | b'H' | b'd' | b'l' | b'f') => return Ok(None),
            Some(b'c') => {
                let line = key.get(1..17).and_then(Word::from_slice);
                let rows = line.and_then(|line| self.depths.get(&line));
                return Ok(rows
                    .and_then(|rows| rows.iter().find(|(row, _)| row == key))
                    .map(|(_, value)| value.clone()));
            }
            _ => {}
        }
        self.needs_gate(key)?;
        if let Some(known) = self.entries.get(key) {
            return Ok(known.clone());
        }
        if self.known_until(key).is_some() {
            return Ok(None);
        }
        Err(self.miss(|needs| needs.entry(key.to_vec())))
    }

    fn put(&mut self, _key: &[u8], _value: &[u8]) -> Result<()> {
        Err(missed())
    }

    fn delete(&mut self, _key: &[u8]) -> Result<()> {
        Err(missed())
    }

    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        match from.first() {
            Some(b's' | b'w' | b'q' | b'h' | b'H' | b'f' | b't') => return Ok(Pairs::new()),
            Some(b'd') => {
                let line = from.get(1..17).and_then(Word::from_slice);
                let due = line.and_then(|line| Some((line, (*self.delayed.get(&line)?)?)));
                let row = due.map(|(line, due)| (keys::delayed(line, due, 0), Vec::new()));
                return Ok(row.into_iter().collect());
            }
            Some(b'l') => return Ok(cut(&self.leases, from, until, limit, reverse)),
            Some(b'c') => {
                let Some(line) = from.get(1..17).and_then(Word::from_slice) else {
                    return Ok(Pairs::new());
                };
                return match self.depths.get(&line) {
                    Some(rows) => Ok(rows.clone()),
                    // Locked like a gate: of two that take the last place one has to see the other.
                    None => Err(self.miss(|needs| {
                        needs.gates.insert(line);
                        needs.depths.insert(line);
                    })),
                };
            }
            _ => {}
        }
        // All holders of all gates are asked for only when a record cannot be read.
        if from.len() > 1 {
            self.needs_gate(from)?;
        }
        if let Some(known) = self.known_until(from) {
            if known.as_slice() >= until {
                return Ok(self.known(from, until, limit, reverse));
            }
            let rows = self.known(from, known, limit, false);
            if !reverse && rows.len() >= limit {
                return Ok(rows);
            }
        }
        Err(self.miss(|needs| {
            needs.spans.insert(Span {
                from: from.to_vec(),
                until: until.to_vec(),
                limit: if reverse { usize::MAX } else { limit },
            });
        }))
    }
}
