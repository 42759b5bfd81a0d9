//! Idempotency keys.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::schedule::duration_text;
use crate::timestamp::Timestamp;

/// A key that at most one task may own at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unique {
    /// The key, 1 to 255 bytes.
    pub key: Arc<str>,
    /// How long the task owns it.
    pub scope: UniqueScope,
    /// For [`UniqueScope::For`]: when it is given up. Set by the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// How long a task owns its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniqueScope {
    /// Until a worker claims it.
    WhileQueued,
    /// Until it has ended.
    #[default]
    WhileUnfinished,
    /// For a time from its creation, ended or not.
    For(#[serde(with = "duration_text")] Duration),
    /// For ever, also after the record was deleted.
    Forever,
}

/// What a submit does when another task owns the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// Gives the id of the owner and changes nothing.
    #[default]
    Existing,
    /// Refuses with a conflict that names the owner.
    Fail,
    /// Puts the new args, the gates that follow from them, priority, due time and expiry into the owner while it waits;
    /// else like `Existing`.
    Replace,
    /// As `Replace`, but makes the owner due this long from now.
    Debounce(Duration),
}
