//! Streams of events.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::id::check_name;
use crate::payload::Payload;
use crate::timestamp::Timestamp;

/// Names a stream: who it belongs to and what it is. Streams of a task go when the task is deleted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// A task id, a schedule name, or `sys`.
    pub owner: String,
    /// Such as `history`, `log/1`, `decisions` or `audit`.
    pub name: String,
}

impl StreamId {
    /// A stream of an owner.
    ///
    /// # Errors
    /// `Invalid` or `TooLarge` when a part is not a valid name.
    pub fn new(owner: impl Into<String>, name: impl Into<String>) -> Result<Self> {
        let stream = Self {
            owner: owner.into(),
            name: name.into(),
        };
        check_name("the owner of a stream", &stream.owner)?;
        check_name("a stream", &stream.name)?;
        Ok(stream)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.owner, self.name)
    }
}

/// An event to append.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// What happened, in a word.
    pub kind: String,
    /// Appending the same key to the same stream again does nothing.
    pub key: Option<String>,
    /// The rest.
    pub data: Payload,
}

/// An event as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number in the stream, from 1, without gaps.
    pub number: u64,
    /// When the store appended it.
    pub at: Timestamp,
    /// What happened.
    pub kind: String,
    /// Its key, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The rest.
    pub data: Payload,
}
