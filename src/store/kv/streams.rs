//! Streams of events.

use super::keys;
use super::table::{Source, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Event, NewEvent, StreamExtent, StreamId};

/// First kept and next number of a stream.
#[derive(Clone, Copy)]
struct Extent {
    first: u64,
    next: u64,
}

fn extent(table: &dyn Source, stream: &StreamId) -> Result<Extent> {
    Ok(table
        .get(&keys::stream(stream))?
        .and_then(|bytes| read_extent(&bytes))
        .unwrap_or(Extent { first: 1, next: 1 }))
}

fn read_extent(bytes: &[u8]) -> Option<Extent> {
    let (first, next) = bytes.split_first_chunk::<8>()?;
    Some(Extent {
        first: u64::from_be_bytes(*first),
        next: u64::from_be_bytes(*next.first_chunk()?),
    })
}

fn put_extent(table: &mut dyn Table, stream: &StreamId, extent: Extent) -> Result<()> {
    let mut value = extent.first.to_be_bytes().to_vec();
    value.extend_from_slice(&extent.next.to_be_bytes());
    // The owner follows, so that all streams of an owner can be found and told from those of a hash twin.
    value.extend_from_slice(stream.owner.as_bytes());
    table.put(keys::stream(stream), value)
}

/// How many events were ever appended.
pub(super) fn length(table: &dyn Source, stream: &StreamId) -> Result<u64> {
    Ok(extent(table, stream)?.next - 1)
}

/// Appends events; one whose key is there already answers with the number it has.
pub(super) fn append(
    table: &mut dyn Table,
    stream: &StreamId,
    events: &[NewEvent],
) -> Result<Vec<u64>> {
    let mut extent = extent(table, stream)?;
    let mut numbers = Vec::with_capacity(events.len());
    for new in events {
        if let Some(key) = &new.key
            && let Some(number) = table
                .get(&keys::event_key(stream, key))?
                .and_then(|bytes| bytes.try_into().ok())
                .map(u64::from_be_bytes)
        {
            numbers.push(number);
            continue;
        }
        let number = extent.next;
        let event = Event {
            number,
            at: table.moment().now,
            kind: new.kind.clone(),
            key: new.key.clone(),
            data: new.data.clone(),
        };
        write(table, stream, &event)?;
        extent.next += 1;
        numbers.push(number);
    }
    put_extent(table, stream, extent)?;
    Ok(numbers)
}

fn encode(event: &Event) -> Result<Vec<u8>> {
    serde_json::to_vec(event).map_err(|source| {
        Error::new(
            ErrorKind::Internal,
            "append event",
            "an event has no JSON form",
        )
        .with_source(source)
    })
}

fn write(table: &mut dyn Table, stream: &StreamId, event: &Event) -> Result<()> {
    table.put(keys::event(stream, event.number), encode(event)?)?;
    match &event.key {
        Some(key) => table.put(
            keys::event_key(stream, key),
            event.number.to_be_bytes().to_vec(),
        ),
        None => Ok(()),
    }
}

/// Puts events in as another store had them; answers how many were ever appended when they do not fit what is there.
pub(super) fn import(
    table: &mut dyn Table,
    stream: &StreamId,
    first: u64,
    events: &[Event],
) -> Result<std::result::Result<Vec<u64>, u64>> {
    let stored = table.get(&keys::stream(stream))?;
    let mut extent = stored
        .and_then(|bytes| read_extent(&bytes))
        .unwrap_or(Extent { first, next: first });
    for event in events {
        if event.number == extent.next {
            write(table, stream, event)?;
            extent.next += 1;
        } else if table.get(&keys::event(stream, event.number))? != Some(encode(event)?) {
            return Ok(Err(extent.next - 1));
        }
    }
    put_extent(table, stream, extent)?;
    Ok(Ok(events.iter().map(|event| event.number).collect()))
}

/// A stream as its row says it.
pub(super) fn of_row(key: &[u8], value: &[u8]) -> Option<StreamExtent> {
    let extent = read_extent(value)?;
    let owner = std::str::from_utf8(value.get(16..)?).ok()?;
    let name = key.get(keys::streams(owner).len()..)?;
    Some(StreamExtent {
        stream: StreamId {
            owner: owner.to_owned(),
            name: std::str::from_utf8(name).ok()?.to_owned(),
        },
        first: extent.first,
        length: extent.next - 1,
    })
}

/// Events from a number on.
pub(super) fn read(
    table: &dyn Source,
    stream: &StreamId,
    from: u64,
    limit: usize,
) -> Result<Vec<Event>> {
    let extent = extent(table, stream)?;
    let from = from.max(extent.first);
    if from >= extent.next {
        return Ok(Vec::new());
    }
    let rows = table.range(
        &keys::event(stream, from),
        &keys::event(stream, extent.next),
        limit,
        false,
    )?;
    rows.iter()
        .map(|(_, value)| {
            serde_json::from_slice(value).map_err(|source| {
                Error::new(
                    ErrorKind::Corrupt,
                    "read event",
                    format!("an event of \"{stream}\" cannot be read"),
                )
                .with_source(source)
            })
        })
        .collect()
}

/// Removes the events before a number; the numbers of the others stay.
pub(super) fn trim(table: &mut dyn Table, stream: &StreamId, before: u64) -> Result<()> {
    let mut extent = extent(table, stream)?;
    let before = before.min(extent.next);
    if before <= extent.first {
        return Ok(());
    }
    let rows = table.range(
        &keys::event(stream, extent.first),
        &keys::event(stream, before),
        usize::MAX,
        false,
    )?;
    for (row, value) in rows {
        // One that cannot be read goes like the others: it must not keep its record from being removed.
        if let Ok(Event { key: Some(key), .. }) = serde_json::from_slice(&value) {
            table.delete(&keys::event_key(stream, &key))?;
        }
        table.delete(&row)?;
    }
    extent.first = before;
    put_extent(table, stream, extent)
}

/// Removes all streams of an owner.
pub(super) fn remove_all(table: &mut dyn Table, owner: &str) -> Result<()> {
    let prefix = keys::streams(owner);
    for (row, value) in table.range(&prefix, &keys::after(&prefix), usize::MAX, false)? {
        let name =
            String::from_utf8_lossy(row.get(prefix.len()..).unwrap_or_default()).into_owned();
        if value.get(16..) != Some(owner.as_bytes()) {
            continue;
        }
        let stream = StreamId {
            owner: owner.to_owned(),
            name,
        };
        trim(table, &stream, u64::MAX)?;
        table.delete(&row)?;
    }
    Ok(())
}
