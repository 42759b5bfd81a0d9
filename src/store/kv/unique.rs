//! Who owns a unique key.

use std::sync::Arc;

use super::keys;
use super::table::{Owner, Table};
use crate::error::{ErrorKind, Result};
use crate::id::TaskId;
use crate::store::KeyOwner;
use crate::task::{TaskStateRecord, UniqueScope};
use crate::timestamp::Timestamp;

/// The task that owns the key now. One whose time is over is free from now on.
pub(super) fn owner(table: &mut dyn Table, key: &str) -> Result<Option<TaskId>> {
    let now = table.moment().now;
    match table.owner(key)? {
        Some(over) if over.until.is_some_and(|until| until <= now) => {
            forget(table, key, &over)?;
            Ok(None)
        }
        owner => Ok(owner.map(|owner| owner.id)),
    }
}

/// Makes a task the owner of its key, if it has one, which is [free](owner); stamps until when.
pub(super) fn take(table: &mut dyn Table, record: &mut TaskStateRecord) -> Result<()> {
    let Some(unique) = &record.unique else {
        return Ok(());
    };
    let until = match unique.scope {
        UniqueScope::For(duration) => Some(table.moment().now.saturating_add(duration)),
        UniqueScope::WhileQueued | UniqueScope::WhileUnfinished | UniqueScope::Forever => None,
    };
    if until != unique.until
        && let Some(unique) = &mut record.unique
    {
        Arc::make_mut(unique).until = until;
    }
    let Some(unique) = &record.unique else {
        return Ok(());
    };
    let (key, id) = (Arc::clone(&unique.key), record.id.clone());
    put(table, &key, &id, until)
}

/// Makes a task the owner of a key as another store had it; answers another one that owns it.
pub(super) fn import(table: &mut dyn Table, new: &KeyOwner) -> Result<Option<TaskId>> {
    if let Some(there) = owner(table, &new.key)? {
        return Ok((there != new.owner).then_some(there));
    }
    release(table, &new.key)?;
    put(table, &new.key, &new.owner, new.until)?;
    Ok(None)
}

fn put(table: &mut dyn Table, key: &Arc<str>, id: &TaskId, until: Option<Timestamp>) -> Result<()> {
    if let Some(until) = until {
        table.put(keys::unique_end(until, key), key.as_bytes().to_vec())?;
    }
    let id = id.clone();
    table.put_owner(key, Owner { id, until })
}

/// Frees a key that is kept only while the task waits.
pub(super) fn release_at_claim(table: &mut dyn Table, record: &TaskStateRecord) -> Result<()> {
    release_if(table, record, |scope| scope == UniqueScope::WhileQueued)
}

/// Frees a key that is kept only while the task is unfinished.
pub(super) fn release_at_end(table: &mut dyn Table, record: &TaskStateRecord) -> Result<()> {
    release_if(table, record, |scope| {
        matches!(
            scope,
            UniqueScope::WhileQueued | UniqueScope::WhileUnfinished
        )
    })
}

/// Frees a key when the record goes, unless it outlives it.
pub(super) fn release_at_delete(table: &mut dyn Table, record: &TaskStateRecord) -> Result<()> {
    release_at_end(table, record)
}

fn release_if(
    table: &mut dyn Table,
    record: &TaskStateRecord,
    leaves: impl Fn(UniqueScope) -> bool,
) -> Result<()> {
    let Some(unique) = record.unique.as_ref().filter(|unique| leaves(unique.scope)) else {
        return Ok(());
    };
    match table.owner(&unique.key) {
        // Another task may own the key by now: the owner is compared, never assumed.
        Ok(Some(owner)) if owner.id == record.id => forget(table, &unique.key, &owner),
        Ok(_) => Ok(()),
        // It must not keep its task from going on; the task that leaves it is the last that can clear it away.
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            tracing::error!(%error, id = %record.id, "the owner of a unique key cannot be read; the key is given up");
            table.delete_owner(&unique.key)
        }
        Err(error) => Err(error),
    }
}

/// Frees a key, whoever owns it.
pub(super) fn release(table: &mut dyn Table, key: &str) -> Result<()> {
    match table.owner(key) {
        Ok(None) => Ok(()),
        Ok(Some(owner)) => forget(table, key, &owner),
        // Nobody can say any more whose it is.
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            tracing::error!(%error, key, "the owner of a unique key cannot be read; the key is given up");
            table.delete_owner(key)
        }
        Err(error) => Err(error),
    }
}

fn forget(table: &mut dyn Table, key: &str, owner: &Owner) -> Result<()> {
    if let Some(until) = owner.until {
        table.delete(&keys::unique_end(until, key))?;
    }
    table.delete_owner(key)
}

/// Frees the key of its schedule that the run of this id owns, when the record itself cannot be read to say so: its
/// schedule would wait for an end that never comes.
pub(super) fn release_of_schedule<T: Table + ?Sized>(table: &mut T, id: &TaskId) -> Result<()> {
    let Some((schedule, _)) = id.as_str().rsplit_once('@') else {
        return Ok(());
    };
    let key = format!("schedule/{schedule}");
    match table.owner(&key) {
        Ok(Some(owner)) if owner.id == *id => table.delete_owner(&key),
        Err(error) if error.kind() != ErrorKind::Corrupt => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Removes keys whose time is over, at most `limit`.
pub(crate) fn sweep(table: &mut dyn Table, limit: usize) -> Result<usize> {
    let due = keys::due(keys::UNIQUE_ENDS, table.moment().now);
    let rows = table.range(keys::UNIQUE_ENDS, &due, limit, false)?;
    for (row, value) in &rows {
        if let Ok(key) = std::str::from_utf8(value) {
            release(table, key)?;
        }
        table.delete(row)?;
    }
    Ok(rows.len())
}
