//! The cursor of a schedule, as stored: how far it was decided, and whether it is paused.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::payload::Payload;
use crate::timestamp::Timestamp;

/// The marks of cursors start so.
pub(crate) const CURSOR_MARK: &str = "cursor/";

/// Who stopped a schedule from firing, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// Who did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How far a schedule was decided. Stored as a list of its fields, in this order: there is one of each schedule, and it is
/// written with every slot. One that was stored with the names of its fields is read as well.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Cursor {
    /// The specification that the cursor belongs to.
    pub(crate) hash: u64,
    /// Where intervals count from.
    #[serde(deserialize_with = "micros")]
    pub(crate) anchor: Timestamp,
    /// The last slot that was decided, or the anchor.
    #[serde(deserialize_with = "micros")]
    pub(crate) last: Timestamp,
    /// Occurrences created.
    #[serde(default)]
    pub(crate) runs: u64,
    /// Slots skipped because the run before was unfinished. They become one decision when a slot runs again.
    #[serde(default)]
    pub(crate) overlapped: Option<Box<Overlapped>>,
    /// While it is set nothing fires.
    #[serde(default)]
    pub(crate) paused: Option<Box<Pause>>,
}

/// A range of slots that were skipped for one unfinished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Overlapped {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) count: u64,
    pub(crate) behind: String,
}

impl Overlapped {
    /// These slots, in order, behind that run.
    pub(crate) fn of(slots: &[Timestamp], behind: &str) -> Option<Self> {
        Some(Self {
            from: *slots.first()?,
            to: *slots.last()?,
            count: u64::try_from(slots.len()).unwrap_or(u64::MAX),
            behind: behind.to_owned(),
        })
    }
}

impl Cursor {
    pub(crate) fn first(hash: u64, now: Timestamp) -> Self {
        Self {
            hash,
            anchor: now,
            last: now,
            runs: 0,
            overlapped: None,
            paused: None,
        }
    }

    /// Whether the last slot that was decided was skipped for an unfinished run; with the id of that run.
    pub(crate) fn is_behind(&self) -> Option<&str> {
        let range = self.overlapped.as_ref()?;
        (range.to >= self.last).then_some(&*range.behind)
    }

    /// The same cursor for a clock that was set back by `step`: intervals go on where they were in elapsed time, other
    /// schedules find that they have decided nothing yet of the time that comes again.
    pub(crate) fn set_back(&self, step: Duration) -> Self {
        // The microsecond keeps the slots of intervals apart from those that had the same wall time before.
        let anchor = self.anchor.saturating_sub(step + Duration::from_micros(1));
        Self {
            anchor,
            last: self.last.saturating_sub(step),
            ..self.clone()
        }
    }

    pub(crate) fn key(name: &str) -> Arc<str> {
        Arc::from(format!("{CURSOR_MARK}{name}"))
    }

    pub(crate) fn payload(&self) -> Payload {
        // Numbers and text always have a JSON form.
        Payload::of(self).unwrap_or_default()
    }

    /// The cursor that a mark of this key holds; one that cannot be read counts as none and is replaced.
    pub(crate) fn read(key: &str, value: &Payload) -> Option<Self> {
        value
            .decode()
            .inspect_err(
                |error| tracing::warn!(mark = key, %error, "a cursor cannot be read; it starts anew"),
            )
            .ok()
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (anchor, last) = (self.anchor.as_micros(), self.last.as_micros());
        let (hash, runs) = (self.hash, self.runs);
        match (&self.overlapped, &self.paused) {
            (None, None) => (hash, anchor, last, runs).serialize(serializer),
            (Some(over), None) => (hash, anchor, last, runs, over).serialize(serializer),
            (over, Some(paused)) => (hash, anchor, last, runs, over, paused).serialize(serializer),
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
            let paused = Cursor {
                paused: Some(Box::new(Pause {
                    since: Timestamp::from_micros(9),
                    by: None,
                    reason: Some("why".to_owned()),
                })),
                ..cursor.clone()
            };
            assert_eq!(paused.payload().decode::<Cursor>().unwrap(), paused);
        }
        let named = Payload::parse(r#"{"hash":5,"anchor":-7,"last":8,"runs":3}"#).unwrap();
        let read: Cursor = named.decode().unwrap();
        assert_eq!((read.hash, read.last.as_micros(), read.runs), (5, 8, 3));
    }
}
