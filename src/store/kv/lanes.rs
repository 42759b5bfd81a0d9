//! The ready set as rows: one lane per queue, name and version, and the heads of those that are not empty.

use std::sync::Arc;

use super::index;
use super::keys::{self, Order, Word};
use super::table::{Head, Ready, Source, Table};
use crate::error::Result;
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// Records of a lane that are asked for its name when its head is damaged.
const LOOK_FOR_NAMES: usize = 16;

/// Puts a pending record where it waits: in its lane when it is due, else among the delayed.
pub(super) fn enter<T: Table + ?Sized>(table: &mut T, record: &TaskStateRecord) -> Result<()> {
    let id = record.id.as_str().as_bytes().to_vec();
    let queue = keys::queue_word(&record.queue);
    if record.run_at > table.moment().now {
        return table.put(keys::delayed(queue, record.run_at, record.seq), id);
    }
    let lane = lane_of(record);
    let order = Order::of(record);
    table.put(keys::ready(queue, lane, order), id)?;
    let head = head_of(table, queue, lane)?;
    if head.is_none_or(|head| order < head) {
        set_head(table, queue, lane, head, Some(order), &lane_text(record))?;
    }
    Ok(())
}

/// Takes a pending record out, wherever it waits.
pub(super) fn leave<T: Table + ?Sized>(table: &mut T, record: &TaskStateRecord) -> Result<()> {
    let queue = keys::queue_word(&record.queue);
    let delayed = keys::delayed(queue, record.run_at, record.seq);
    if table.get(&delayed)?.is_some() {
        return table.delete(&delayed);
    }
    let lane = lane_of(record);
    let order = Order::of(record);
    table.delete(&keys::ready(queue, lane, order))?;
    if head_of(table, queue, lane)? == Some(order) {
        let next = first_in_lane(table, queue, lane)?;
        set_head(table, queue, lane, Some(order), next, &lane_text(record))?;
    }
    Ok(())
}

/// Moves delayed records of a queue that are due into their lanes, at most `limit`.
pub(super) fn promote<T: Table + ?Sized>(table: &mut T, queue: Word, limit: usize) -> Result<()> {
    let due = keys::delayed_until(queue, table.moment().now);
    for (key, value) in table.range(&keys::delayed_queue(queue), &due, limit, false)? {
        table.delete(&key)?;
        let Some(id) = index::find(table, &value, keys::seq(&key), &[TaskStatus::Pending])? else {
            continue;
        };
        match table.record(&id) {
            Ok(Some(record)) => enter(table, &record)?,
            Ok(None) => {}
            Err(error) => super::claim::quarantine(table, &id, error)?,
        }
    }
    Ok(())
}

/// When the next delayed record of a queue is due.
pub(super) fn next_delayed(table: &dyn Source, queue: Word) -> Result<Option<Timestamp>> {
    let prefix = keys::delayed_queue(queue);
    let first = table.first(&prefix, &keys::after(&prefix))?;
    Ok(first.and_then(|(key, _)| keys::time_at(&key, keys::DELAYED_TIME)))
}

fn lane_of(record: &TaskStateRecord) -> Word {
    keys::lane_word(&record.name, record.version.as_deref())
}

/// Name and version, as the row of a head keeps them.
fn lane_text(record: &TaskStateRecord) -> Vec<u8> {
    let mut text = record.name.as_bytes().to_vec();
    if let Some(version) = &record.version {
        text.push(0);
        text.extend_from_slice(version.as_bytes());
    }
    text
}

/// The order of the first record of a lane, as the head row says.
pub(super) fn head_of<S: Source + ?Sized>(
    source: &S,
    queue: Word,
    lane: Word,
) -> Result<Option<Order>> {
    match source.get(&keys::lane_head(queue, lane))? {
        Some(bytes) => match Order::from_slice(&bytes) {
            Some(order) => Ok(Some(order)),
            // Damaged; its rows say it, too.
            None => first_in_lane(source, queue, lane),
        },
        None => Ok(None),
    }
}

