//! Identities: tasks, workers, lease tokens, and the rules every name follows.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind, Result};
use crate::timestamp::Timestamp;

/// The longest id or name, in bytes.
pub const NAME_LIMIT: usize = 255;

/// Checks an id or a name: 1 to 255 bytes of text without control characters.
///
/// # Errors
/// `Invalid` (or `TooLarge`), naming what it is for and the text.
pub fn check_name(what: &'static str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(
            "name",
            format!("{what} is empty; it needs 1 to {NAME_LIMIT} bytes of text"),
        ));
    }
    if name.len() > NAME_LIMIT {
        let start: String = name.chars().take(32).collect();
        let start = start.escape_debug();
        return Err(Error::new(
            ErrorKind::TooLarge,
            "name",
            format!(
                "{what} \"{start}…\" has {} bytes; the limit is {NAME_LIMIT}",
                name.len()
            ),
        ));
    }
    // Most names are ASCII, where a look at the bytes tells.
    // All of them, without an end at the first that is not: that is what the compiler does many at a time.
    let is_plain = name
        .bytes()
        .fold(true, |plain, byte| plain & (byte.wrapping_sub(b' ') < 0x5f));
    if !is_plain && let Some(control) = name.chars().find(|c| c.is_control()) {
        return Err(Error::invalid(
            "name",
            format!(
                "{what} {name:?} contains the control character {control:?}; use printable text"
            ),
        ));
    }
    Ok(())
}

/// A hash that is the same in every process and release (64-bit FNV-1a); for spreading and identity, never for secrets.
#[must_use]
pub fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text as an id.
            ///
            /// # Errors
            /// `Invalid` or `TooLarge` unless it has 1 to 255 bytes without control characters.
            pub fn new(text: impl AsRef<str>) -> Result<Self> {
                check_name($what, text.as_ref())?;
                Ok(Self(Arc::from(text.as_ref())))
            }

            /// An id that the library itself wrote down and that follows the rules.
            pub(crate) fn known(text: &'static str) -> Self {
                Self(Arc::from(text))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id! {
    /// The id of a task record: `tsk_` and a UUIDv7 when TLO makes it, any text of 1 to 255 bytes when you do.
    ///
    /// An occurrence of a recurring task has a derived id, `name@2026-11-20T10:00:00Z`, so creating it twice is harmless.
    TaskId, "a task id"
}

text_id! {
    /// One incarnation of a worker: a name and a part that is new at each start, so a restarted worker never
    /// looks like the holder of its predecessor's leases.
    WorkerId, "a worker id"
}

impl TaskId {
    /// The id of the occurrence of a schedule at a slot.
    ///
    /// # Errors
    /// `TooLarge` when the name leaves no room for the slot.
    pub fn occurrence(schedule: &str, slot: Timestamp) -> Result<Self> {
        let mut id = String::with_capacity(schedule.len() + "@2026-11-20T10:00:00.000001Z".len());
        id.push_str(schedule);
        id.push('@');
        slot.write_to(&mut id);
        Self::new(id)
    }
}

/// The secret half of a lease: who shows it, holds it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken([u64; 2]);

impl LeaseToken {
    /// A token of this value; stores that keep tokens as numbers make them again with it.
    #[must_use]
    pub const fn from_u128(value: u128) -> Self {
        // In halves: records with a 16-byte alignment would be slow to make room for.
        Self([(value >> 64) as u64, value as u64])
    }

    /// The token as a number.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        let [high, low] = self.0;
        (high as u128) << 64 | low as u128
    }
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}…", self.0[0] >> 32)
    }
}

impl Serialize for LeaseToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", self.as_u128()))
    }
}

impl<'de> Deserialize<'de> for LeaseToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16)
            .map(Self::from_u128)
            .map_err(serde::de::Error::custom)
    }
}

/// Where random ids, tokens and jitter come from. Seeded, it gives the same ones again.
#[derive(Debug)]
pub struct IdSource {
    state: Mutex<IdState>,
}

#[derive(Debug)]
struct IdState {
    random: fastrand::Rng,
    last: u128,
}

impl IdSource {
    /// A source seeded by the operating system.
    #[must_use]
    pub fn random() -> Self {
        Self {
            state: Mutex::new(IdState {
                random: fastrand::Rng::new(),
                last: 0,
            }),
        }
    }

    /// A source that repeats itself, for tests.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            state: Mutex::new(IdState {
                random: fastrand::Rng::with_seed(seed),
                last: 0,
            }),
        }
    }

    /// A new task id; ids of one source sort in the order they were made.
    #[must_use]
    pub fn task_id(&self, now: Timestamp) -> TaskId {
        let mut state = self.state.lock();
        let random = state.random.u128(..).to_be_bytes();
        let mut bytes = [0_u8; 10];
        bytes.copy_from_slice(&random[..10]);
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        let fresh = uuid::Builder::from_unix_timestamp_millis(millis, &bytes)
            .into_uuid()
            .as_u128();
        // Two ids of one millisecond, or a clock set back, continue from the last one.
        let value = if fresh > state.last {
            fresh
        } else {
            state.last.wrapping_add(1)
        };
        state.last = value;
        let mut text = [0_u8; 40];
        text[..4].copy_from_slice(b"tsk_");
        uuid::Uuid::from_u128(value)
            .hyphenated()
            .encode_lower(&mut text[4..]);
        TaskId(Arc::from(std::str::from_utf8(&text).unwrap_or("tsk_")))
    }

    /// A new lease token.
    #[must_use]
    pub fn token(&self) -> LeaseToken {
        LeaseToken::from_u128(self.state.lock().random.u128(..))
    }

    /// A number in `0.0..1.0`, for jitter.
    #[must_use]
    pub fn unit(&self) -> f64 {
        self.state.lock().random.f64()
    }

    /// A new incarnation of a named worker.
    ///
    /// # Errors
    /// `Invalid` or `TooLarge` when the name is not a valid name or leaves no room for the incarnation.
    pub fn worker_id(&self, name: &str) -> Result<WorkerId> {
        check_name("a worker name", name)?;
        WorkerId::new(format!("{name}#{:08x}", self.state.lock().random.u32(..)))
    }
}

impl Default for IdSource {
    fn default() -> Self {
        Self::random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_sort_in_the_order_they_were_made() {
        let ids = IdSource::seeded(7);
        let made: Vec<_> = (0..1_000)
            .map(|i| ids.task_id(Timestamp::from_micros(1_800_000_000_000_000 - i)))
            .collect();
        assert!(made.is_sorted() && made.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(made[0].as_str().starts_with("tsk_") && made[0].as_str().len() == 40);
    }

    #[test]
    fn names_are_checked() {
        assert!(check_name("a queue", "naïve 名前 {x}:%'").is_ok());
        for bad in ["", "a\0b", "a\nb", "\u{7f}"] {
            assert_eq!(
                check_name("a queue", bad).map_err(|e| e.kind()),
                Err(ErrorKind::Invalid),
                "{bad:?}"
            );
        }
        assert_eq!(
            check_name("a queue", &"x".repeat(256)).map_err(|e| e.kind()),
            Err(ErrorKind::TooLarge)
        );
    }

    #[test]
    fn the_stable_hash_is_stable() {
        assert_eq!(stable_hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(stable_hash(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
