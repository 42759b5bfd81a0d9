//! Durations in settings: `30s`, `5m`, `1h30m`, or a number of seconds.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

use super::scalar::Scalar;
use crate::schedule::{format_duration, parse_duration};

/// No setting is longer, so that adding one to an instant cannot overflow: 100 years.
const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);

/// The shortest lease that a worker can renew in time.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

/// The shortest pause between two looks at a store.
const SHORTEST_TICK: Duration = Duration::from_millis(1);

pub(super) fn serialize<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    format_duration(*duration).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    read(&Scalar::deserialize(deserializer)?, Duration::ZERO).map_err(D::Error::custom)
}

/// A lease, which must be long enough to be renewed.
pub(super) fn lease<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    read(&Scalar::deserialize(deserializer)?, SHORTEST_LEASE).map_err(D::Error::custom)
}

#[allow(
    clippy::ref_option,
    reason = "serde passes the field by reference to the function"
)]
pub(super) fn serialize_tick<S: Serializer>(
    tick: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    tick.map(format_duration).serialize(serializer)
}

/// The pause between two looks at a store, or nothing.
pub(super) fn deserialize_tick<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    match Scalar::deserialize(deserializer)? {
        Scalar::Nothing => Ok(None),
        scalar => read(&scalar, SHORTEST_TICK)
            .map(Some)
            .map_err(D::Error::custom),
    }
}

pub(super) fn read(scalar: &Scalar, shortest: Duration) -> Result<Duration, String> {
    let parsed = match scalar {
        // Digits alone are seconds; read as text they keep every decimal.
        Scalar::Text(text) if text.chars().all(|c| c.is_ascii_digit() || c == '.') => {
            parse_duration(&format!("{text}s")).ok()
        }
        Scalar::Text(text) => parse_duration(text).ok(),
        Scalar::Whole(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Scalar::Real(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
        Scalar::Flag(_) | Scalar::Nothing => None,
    };
    let Some(duration) = parsed else {
        return Err(
            "expected a duration such as 30s, 5m, 1h30m or 250ms, or a number of seconds"
                .to_owned(),
        );
    };
    if duration < shortest {
        return Err(format!("must be at least {}", format_duration(shortest)));
    }
    if duration > LONGEST {
        return Err(format!("must be at most {}", format_duration(LONGEST)));
    }
    Ok(duration)
}
