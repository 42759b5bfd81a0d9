//! The cursor of a schedule, as stored.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::payload::Payload;
use crate::store::Mark;
use crate::timestamp::Timestamp;

/// The marks of cursors start so.
pub(super) const PREFIX: &str = "cursor/";

/// How far a schedule was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// The specification that the cursor belongs to.
    pub(super) hash: u64,
    /// Where intervals count from.
    #[serde(with = "micros")]
    pub(super) anchor: Timestamp,
    /// The last slot that was decided, or the anchor.
    #[serde(with = "micros")]
    pub(super) last: Timestamp,
    /// Occurrences created.
    #[serde(default)]
    pub(super) runs: u64,
    /// Slots skipped because the run before was unfinished. They become one decision when a slot runs again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) overlapped: Option<Box<Overlapped>>,
}

/// A range of slots that were skipped for one unfinished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Overlapped {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) count: u64,
    pub(super) behind: String,
}

impl Overlapped {
    /// These slots, in order, behind that run.
    pub(super) fn of(slots: &[Timestamp], behind: &str) -> Option<Self> {
        Some(Self {
            from: *slots.first()?,
            to: *slots.last()?,
            count: u64::try_from(slots.len()).unwrap_or(u64::MAX),
            behind: behind.to_owned(),
        })
    }
}

impl Cursor {
    pub(super) fn first(hash: u64, now: Timestamp) -> Self {
        Self {
            hash,
            anchor: now,
            last: now,
            runs: 0,
            overlapped: None,
        }
    }

    /// Whether the last slot that was decided was skipped for an unfinished run; with the id of that run.
    pub(super) fn is_behind(&self) -> Option<&str> {
        let range = self.overlapped.as_ref()?;
        (range.to >= self.last).then_some(&*range.behind)
    }

    /// The same cursor for a clock that was set back by `step`: intervals go on where they were in elapsed time, other
    /// schedules find that they have decided nothing yet of the time that comes again.
    pub(super) fn set_back(&self, step: Duration) -> Self {
        // The microsecond keeps the slots of intervals apart from those that had the same wall time before.
        let anchor = self.anchor.saturating_sub(step + Duration::from_micros(1));
        Self {
            anchor,
            last: self.last.saturating_sub(step),
            ..self.clone()
        }
    }

    pub(super) fn key(name: &str) -> Arc<str> {
        Arc::from(format!("{PREFIX}{name}"))
    }

    pub(super) fn payload(&self) -> Payload {
        // Numbers and text always have a JSON form.
        Payload::of(self).unwrap_or_default()
    }

    /// The cursor of a mark; one that cannot be read counts as none and is replaced.
    pub(super) fn read(mark: &Mark) -> Option<Self> {
        mark.value
            .decode()
            .inspect_err(|error| tracing::warn!(mark = &*mark.key, %error, "a cursor cannot be read; it starts anew"))
            .ok()
    }
}

mod micros {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::timestamp::Timestamp;

    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature is serde's"
    )]
    pub(super) fn serialize<S: Serializer>(
        at: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.as_micros())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        i64::deserialize(deserializer).map(Timestamp::from_micros)
    }
}
