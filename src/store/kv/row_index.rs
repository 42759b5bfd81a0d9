//! The indexes of records as rows: they follow from the record alone, old and new.

use std::sync::Arc;

use super::index::CountRow;
use super::table::{Place, Table};
use super::{keys, lanes, leases};
use crate::error::Result;
use crate::task::{TaskStateRecord, TaskStatus};

pub(super) fn insert<T: Table + ?Sized>(table: &mut T, record: Arc<TaskStateRecord>) -> Result<()> {
    let id = record.id.as_str().as_bytes().to_vec();
    for word in words(&record) {
        table.put(keys::word_seq(word, record.seq), id.clone())?;
    }
    table.put(keys::status_seq(record.status, record.seq), id)?;
    count(table, &record, 1)?;
    place(table, &record)?;
    table.put_record(record)
}

pub(super) fn change<T: Table + ?Sized>(
    table: &mut T,
    old: &TaskStateRecord,
    new: Arc<TaskStateRecord>,
    to: Place,
) -> Result<()> {
    if old.status != new.status || old.queue != new.queue {
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
    if to == Place::Moved {
        displace(table, old)?;
    }
    if to != Place::Kept {
        place(table, &new)?;
    }
    table.put_record(new)
}

pub(super) fn remove<T: Table + ?Sized>(table: &mut T, record: &TaskStateRecord) -> Result<()> {
    for word in words(record) {
        table.delete(&keys::word_seq(word, record.seq))?;
    }
    table.delete(&keys::status_seq(record.status, record.seq))?;
    count(table, record, -1)?;
    displace(table, record)?;
    table.delete_record(&record.id)
}

pub(super) fn place<T: Table + ?Sized>(table: &mut T, record: &TaskStateRecord) -> Result<()> {
    match record.status {
        TaskStatus::Pending if record.parked.is_some() => Ok(()),
        TaskStatus::Pending => lanes::enter(table, record),
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

fn displace<T: Table + ?Sized>(table: &mut T, record: &TaskStateRecord) -> Result<()> {
    match record.status {
        TaskStatus::Pending if record.parked.is_some() => Ok(()),
        TaskStatus::Pending => lanes::leave(table, record),
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
    words.extend(other_words(record));
    words
}

/// The same without its name.
pub(crate) fn other_words(record: &TaskStateRecord) -> impl Iterator<Item = keys::Word> {
    let schedule = record
        .schedule
        .as_ref()
        .filter(|schedule| **schedule != record.name)
        .map(|schedule| keys::name_word(schedule));
    let tags = record.tags.iter().map(|tag| keys::tag_word(tag));
    let parent = record.parent.as_ref().map(keys::parent_word);
    schedule.into_iter().chain(tags).chain(parent)
}

fn count<T: Table + ?Sized>(table: &mut T, record: &TaskStateRecord, change: i64) -> Result<()> {
    let key = keys::count(&record.queue, &record.name, record.status);
    let now = table
        .get(&key)?
        .and_then(|row| CountRow::read(&key, &row))
        .map_or(0, |row| row.n);
    let next = now.saturating_add_signed(change);
    if next == 0 {
        return table.delete(&key);
    }
    table.put(key, CountRow::value(next, &record.queue, &record.name))
}
