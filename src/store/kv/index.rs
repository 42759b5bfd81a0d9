//! Keeping the indexes of a record true: they follow from the record alone, old and new.

use std::sync::Arc;

use super::table::{Source, Table};
use super::{gates, keys, lanes, leases, unique};
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::store::Hint;
use crate::task::{TaskStateRecord, TaskStatus};

/// Writes a record that did not exist.
pub(super) fn insert(table: &mut dyn Table, record: TaskStateRecord) -> Result<()> {
    let id = record.id.as_str().as_bytes().to_vec();
    for word in words(&record) {
        table.put(keys::word_seq(word, record.seq), id.clone())?;
    }
    table.put(keys::status_seq(record.status, record.seq), id)?;
    count(table, &record, 1)?;
    place(table, &record)?;
    table.put_record(Arc::new(record))
}

/// Writes a record over its old state. `taken` says that the old ready row is gone already.
pub(super) fn replace(
    table: &mut dyn Table,
    old: &TaskStateRecord,
    mut new: TaskStateRecord,
    taken: bool,
) -> Result<Arc<TaskStateRecord>> {
    new.revision = old.revision + 1;
    // Only what is due waits behind a gate: one that is put off would be given a turn that it does not take.
    if new.run_at > table.moment().now {
        new.parked = None;
    }
    let lane_changed = old.queue != new.queue;
    if old.status != new.status || lane_changed {
        count(table, old, -1)?;
        count(table, &new, 1)?;
    }
    if old.status != new.status {
        table.delete(&keys::status_seq(old.status, old.seq))?;
        table.put(
            keys::status_seq(new.status, new.seq),
            new.id.as_str().as_bytes().to_vec(),
        )?;
    }
    if !taken && stays(old, &new) {
        let new = Arc::new(new);
        table.put_record(Arc::clone(&new))?;
        return Ok(new);
    }
    if !taken {
        displace(table, old)?;
    }
    place(table, &new)?;
    let left_the_queue = old.status == TaskStatus::Pending && old.parked.is_none() && !taken;
    let queue_gates = if left_the_queue {
        old.gates.clone()
    } else {
        Vec::new()
    };
    if new.status.is_terminal() && !old.status.is_terminal() {
        unique::release_at_end(table, &new)?;
        table.hint(Hint::Finished(new.id.clone()));
    }
    let new = Arc::new(new);
    table.put_record(Arc::clone(&new))?;
    for gate in queue_gates {
        gates::reopen(table, &gate.key)?;
    }
    Ok(new)
}

/// Removes a record and everything that leads to it.
pub(super) fn remove(table: &mut dyn Table, record: &TaskStateRecord) -> Result<()> {
    for word in words(record) {
        table.delete(&keys::word_seq(word, record.seq))?;
    }
    table.delete(&keys::status_seq(record.status, record.seq))?;
    count(table, record, -1)?;
    displace(table, record)?;
    unique::release_at_delete(table, record)?;
    super::streams::remove_all(table, record.id.as_str())?;
    table.delete_record(&record.id)?;
    if record.status == TaskStatus::Pending && record.parked.is_none() {
        for gate in &record.gates {
            gates::reopen(table, &gate.key)?;
        }
    }
    Ok(())
}

/// Whether a change leaves the record where it is.
fn stays(old: &TaskStateRecord, new: &TaskStateRecord) -> bool {
    old.status == new.status
        && old.queue == new.queue
        && old.priority == new.priority
        && old.run_at == new.run_at
        && old.parked.as_ref().map(|p| &p.gate) == new.parked.as_ref().map(|p| &p.gate)
        && old.lease.as_ref().map(|l| (l.until, l.ends))
            == new.lease.as_ref().map(|l| (l.until, l.ends))
        && old.finished_at == new.finished_at
}

fn place(table: &mut dyn Table, record: &TaskStateRecord) -> Result<()> {
    match record.status {
        TaskStatus::Pending => match &record.parked {
            Some(parked) => gates::park_row(table, &parked.gate, record),
            None => lanes::enter(table, record),
        },
        TaskStatus::Running => leases::put_row(table, record),
        TaskStatus::Succeeded | TaskStatus::Failed | TaskStatus::Cancelled => {
            match record.finished_at {
                Some(at) => table.put(
                    keys::finished(at, record.seq),
                    record.id.as_str().as_bytes().to_vec(),
                ),
                None => Ok(()),
            }
        }
    }
}

fn displace(table: &mut dyn Table, record: &TaskStateRecord) -> Result<()> {
    match record.status {
        TaskStatus::Pending => match &record.parked {
            Some(parked) => gates::unpark_row(table, &parked.gate, record),
            None => lanes::leave(table, record),
        },
        TaskStatus::Running => leases::delete_row(table, record),
        TaskStatus::Succeeded | TaskStatus::Failed | TaskStatus::Cancelled => {
            match record.finished_at {
                Some(at) => table.delete(&keys::finished(at, record.seq)),
                None => Ok(()),
            }
        }
    }
}

/// The words a record is found by: its name, its schedule when that has another name, its tags and its parent.
fn words(record: &TaskStateRecord) -> Vec<keys::Word> {
    let mut words = vec![keys::name_word(&record.name)];
    if let Some(schedule) = record
        .schedule
        .as_ref()
        .filter(|schedule| **schedule != record.name)
    {
        words.push(keys::name_word(schedule));
    }
    words.extend(record.tags.iter().map(|tag| keys::tag_word(tag)));
    words.extend(record.parent.as_ref().map(keys::parent_word));
    words
}

/// A count of records of one queue, name and status, as stored.
pub(super) struct CountRow {
    pub(super) n: u64,
    pub(super) queue: String,
    pub(super) name: String,
    pub(super) status: u8,
}

impl CountRow {
    pub(super) fn read(key: &[u8], value: &[u8]) -> Option<Self> {
        let (n, rest) = value.split_first_chunk::<8>()?;
        let (queue, name) = std::str::from_utf8(rest).ok()?.split_once('\0')?;
        Some(Self {
            n: u64::from_be_bytes(*n),
            queue: queue.to_owned(),
            name: name.to_owned(),
            status: *key.last()?,
        })
    }
}

fn count(table: &mut dyn Table, record: &TaskStateRecord, change: i64) -> Result<()> {
    let key = keys::count(&record.queue, &record.name, record.status);
    let now = table
        .get(&key)?
        .and_then(|row| CountRow::read(&key, &row))
        .map_or(0, |row| row.n);
    let next = now.saturating_add_signed(change);
    if next == 0 {
        return table.delete(&key);
    }
    let mut value = next.to_be_bytes().to_vec();
    value.extend_from_slice(record.queue.as_bytes());
    value.push(0);
    value.extend_from_slice(record.name.as_bytes());
    table.put(key, value)
}

/// Pending records of a queue, from the counts.
pub(super) fn waiting_in(table: &dyn Source, queue: &str) -> Result<u64> {
    let prefix = keys::counts_of(queue);
    let rows = table.range(&prefix, &keys::after(&prefix), usize::MAX, false)?;
    Ok(rows
        .iter()
        .filter_map(|(key, value)| CountRow::read(key, value))
        .filter(|row| row.status == TaskStatus::Pending as u8)
        .map(|row| row.n)
        .sum())
}

/// The id that an index row leads to.
pub(super) fn id_of(value: &[u8]) -> Result<TaskId> {
    let text = std::str::from_utf8(value).map_err(|source| {
        Error::new(
            ErrorKind::Corrupt,
            "read index",
            "an index row does not hold a task id",
        )
        .with_source(source)
    })?;
    TaskId::new(text)
}