/// The heads of a queue, in order.
pub(super) fn heads<S: Source + ?Sized>(
    source: &S,
    queue: Word,
    after: Option<(Order, Word)>,
    limit: usize,
) -> Result<Vec<Head>> {
    let all = keys::heads(queue);
    let from = match after {
        Some((order, lane)) => [keys::head(queue, order, lane).as_slice(), &[0]].concat(),
        None => all.clone(),
    };
    let rows = source.range(&from, &keys::after(&all), limit, false)?;
    let mut heads = Vec::with_capacity(rows.len());
    for (key, text) in &rows {
        let Some((order, lane)) = keys::split_head(key) else {
            continue;
        };
        let named = match names_in(text).filter(|(name, version)| {
            // What it says must be what the lane is called by.
            keys::lane_word(name, version.as_deref()) == lane
        }) {
            Some(named) => Some(named),
            None => names_of_first(source, queue, lane)?,
        };
        heads.extend(named.map(|(name, version)| Head {
            order,
            lane,
            name,
            version,
        }));
    }
    Ok(heads)
}

type Named = (Arc<str>, Option<Arc<str>>);

fn names_in(text: &[u8]) -> Option<Named> {
    let text = std::str::from_utf8(text).ok()?;
    Some(match text.split_once('\0') {
        Some((name, version)) => (Arc::from(name), Some(Arc::from(version))),
        None => (Arc::from(text), None),
    })
}

/// Name and version of the first record of a lane that can be read.
fn names_of_first<S: Source + ?Sized>(
    source: &S,
    queue: Word,
    lane: Word,
) -> Result<Option<Named>> {
    for ready in ready(source, queue, lane, None, LOOK_FOR_NAMES)? {
        if let Ok(Some(record)) = index::ready_record(source, &ready)
            && lane_of(&record) == lane
        {
            return Ok(Some((Arc::clone(&record.name), record.version.clone())));
        }
    }
    Ok(None)
}

/// The ready rows of a lane, in order.
pub(super) fn ready<S: Source + ?Sized>(
    source: &S,
    queue: Word,
    lane: Word,
    after: Option<Order>,
    limit: usize,
) -> Result<Vec<Ready>> {
    let all = keys::lane(queue, lane);
    let from = match after {
        Some(order) => [keys::ready(queue, lane, order).as_slice(), &[0]].concat(),
        None => all.clone(),
    };
    let rows = source.range(&from, &keys::after(&all), limit, false)?;
    let mut ready = Vec::with_capacity(rows.len());
    for (key, value) in &rows {
        if let Some(order) = keys::order(key) {
            // Without an id it leads nowhere but by its number, and whoever claims takes it out.
            let id = index::id_of(value).ok();
            ready.push(Ready { order, id });
        }
    }
    Ok(ready)
}

/// The order of the first record of a lane, as its rows say.
fn first_in_lane<S: Source + ?Sized>(source: &S, queue: Word, lane: Word) -> Result<Option<Order>> {
    let prefix = keys::lane(queue, lane);
    Ok(source
        .first(&prefix, &keys::after(&prefix))?
        .and_then(|(key, _)| keys::order(&key)))
}

/// Makes the head rows of a lane true again after rows were taken from it.
pub(super) fn refresh_head<T: Table + ?Sized>(
    table: &mut T,
    queue: Word,
    lane: Word,
) -> Result<()> {
    let Some(old) = head_of(table, queue, lane)? else {
        return Ok(());
    };
    let text = table
        .get(&keys::head(queue, old, lane))?
        .unwrap_or_default();
    let new = first_in_lane(table, queue, lane)?;
    set_head(table, queue, lane, Some(old), new, &text)
}

/// Moves the head rows of a lane from `old` to `new`.
fn set_head<T: Table + ?Sized>(
    table: &mut T,
    queue: Word,
    lane: Word,
    old: Option<Order>,
    new: Option<Order>,
    text: &[u8],
) -> Result<()> {
    if old == new {
        return Ok(());
    }
    if let Some(old) = old {
        table.delete(&keys::head(queue, old, lane))?;
    }
    match new {
        Some(new) => {
            table.put(keys::head(queue, new, lane), text.to_vec())?;
            table.put(keys::lane_head(queue, lane), new.bytes().to_vec())
        }
        None => table.delete(&keys::lane_head(queue, lane)),
    }
}
