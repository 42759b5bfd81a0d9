//! Durations as people write them: `250ms`, `5m`, `1h30m`.

use std::time::Duration;

use crate::error::{Error, Result};

const UNITS: [(&str, u64); 7] = [
    ("us", 1),
    ("µs", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Reads a duration such as `90s`, `1h30m`, `1.5h`, `250ms`, `2d`; a bare number is seconds.
///
/// # Errors
/// `Invalid`, quoting the text, when it is not a duration or too long to represent (about 584,000 years).
pub fn parse_span(text: &str) -> Result<Duration> {
    let bad = |why: &str| {
        Err(Error::invalid(
            "duration",
            format!("\"{text}\" is not a duration: {why}; write 250ms, 90s, 5m, 1h30m or 2d"),
        ))
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return bad("it is empty");
    }
    if rest.starts_with('-') {
        return bad("it is negative");
    }
    let mut total = Duration::ZERO;
    let bare = rest.chars().all(|c| c.is_ascii_digit() || c == '.');
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let Ok(number) = rest[..digits].parse::<f64>() else {
            return bad("a number is missing");
        };
        rest = rest[digits..].trim_start();
        let letters = rest
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(rest.len());
        let unit = if bare {
            "s"
        } else {
            unit_name(&rest[..letters])
        };
        let Some((_, micros)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return bad(&format!("\"{}\" is no unit", &rest[..letters]));
        };
        rest = rest[letters..].trim_start();
        #[allow(clippy::cast_precision_loss)]
        let Ok(part) = Duration::try_from_secs_f64(number * (*micros as f64) / 1e6) else {
            return bad("it is too long");
        };
        let Some(sum) = total.checked_add(part) else {
            return bad("it is too long");
        };
        total = sum;
    }
    if total.as_micros() > u128::from(u64::MAX) {
        return bad("it is too long");
    }
    // Floats may leave a few nanoseconds of error; microseconds are what every store keeps.
    Ok(Duration::from_micros(
        u64::try_from((total.as_nanos() + 500) / 1_000).unwrap_or(u64::MAX),
    ))
}

fn unit_name(word: &str) -> &str {
    match word {
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        other => other,
    }
}

/// Writes a duration as [`parse_span`] reads it, exactly: `1h30m`, `1m0.5s` is `1m500ms`.
#[must_use]
pub fn format_span(duration: Duration) -> String {
    let mut micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if micros == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, size) in [
        ("d", UNITS[6].1),
        ("h", UNITS[5].1),
        ("m", UNITS[4].1),
        ("s", UNITS[3].1),
        ("ms", 1_000),
        ("us", 1),
    ] {
        if micros >= size {
            text.push_str(&(micros / size).to_string());
            text.push_str(name);
            micros %= size;
        }
    }
    text
}

/// `#[serde(with = "span_text")]`: a duration as text.
pub mod span_text {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the text.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format_span(*duration))
    }

    /// Reads text, or a number of seconds.
    ///
    /// # Errors
    /// When the value is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        super::SpanText::deserialize(deserializer)?
            .read()
            .map_err(serde::de::Error::custom)
    }
}

/// `#[serde(with = "span_text_option")]`: the same for a duration that may be absent.
pub mod span_text_option {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the text or nothing.
    ///
    /// # Errors
    /// Those of the serializer.
    #[allow(clippy::ref_option, reason = "the signature is serde's")]
    pub fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::span_text::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads text, a number of seconds, or nothing.
    ///
    /// # Errors
    /// When the value is none of them.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<super::SpanText>::deserialize(deserializer)?
            .map(|text| text.read().map_err(serde::de::Error::custom))
            .transpose()
    }
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum SpanText {
    Text(String),
    Whole(u64),
    Seconds(f64),
}

impl SpanText {
    fn read(self) -> Result<Duration> {
        match self {
            Self::Text(text) => parse_span(&text),
            Self::Whole(seconds) => parse_span(&seconds.to_string()),
            Self::Seconds(seconds) => Duration::try_from_secs_f64(seconds).map_err(|source| {
                Error::invalid("duration", format!("{seconds} seconds is not a duration"))
                    .with_source(source)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, micros) in [
            ("250ms", 250_000),
            ("90s", 90_000_000),
            ("90", 90_000_000),
            ("0.05", 50_000),
            ("1h30m", 5_400_000_000),
            ("1h 30min", 5_400_000_000),
            ("1.5h", 5_400_000_000),
            ("2d", 172_800_000_000),
            ("7us", 7),
            ("0s", 0),
        ] {
            let read = parse_span(text).unwrap();
            assert_eq!(read, Duration::from_micros(micros), "{text}");
            assert_eq!(parse_span(&format_span(read)).unwrap(), read, "{text}");
        }
        for bad in [
            "",
            "-1s",
            "5x",
            "s",
            "1h30",
            "ten minutes",
            "1..5s",
            "99999999999999d",
        ] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }
}
