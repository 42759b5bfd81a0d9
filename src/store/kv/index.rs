//! Making, changing and removing records: what every such write has in common.

use std::sync::Arc;

use super::table::{Place, Ready, Source, Table};
use super::{gates, keys, reopen, unique};
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::store::Hint;
use crate::task::{TaskStateRecord, TaskStatus};

/// Writes a record that did not exist.
pub(super) fn insert(
    table: &mut dyn Table,
    record: TaskStateRecord,
) -> Result<Arc<TaskStateRecord>> {
    let record = Arc::new(record);
    announce(table, &record);
    table.insert(Arc::clone(&record))?;
    Ok(record)
}

/// Writes a record over its old state. `taken` says that the old ready row is gone already.
pub(super) fn replace(
    table: &mut dyn Table,
    old: &TaskStateRecord,
    new: impl Into<Arc<TaskStateRecord>>,
    taken: bool,
) -> Result<Arc<TaskStateRecord>> {
    let mut new = new.into();
    let changed = Arc::make_mut(&mut new);
    changed.revision = old.revision + 1;
    // Only what is due waits behind a gate: one that is put off would be given a turn that it does not take.
    if changed.run_at > table.moment().now {
        changed.parked = None;
    }
    if !taken && stays(old, &new) {
        table.change(old, Arc::clone(&new), Place::Kept)?;
        return Ok(new);
    }
    if let Some(parked) = old.parked.as_ref().filter(|_| is_parked(old)) {
        gates::unpark_row(table, &parked.gate, old)?;
    }
    if let Some(parked) = new.parked.as_ref().filter(|_| is_parked(&new)) {
        gates::park_row(table, &parked.gate, &new)?;
    }
    let place = if taken { Place::Taken } else { Place::Moved };
    table.change(old, Arc::clone(&new), place)?;
    announce(table, &new);
    if new.status.is_terminal() && !old.status.is_terminal() {
        unique::release_at_end(table, &new)?;
        table.hint(Hint::Finished(new.id.clone()));
    }
    if old.status == TaskStatus::Pending && old.parked.is_none() && !taken {
        for gate in &old.gates {
            reopen::reopen(table, &gate.key)?;
        }
    }
    Ok(new)
}

/// Removes a record and everything that leads to it.
pub(super) fn remove(table: &mut dyn Table, record: &TaskStateRecord) -> Result<()> {
    if let Some(parked) = record.parked.as_ref().filter(|_| is_parked(record)) {
        gates::unpark_row(table, &parked.gate, record)?;
    }
    unique::release_at_delete(table, record)?;
    super::streams::remove_all(table, record.id.as_str())?;
    table.remove(record)?;
    if record.status == TaskStatus::Pending && record.parked.is_none() {
        for gate in &record.gates {
            reopen::reopen(table, &gate.key)?;
        }
    }
    Ok(())
}

fn is_parked(record: &TaskStateRecord) -> bool {
    record.status == TaskStatus::Pending && record.parked.is_some()
}

/// Says that a record waits in the ready set, now or later.
fn announce(table: &mut dyn Table, record: &TaskStateRecord) {
    if record.status == TaskStatus::Pending && record.parked.is_none() {
        table.hint(Hint::Ready(Arc::clone(&record.queue)));
    }
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

/// A count of records of one queue, name and status, as stored.
pub(crate) struct CountRow {
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

    /// The number in a stored row.
    #[cfg(feature = "postgres")]
    pub(crate) fn number(value: &[u8]) -> u64 {
        value.first_chunk().map_or(0, |n| u64::from_be_bytes(*n))
    }

    pub(crate) fn value(n: u64, queue: &str, name: &str) -> Vec<u8> {
        [
            &n.to_be_bytes()[..],
            queue.as_bytes(),
            &[0],
            name.as_bytes(),
        ]
        .concat()
    }
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

pub(super) const ENDED: [TaskStatus; 3] = [
    TaskStatus::Succeeded,
    TaskStatus::Failed,
    TaskStatus::Cancelled,
];

/// Records that have ended, from the counts.
pub(super) fn ended<S: Source + ?Sized>(table: &S) -> Result<u64> {
    let rows = table.range(keys::COUNTS, &keys::after(keys::COUNTS), usize::MAX, false)?;
    let is_ended = |row: &CountRow| ENDED.iter().any(|status| *status as u8 == row.status);
    Ok(rows
        .iter()
        .filter_map(|(key, value)| CountRow::read(key, value))
        .filter(is_ended)
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

/// The id that an index row of a record with this number leads to. One damaged row must not stop the others: then the
/// record is looked for by its number among those of these statuses. `None` when it is not found; the row is of no use.
///
/// Reads the record, for a damaged row may hold what looks like an id.
pub(super) fn find<S: Source + ?Sized>(
    source: &S,
    value: &[u8],
    seq: u64,
    statuses: &[TaskStatus],
) -> Result<Option<TaskId>> {
    if let Ok(id) = id_of(value) {
        match source.record(&id) {
            Ok(Some(record)) if record.seq == seq => return Ok(Some(id)),
            Ok(_) => {}
            // It may be the one.
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(Some(id)),
            Err(error) => return Err(error),
        }
    }
    let id = find_by_number(source, seq, statuses)?;
    match &id {
        Some(id) => {
            tracing::error!(%id, "an index row is damaged; the record was found by its number");
        }
        None => tracing::error!(seq, "an index row leads to no task; it is removed"),
    }
    Ok(id)
}

/// The record of a ready row. One that leads elsewhere is damaged: then it is the one of its number, if that waits.
pub(super) fn ready_record<S: Source + ?Sized>(
    source: &S,
    ready: &Ready,
) -> Result<Option<Arc<TaskStateRecord>>> {
    let seq = ready.order.seq;
    if let Some(id) = &ready.id
        && let Some(record) = source.record(id)?
        && record.seq == seq
    {
        return Ok(Some(record));
    }
    match find_by_number(source, seq, &[TaskStatus::Pending])? {
        Some(id) => source.record(&id),
        None => Ok(None),
    }
}

pub(super) fn find_by_number<S: Source + ?Sized>(
    source: &S,
    seq: u64,
    statuses: &[TaskStatus],
) -> Result<Option<TaskId>> {
    for status in statuses {
        let row = source.get(&keys::status_seq(*status, seq))?;
        if let Some(id) = row.and_then(|value| id_of(&value).ok()) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// The largest number of any record.
pub(super) fn last_number<S: Source + ?Sized>(source: &S) -> Result<u64> {
    let mut last = 0;
    for status in TaskStatus::ALL {
        let all = keys::status(status);
        let newest = source.range(&all, &keys::after(&all), 1, true)?.pop();
        last = newest.map_or(last, |(key, _)| last.max(keys::seq(&key)));
    }
    Ok(last)
}

/// Whether the index of records by status leads to this one.
pub(super) fn is_listed(source: &dyn Source, record: &TaskStateRecord) -> Result<bool> {
    let row = source.get(&keys::status_seq(record.status, record.seq))?;
    Ok(row.is_some_and(|id| id == record.id.as_str().as_bytes()))
}
