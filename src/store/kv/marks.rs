//! Marks.

use std::time::Duration;

use super::keys;
use super::table::{Source, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::payload::Payload;
use crate::store::{GATE_MARK, Mark};

/// A mark that is there and whose time is not over.
pub(super) fn get(table: &dyn Source, key: &str) -> Result<Option<Mark>> {
    let stored = table.get(&keys::mark(key))?;
    Ok(stored
        .and_then(|bytes| decode(key, &bytes))
        .filter(|mark| is_live(table, mark)))
}

fn is_live(table: &dyn Source, mark: &Mark) -> bool {
    mark.until.is_none_or(|until| until > table.moment().now)
}

/// A stored mark. One that cannot be read counts as none: it must neither stop the queue whose rule it was nor keep the
/// next one from taking its place.
fn decode(key: &str, bytes: &[u8]) -> Option<Mark> {
    serde_json::from_slice(bytes)
        .inspect_err(|error| tracing::error!(mark = key, %error, "a stored mark cannot be read; it counts as none"))
        .ok()
}

/// Marks of a prefix, in order, after a key.
pub(super) fn list(
    table: &dyn Source,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Mark>> {
    let first = keys::mark(prefix);
    let end = keys::after(&first);
    let mut from = match after {
        Some(after) => [keys::mark(after).as_slice(), &[0]].concat().max(first),
        None => first,
    };
    let mut marks = Vec::new();
    while marks.len() < limit {
        let rows = table.range(&from, &end, limit, false)?;
        let Some((last, _)) = rows.last() else { break };
        from = [last.as_slice(), &[0]].concat();
        for (key, value) in &rows {
            let mark = decode(&String::from_utf8_lossy(&key[1..]), value);
            let live = mark.filter(|mark| is_live(table, mark));
            if marks.len() < limit {
                marks.extend(live);
            }
        }
    }
    Ok(marks)
}

pub(super) fn put(
    table: &mut dyn Table,
    key: &str,
    value: Payload,
    ttl: Option<Duration>,
) -> Result<u64> {
    forget_end(table, key)?;
    let now = table.moment().now;
    let version = table.next_number()?;
    let until = ttl.map(|ttl| now.saturating_add(ttl));
    let mark = Mark {
        key: key.to_owned(),
        value,
        version,
        set_at: now,
        until,
    };
    if let Some(until) = until {
        table.put(keys::mark_end(until, key), key.as_bytes().to_vec())?;
        // A rule that ends may open its gate at that moment.
        if let Some(gate) = key.strip_prefix(GATE_MARK) {
            super::gates::set_timer(table, gate, until)?;
        }
    }
    let bytes = serde_json::to_vec(&mark).map_err(|source| {
        Error::new(ErrorKind::Internal, "write mark", "a mark has no JSON form").with_source(source)
    })?;
    table.put(keys::mark(key), bytes)?;
    changed(table, key)?;
    Ok(version)
}

pub(super) fn remove(table: &mut dyn Table, key: &str) -> Result<()> {
    forget_end(table, key)?;
    table.delete(&keys::mark(key))?;
    changed(table, key)
}

fn forget_end(table: &mut dyn Table, key: &str) -> Result<()> {
    let stored = table.get(&keys::mark(key))?;
    match stored
        .and_then(|bytes| decode(key, &bytes))
        .and_then(|mark| mark.until)
    {
        Some(until) => table.delete(&keys::mark_end(until, key)),
        None => Ok(()),
    }
}

/// A changed rule may open its gate.
fn changed(table: &mut dyn Table, key: &str) -> Result<()> {
    if let Some(gate) = key.strip_prefix(GATE_MARK) {
        super::gates::reopen(table, gate)?;
        table.hint(crate::store::Hint::Unknown);
    }
    Ok(())
}

/// Removes marks whose time is over, at most `limit`.
pub(super) fn sweep(table: &mut dyn Table, limit: usize) -> Result<usize> {
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
