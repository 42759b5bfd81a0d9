//! Durations as people write them: `5m`, `1h30m`, `250ms`, `1d`.

use std::fmt::Write as _;
use std::time::Duration;

use crate::error::{Error, Result};

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Reads a duration such as `5m`, `1h30m`, `250ms`, `1.5h`, `1d`, `2 weeks` or `1 hour 30 minutes`.
///
/// Units: `ns`, `us`, `ms`, `s`, `m`, `h`, `d` (24 hours) and `w` (7 days), and their English names. Months and years
/// have no fixed length and are refused, as is a number without a unit.
///
/// # Errors
/// `Invalid`, quoting the text and the faulty part.
pub fn parse_duration(text: &str) -> Result<Duration> {
    let fault = |why: String| {
        Error::invalid(
            "duration",
            format!("\"{text}\" is not a duration: {why}; write it as 30s, 5m, 1h30m, 250ms or 1d"),
        )
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(fault("it is empty".to_owned()));
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        if rest.starts_with('-') {
            return Err(fault("no time is negative".to_owned()));
        }
        if number.is_empty() {
            return Err(fault(format!("\"{rest}\" does not start with a number")));
        }
        let tail = tail.trim_start();
        let letters = tail
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit = unit_nanos(unit)
            .map_err(|why| fault(why.unwrap_or_else(|| format!("{number} has no unit"))))?;
        nanos = scaled(number, unit)
            .and_then(|part| nanos.checked_add(part))
            .ok_or_else(|| fault(format!("\"{number}\" is not a number, or too large a one")))?;
        rest = tail.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    }
    let seconds =
        u64::try_from(nanos / NANOS_PER_SECOND).map_err(|_| fault("it is too long".to_owned()))?;
    let fraction = u32::try_from(nanos % NANOS_PER_SECOND).unwrap_or(0);
    Ok(Duration::new(seconds, fraction))
}

/// The length of a unit; `None` as error is a unit that is missing.
fn unit_nanos(unit: &str) -> std::result::Result<u128, Option<String>> {
    const SECOND: u128 = NANOS_PER_SECOND;
    Ok(match unit.to_ascii_lowercase().as_str() {
        "ns" | "nanosecond" | "nanoseconds" => 1,
        "us" | "µs" | "μs" | "microsecond" | "microseconds" => 1_000,
        "ms" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * SECOND,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600 * SECOND,
        "d" | "day" | "days" => 86_400 * SECOND,
        "w" | "week" | "weeks" => 604_800 * SECOND,
        "" => return Err(None),
        "month" | "months" | "y" | "year" | "years" => {
            let why = "months and years have no fixed length (use days, or a cron expression)";
            return Err(Some(why.to_owned()));
        }
        _ => return Err(Some(format!("\"{unit}\" is not a unit"))),
    })
}

/// A decimal number of units in nanoseconds, computed without floating point so that every text has one value.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() {
        0
    } else {
        whole.parse::<u64>().ok()?
    };
    let mut nanos = u128::from(whole).checked_mul(unit)?;
    if !fraction.is_empty() {
        if fraction.len() > 15 || fraction.contains('.') {
            return None;
        }
        let parts = u128::from(fraction.parse::<u64>().ok()?);
        let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
        nanos = nanos.checked_add(parts.checked_mul(unit)? / scale)?;
    }
    Some(nanos)
}

/// Writes a duration so that [`parse_duration`] reads the same one: `1h30m`, `250ms`, `1d`, `0s`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut text = String::new();
    let seconds = duration.as_secs();
    let nanos = u64::from(duration.subsec_nanos());
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (nanos / 1_000_000, "ms"),
        (nanos / 1_000 % 1_000, "us"),
        (nanos % 1_000, "ns"),
    ];
    for (count, unit) in parts {
        if count > 0 {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{count}{unit}");
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// A `Duration` field as text in serialized form: `#[serde(with = "duration_text")]`.
pub mod duration_text {
    use std::borrow::Cow;
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the duration as [`format_duration`](super::format_duration) does.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format_duration(*duration))
    }

    /// Reads the duration as [`parse_duration`](super::parse_duration) does.
    ///
    /// # Errors
    /// Those of the deserializer, and text that is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        super::parse_duration(&text).map_err(serde::de::Error::custom)
    }
}

