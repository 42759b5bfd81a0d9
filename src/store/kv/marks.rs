//! Marks.

use std::sync::Arc;
use std::time::Duration;

use super::keys;
use super::table::{Source, Table};
use crate::error::Result;
use crate::payload::Payload;
use crate::store::{GATE_MARK, Mark};

/// A mark that is there and whose time is not over.
pub(super) fn get(table: &dyn Source, key: &str) -> Result<Option<Arc<Mark>>> {
    Ok(table.mark(key)?.filter(|mark| is_live(table, mark)))
}

fn is_live(table: &dyn Source, mark: &Mark) -> bool {
    mark.until.is_none_or(|until| until > table.moment().now)
}

/// Marks of a prefix, in order, after a key.
pub(super) fn list(
    table: &dyn Source,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Mark>> {
    let mut found: Vec<Mark> = Vec::new();
    let mut after = after.map(Arc::from);
    while found.len() < limit {
        let wanted = limit - found.len();
        let page = table.marks(prefix, after.as_deref(), wanted)?;
        let is_last = page.len() < wanted;
        after = page.last().map(|mark| Arc::clone(&mark.key));
        let live = page.into_iter().filter(|mark| is_live(table, mark));
        found.extend(live.map(Arc::unwrap_or_clone));
        if is_last {
            break;
        }
    }
    Ok(found)
}

pub(super) fn put(
    table: &mut dyn Table,
    key: &Arc<str>,
    value: Payload,
    ttl: Option<Duration>,
) -> Result<u64> {
    let now = table.moment().now;
    let mark = Mark {
        key: Arc::clone(key),
        value,
        version: 0,
        set_at: now,
        until: ttl.map(|ttl| now.saturating_add(ttl)),
    };
    write(table, mark)
}

/// Puts a mark in as another store had it; its version, or that of another one that is there.
pub(super) fn import(table: &mut dyn Table, mark: Mark) -> Result<std::result::Result<u64, u64>> {
    let Some(there) = get(table, &mark.key)? else {
        return write(table, mark).map(Ok);
    };
    let is_same =
        there.value == mark.value && there.set_at == mark.set_at && there.until == mark.until;
    Ok(if is_same {
        Ok(there.version)
    } else {
        Err(there.version)
    })
}

/// Writes a mark, whatever is there, under the next version.
fn write(table: &mut dyn Table, mut mark: Mark) -> Result<u64> {
    forget_end(table, &mark.key)?;
    mark.version = table.next_number()?;
    let (key, version) = (Arc::clone(&mark.key), mark.version);
    if let Some(until) = mark.until {
        table.put(keys::mark_end(until, &key), key.as_bytes().to_vec())?;
        // A rule that ends may open its gate at that moment.
        if let Some(gate) = key.strip_prefix(GATE_MARK) {
            super::gates::set_timer(table, gate, until)?;
        }
    }
    table.put_mark(Arc::new(mark))?;
    changed(table, &key)?;
    Ok(version)
}

pub(super) fn remove(table: &mut dyn Table, key: &str) -> Result<()> {
    forget_end(table, key)?;
    table.delete_mark(key)?;
    changed(table, key)
}

fn forget_end(table: &mut dyn Table, key: &str) -> Result<()> {
    match table.mark(key)?.and_then(|mark| mark.until) {
        Some(until) => table.delete(&keys::mark_end(until, key)),
        None => Ok(()),
    }
}

/// A changed rule may open its gate.
fn changed(table: &mut dyn Table, key: &str) -> Result<()> {
    if let Some(gate) = key.strip_prefix(GATE_MARK) {
        super::gates::rule_changed(table, gate)?;
    }
    Ok(())
}

/// Removes marks whose time is over, at most `limit`.
pub(crate) fn sweep(table: &mut dyn Table, limit: usize) -> Result<usize> {
    let due = keys::due(keys::MARK_ENDS, table.moment().now);
    let rows = table.range(keys::MARK_ENDS, &due, limit, false)?;
    for (row, value) in &rows {
        table.delete(row)?;
        // One that could not be read leaves its end behind, which is not that of the mark in its place.
        if let Ok(key) = std::str::from_utf8(value)
            && get(table, key)?.is_none()
        {
            remove(table, key)?;
        }
    }
    Ok(rows.len())
}
