//! What a store holds beside records and marks.

use std::sync::Arc;

use super::event::StreamId;
use crate::id::TaskId;
use crate::timestamp::Timestamp;

/// Something that a store holds beside records and marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    /// A stream of events.
    Stream(StreamExtent),
    /// A unique key that is owned.
    Key(KeyOwner),
}

/// A stream, and which events of it are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamExtent {
    /// The stream.
    pub stream: StreamId,
    /// The number of the first event that was not trimmed, from 1.
    pub first: u64,
    /// How many events were ever appended.
    pub length: u64,
}

/// Who owns a unique key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOwner {
    /// The key.
    pub key: Arc<str>,
    /// The task that owns it; it may have been deleted.
    pub owner: TaskId,
    /// When it is given up by itself, by the clock of the store.
    pub until: Option<Timestamp>,
}

/// Some of what a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Such a part of it, in an order of the store's own.
    pub items: Vec<Holding>,
    /// Where to go on, for the store that said it; `None` at the end. A page may be empty and not the last.
    pub next: Option<String>,
}
