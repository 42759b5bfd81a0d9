//! What the verbs want to see of the database: known before from what is asked, or found out on the way.

use std::collections::BTreeSet;

use crate::id::TaskId;
use crate::store::kv::{Word, keys};
use crate::store::{Commit, Guard, Import, Op};
use crate::task::TaskStateRecord;

/// Rows between two keys, so many of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) from: Vec<u8>,
    pub(super) until: Vec<u8>,
    pub(super) limit: usize,
}

impl Span {
    /// All rows that start with a prefix.
    pub(super) fn all_of(prefix: Vec<u8>) -> Self {
        Self {
            until: keys::after(&prefix),
            from: prefix,
            limit: usize::MAX,
        }
    }
}

/// What to read, and what to lock for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    /// Gates, by their words: locked before anything of them is read.
    pub(super) gates: BTreeSet<Word>,
    /// Records, locked.
    pub(super) records: BTreeSet<TaskId>,
    /// Entries, locked where they exist.
    pub(super) locked: BTreeSet<Vec<u8>>,
    /// Entries that are only looked at, or that a lock of their gate or stream protects.
    pub(super) entries: BTreeSet<Vec<u8>>,
    pub(super) spans: BTreeSet<Span>,
    /// Lines whose waiting tasks are counted.
    pub(super) depths: BTreeSet<Word>,
    /// Numbers to give.
    pub(super) numbers: usize,
}

impl Needs {
    pub(super) fn is_empty(&self) -> bool {
        self.gates.is_empty()
            && self.records.is_empty()
            && self.locked.is_empty()
            && self.entries.is_empty()
            && self.spans.is_empty()
            && self.depths.is_empty()
            && self.numbers == 0
    }

    /// Whether nothing is known that has to be locked before records are.
    pub(super) fn locks_nothing(&self) -> bool {
        self.gates.is_empty() && self.records.is_empty() && self.locked.is_empty()
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.gates.extend(other.gates);
        self.records.extend(other.records);
        self.locked.extend(other.locked);
        self.entries.extend(other.entries);
        self.spans.extend(other.spans);
        self.depths.extend(other.depths);
        self.numbers += other.numbers;
    }

    /// An entry, locked or not as its table wants it.
    pub(super) fn entry(&mut self, key: Vec<u8>) {
        match key.first() {
            // Owners of keys and extents of streams: whoever reads them may write them.
            Some(b'u' | b'E') => self.locked.insert(key),
            _ => self.entries.insert(key),
        };
    }

    /// What can be known of a commit before anything is read.
    pub(super) fn of_commit(&mut self, commit: &Commit) {
        for guard in &commit.guards {
            match guard {
                Guard::Absent(id)
                | Guard::Open(id)
                | Guard::Held(id, _)
                | Guard::Expired(id, _)
                | Guard::Revision(id, _) => {
                    self.records.insert(id.clone());
                }
                Guard::Length(stream, _) => self.entry(keys::stream(stream)),
                Guard::Mark(key, _) => {
                    self.locked.insert(keys::mark(key));
                }
            }
        }
        for op in &commit.ops {
            match op {
                Op::Create(create) => {
                    self.numbers += 1;
                    self.records.insert(create.task.id.clone());
                    if let Some(unique) = &create.task.unique {
                        self.entry(keys::unique(&unique.key));
                    }
                    if create.lease_to.is_some() {
                        for gate in &create.task.gates {
                            self.gate(&gate.key);
                        }
                    }
                }
                Op::Settle(id, _)
                | Op::Extend(id, _)
                | Op::Patch(id, _)
                | Op::Cancel(id, _)
                | Op::Revive(id, _)
                | Op::Wake(id) => {
                    self.records.insert(id.clone());
                }
                Op::Delete(id) => {
                    self.records.insert(id.clone());
                    self.streams_of(id.as_str());
                }
                Op::Append(stream, events) => {
                    self.entry(keys::stream(stream));
                    for key in events.iter().filter_map(|event| event.key.as_ref()) {
                        self.entry(keys::event_key(stream, key));
                    }
                }
                Op::Trim(stream, _) => self.entry(keys::stream(stream)),
                Op::PutMark { key, .. } => {
                    self.numbers += 1;
                    self.mark(key);
                }
                Op::DropMark(key) => self.mark(key),
                Op::Import(import) => self.of_import(import),
            }
        }
    }

    fn of_import(&mut self, import: &Import) {
        match import {
            Import::Record(record) => {
                self.numbers += 1;
                self.records.insert(record.id.clone());
                let parked = record.parked.as_ref().map(|parked| &parked.gate);
                for gate in record.holds.iter().chain(parked) {
                    self.gate(gate);
                }
            }
            Import::Events { stream, .. } => self.entry(keys::stream(stream)),
            Import::Mark(mark) => {
                self.numbers += 1;
                self.mark(&mark.key);
            }
            Import::Key(owner) => self.entry(keys::unique(&owner.key)),
        }
    }

    fn mark(&mut self, key: &str) {
        self.locked.insert(keys::mark(key));
        if let Some(gate) = key.strip_prefix(crate::store::GATE_MARK) {
            self.gate(gate);
        }
    }

    pub(super) fn streams_of(&mut self, owner: &str) {
        self.spans.insert(Span::all_of(keys::streams(owner)));
    }

    /// A gate with all that is asked of it when something enters or leaves.
    pub(super) fn gate(&mut self, key: &str) {
        let gate = keys::gate_word(key);
        self.gates.insert(gate);
        self.entries.extend([
            keys::bucket(gate),
            keys::parked_gate(gate),
            keys::parked_limit(gate),
        ]);
        self.spans.insert(Span::all_of(keys::holders(gate)));
    }

    /// What follows from a record that is about to change: its gates, its key.
    pub(super) fn of_record(&mut self, record: &TaskStateRecord) {
        for gate in record.gates.iter().map(|gate| &gate.key) {
            self.gate(gate);
        }
        for gate in &record.holds {
            self.gate(gate);
        }
        if let Some(parked) = &record.parked {
            self.gate(&parked.gate);
        }
        if let Some(unique) = &record.unique {
            self.entry(keys::unique(&unique.key));
        }
    }
}
