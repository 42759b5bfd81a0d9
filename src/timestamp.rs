//! [`Timestamp`]: an instant, in microseconds of UTC.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// An instant in UTC with a precision of one microsecond.
///
/// It is written and read as RFC 3339 (`2026-11-20T10:00:00Z`). Arithmetic saturates at the ends of the range
/// (the years -9999 to 9999) and never panics.
///
/// ```
/// use tlo::Timestamp;
/// let t: Timestamp = "2026-11-20T11:00:00+01:00".parse()?;
/// assert_eq!(t.to_string(), "2026-11-20T10:00:00Z");
/// assert!("2026-11-20T11:00:00".parse::<Timestamp>().is_err(), "an instant needs a zone or an offset");
/// # Ok::<(), tlo::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(0);
    /// The first instant that can be represented.
    pub const MIN: Self = Self(-377_705_023_201_000_000);
    /// The last instant that can be represented.
    pub const MAX: Self = Self(253_402_207_200_000_000);

    /// The instant this many microseconds after the epoch, clamped to the range.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Self(micros)
        }
    }

    /// The same instant without its fraction of a second.
    pub(crate) const fn whole_seconds(self) -> Self {
        Self::from_micros(self.0.div_euclid(1_000_000) * 1_000_000)
    }

    /// The instant this many seconds after the epoch.
    ///
    /// # Errors
    /// `Invalid` when the number is not finite or lies outside the range, with the number in the message.
    pub fn from_epoch_seconds(seconds: f64) -> Result<Self> {
        let micros = seconds * 1e6;
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
        if micros.is_finite() && micros >= Self::MIN.0 as f64 && micros <= Self::MAX.0 as f64 {
            Ok(Self(micros as i64))
        } else {
            Err(Error::invalid(
                "timestamp",
                format!(
                    "{seconds} seconds since 1970 is not an instant between the years -9999 and 9999"
                ),
            ))
        }
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This instant plus a duration; saturates.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(micros(duration)))
    }

    /// This instant minus a duration; saturates.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(micros(duration)))
    }

    /// The time from `earlier` to this instant, zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The same instant as `jiff` has it, for calendar arithmetic.
    pub(crate) fn to_jiff(self) -> jiff::Timestamp {
        // Both ends of our range are inside jiff's, so the fallback is never taken.
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }

    /// Adds it to a text, as it is displayed.
    pub(crate) fn write_to(self, text: &mut String) {
        static PRINTER: DateTimePrinter = DateTimePrinter::new();
        // Writing to a text never fails.
        let _ = PRINTER.print_timestamp(&self.to_jiff(), text);
    }

    /// The instant of a `jiff` timestamp, cut to microseconds.
    pub(crate) fn from_jiff(timestamp: jiff::Timestamp) -> Self {
        Self::from_micros(timestamp.as_microsecond())
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_jiff().fmt(f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse::<jiff::Timestamp>().map(Self::from_jiff).map_err(|source| {
            Error::invalid(
                "timestamp",
                format!("\"{text}\" is not an instant; write it as 2026-11-20T10:00:00Z or with an offset, +01:00"),
            )
            .with_source(source)
        })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_range_are_inside_the_calendar_library() {
        assert_eq!(Timestamp::from_jiff(jiff::Timestamp::MAX), Timestamp::MAX);
        assert_eq!(
            Timestamp::MAX.to_jiff().as_microsecond(),
            Timestamp::MAX.as_micros()
        );
        assert_eq!(
            Timestamp::MIN.to_jiff().as_microsecond(),
            Timestamp::MIN.as_micros()
        );
        assert_eq!(
            Timestamp::MAX.to_string().parse::<Timestamp>().ok(),
            Some(Timestamp::MAX)
        );
    }

    #[test]
    fn numbers_that_are_no_instant_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, 1e20, -1e20] {
            assert!(Timestamp::from_epoch_seconds(bad).is_err(), "{bad}");
        }
        assert_eq!(
            Timestamp::from_epoch_seconds(-1.5)
                .map(Timestamp::as_micros)
                .ok(),
            Some(-1_500_000)
        );
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.saturating_sub(Duration::MAX), Timestamp::MIN);
        assert_eq!(Timestamp::MIN.since(Timestamp::MAX), Duration::ZERO);
    }
}
