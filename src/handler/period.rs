//! [`IntoPeriod`] and [`IntoInstant`]: how durations and instants may be written in a definition.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::schedule::parse_duration;
use crate::timestamp::Timestamp;

/// A duration: a `Duration`, text such as `"5m"`, or a number of seconds.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a duration",
    label = "use a `Duration`, text such as \"5m\", or a number of seconds"
)]
pub trait IntoPeriod {
    /// The duration.
    ///
    /// # Errors
    /// `Invalid`, naming the input, when it is negative, not finite, or not readable.
    fn into_period(self) -> Result<Duration>;
}

impl IntoPeriod for Duration {
    fn into_period(self) -> Result<Duration> {
        Ok(self)
    }
}

impl IntoPeriod for &str {
    fn into_period(self) -> Result<Duration> {
        parse_duration(self)
    }
}

impl IntoPeriod for String {
    fn into_period(self) -> Result<Duration> {
        parse_duration(&self)
    }
}

macro_rules! whole_seconds {
    ($($number:ty),*) => {$(
        impl IntoPeriod for $number {
            fn into_period(self) -> Result<Duration> {
                u64::try_from(self).map(Duration::from_secs).map_err(|_| {
                    Error::invalid("duration", format!("{self} seconds is not a duration: it is negative"))
                })
            }
        }
    )*};
}

whole_seconds!(i32, i64, u32, u64, usize);

impl IntoPeriod for f64 {
    fn into_period(self) -> Result<Duration> {
        Duration::try_from_secs_f64(self).map_err(|source| {
            Error::invalid(
                "duration",
                format!("{self} seconds is not a duration: it must be 0 or more, and finite"),
            )
            .with_source(source)
        })
    }
}

/// An instant: a [`Timestamp`], or text such as `"2026-11-20T10:00:00Z"`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an instant",
    label = "use a `Timestamp`, or text such as \"2026-11-20T10:00:00Z\""
)]
pub trait IntoInstant {
    /// The instant.
    ///
    /// # Errors
    /// `Invalid`, quoting text that is not readable or has no offset.
    fn into_instant(self) -> Result<Timestamp>;
}

impl IntoInstant for Timestamp {
    fn into_instant(self) -> Result<Timestamp> {
        Ok(self)
    }
}

impl IntoInstant for &str {
    fn into_instant(self) -> Result<Timestamp> {
        self.parse()
    }
}
