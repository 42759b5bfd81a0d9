//! Marks as rows.

use std::sync::Arc;

use super::keys;
use super::table::{Source, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::store::Mark;

/// Rows read at a time.
const PAGE: usize = 256;

pub(super) fn mark<S: Source + ?Sized>(table: &S, key: &str) -> Result<Option<Arc<Mark>>> {
    let stored = table.get(&keys::mark(key))?;
    Ok(stored.and_then(|bytes| decode(key, &bytes)))
}

/// A stored mark. One that cannot be read counts as none: it must neither stop the queue whose rule it was nor keep the
/// next one from taking its place.
fn decode(key: &str, bytes: &[u8]) -> Option<Arc<Mark>> {
    serde_json::from_slice(bytes)
        .inspect_err(|error| tracing::error!(mark = key, %error, "a stored mark cannot be read; it counts as none"))
        .ok()
}

pub(super) fn marks<S: Source + ?Sized>(
    table: &S,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Arc<Mark>>> {
    let first = keys::mark(prefix);
    let end = keys::after(&first);
    let mut from = match after {
        Some(after) => [keys::mark(after).as_slice(), &[0]].concat().max(first),
        None => first,
    };
    let mut marks = Vec::new();
    while marks.len() < limit {
        let rows = table.range(&from, &end, limit.min(PAGE), false)?;
        let Some((last, _)) = rows.last() else { break };
        from = [last.as_slice(), &[0]].concat();
        let found = rows
            .iter()
            .filter_map(|(key, value)| decode(&String::from_utf8_lossy(&key[1..]), value));
        marks.extend(found.take(limit - marks.len()));
    }
    Ok(marks)
}

pub(super) fn put<T: Table + ?Sized>(table: &mut T, mark: &Mark) -> Result<()> {
    let bytes = serde_json::to_vec(mark).map_err(|source| {
        Error::new(ErrorKind::Internal, "write mark", "a mark has no JSON form").with_source(source)
    })?;
    table.put(keys::mark(&mark.key), bytes)
}
