//! The cursor of a schedule, as stored.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::payload::Payload;
use crate::store::Mark;
use crate::timestamp::Timestamp;

/// The marks of cursors start so.
pub(super) const PREFIX: &str = "cursor/";

/// How far a schedule was decided. Stored as a list of its fields, in this order: there is one of each schedule, and it is
/// written with every slot. One that was stored with the names of its fields is read as well.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Cursor {
    /// The specification that the cursor belongs to.
    pub(super) hash: u64,
    /// Where intervals count from.
    #[serde(deserialize_with = "micros")]
    pub(super) anchor: Timestamp,
    /// The last slot that was decided, or the anchor.
    #[serde(deserialize_with = "micros")]
    pub(super) last: Timestamp,
    /// Occurrences created.
    #[serde(default)]
    pub(super) runs: u64,
    /// Slots skipped because the run before was unfinished. They become one decision when a slot runs again.
    #[serde(default)]
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

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (anchor, last) = (self.anchor.as_micros(), self.last.as_micros());
        match &self.overlapped {
            None => (self.hash, anchor, last, self.runs).serialize(serializer),
            Some(over) => (self.hash, anchor, last, self.runs, over).serialize(serializer),
        }
    }
}

fn micros<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    i64::deserialize(deserializer).map(Timestamp::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_as_it_was_written_before() {
        let mut cursor = Cursor::first(u64::MAX, Timestamp::from_micros(-7));
        cursor.runs = 3;
        for overlapped in [
            None,
            Overlapped::of(&[Timestamp::MIN, Timestamp::MAX], "a@b"),
        ] {
            cursor.overlapped = overlapped.map(Box::new);
            assert_eq!(cursor.payload().decode::<Cursor>().unwrap(), cursor);
        }
        let named = Payload::parse(r#"{"hash":5,"anchor":-7,"last":8,"runs":3}"#).unwrap();
        let read: Cursor = named.decode().unwrap();
        assert_eq!((read.hash, read.last.as_micros(), read.runs), (5, 8, 3));
    }
}