/// Writes a duration for people, rounded down to what matters: `340us`, `9ms`, `3.2s`, `1m05s`, `2h30m`, `3d04h`.
///
/// ```
/// use std::time::Duration;
/// use tlo::schedule::short_duration;
/// assert_eq!(short_duration(Duration::from_micros(9_569)), "9ms");
/// assert_eq!(short_duration(Duration::from_millis(3_210)), "3.2s");
/// assert_eq!(short_duration(Duration::from_secs(65)), "1m05s");
/// ```
#[must_use]
pub fn short_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.is_zero() => "0s".to_owned(),
        0 if duration.as_micros() < 1_000 => format!("{}us", duration.as_micros()),
        0 => format!("{}ms", duration.as_millis()),
        1..60 => match duration.subsec_millis() / 100 {
            0 => format!("{seconds}s"),
            tenths => format!("{seconds}.{tenths}s"),
        },
        60..3_600 => two_units(seconds, 60, 1, ["m", "s"]),
        3_600..86_400 => two_units(seconds, 3_600, 60, ["h", "m"]),
        _ => two_units(seconds, 86_400, 3_600, ["d", "h"]),
    }
}

fn two_units(seconds: u64, large: u64, small: u64, [first, second]: [&str; 2]) -> String {
    match seconds % large / small {
        0 => format!("{}{first}", seconds / large),
        rest => format!("{}{first}{rest:02}{second}", seconds / large),
    }
}

/// An `Option<Duration>` field as text: `#[serde(default, with = "optional_duration_text")]`.
pub mod optional_duration_text {
    use std::borrow::Cow;
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the duration as text, or null.
    ///
    /// # Errors
    /// Those of the serializer.
    #[allow(
        clippy::ref_option,
        reason = "serde passes the field by reference to the function"
    )]
    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_str(&super::format_duration(*duration)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the duration from text, or null.
    ///
    /// # Errors
    /// Those of the deserializer, and text that is no duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<Cow<'de, str>>::deserialize(deserializer)?
            .map(|text| super::parse_duration(&text).map_err(serde::de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_durations_in_many_ways() {
        for (text, millis) in [
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("250ms", 250),
            ("1d", 86_400_000),
            ("1.5h", 5_400_000),
            ("0.25s", 250),
            ("2 weeks", 1_209_600_000),
            ("1 hour, 30 minutes", 5_400_000),
            (" 10 SEC ", 10_000),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_duration(text).unwrap(),
                Duration::from_millis(millis),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_text() {
        for text in [
            "",
            " ",
            "5",
            "m",
            "5x",
            "-5m",
            "5m-",
            "1..5h",
            ".s",
            "1 month",
            "99999999999999999999w",
            "18446744073709551615w",
        ] {
            let error = parse_duration(text).unwrap_err().to_string();
            assert!(error.contains(&format!("\"{text}\"")), "{error}");
        }
    }

    #[test]
    fn short_forms_are_short() {
        for (micros, text) in [
            (0, "0s"),
            (340, "340us"),
            (999_999, "999ms"),
            (1_000_000, "1s"),
            (59_999_999, "59.9s"),
            (60_000_000, "1m"),
            (65_900_000, "1m05s"),
            (9_000_000_000, "2h30m"),
            (86_400_000_000, "1d"),
            (273_600_000_000, "3d04h"),
        ] {
            assert_eq!(short_duration(Duration::from_micros(micros)), text);
        }
        assert!(short_duration(Duration::MAX).len() <= 20);
    }

    #[test]
    fn formatting_and_parsing_are_inverse() {
        for duration in [
            Duration::ZERO,
            Duration::from_nanos(1),
            Duration::from_micros(1_001),
            Duration::from_millis(90_061_001),
            Duration::MAX,
        ] {
            let text = format_duration(duration);
            assert_eq!(parse_duration(&text).unwrap(), duration, "{text}");
        }
    }
}
