//! Booleans, counts and sizes as people write them.

use serde::de::{Deserialize, Deserializer, Error};

use super::scalar::Scalar;
use crate::id::{NAME_LIMIT, check_name};
use crate::payload::PAYLOAD_LIMIT;

/// The most tasks that one process may run at once.
const CONCURRENCY_LIMIT: i128 = 1_000_000;

/// The incarnation that a worker's id adds to its name, `#` and 8 digits.
const INCARNATION: usize = 9;

/// `true` or `false`, also as `1`, `yes`, `on`, `0`, `no`, `off` in any case.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Scalar::deserialize(deserializer)? {
        Scalar::Flag(flag) => return Ok(flag),
        Scalar::Whole(0) => return Ok(false),
        Scalar::Whole(1) => return Ok(true),
        Scalar::Text(text) => match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => return Ok(true),
            "0" | "false" | "no" | "off" => return Ok(false),
            _ => {}
        },
        _ => {}
    }
    Err(D::Error::custom(
        "expected true or false (or 1, yes, on, 0, no, off)",
    ))
}

pub(super) fn whole(scalar: &Scalar) -> Option<i128> {
    match scalar {
        Scalar::Whole(number) => Some(*number),
        Scalar::Text(text) => text.parse().ok(),
        _ => None,
    }
}

pub(super) fn concurrency<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    whole(&Scalar::deserialize(deserializer)?)
        .filter(|number| (1..=CONCURRENCY_LIMIT).contains(number))
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| {
            D::Error::custom(format_args!(
                "expected a whole number from 1 to {CONCURRENCY_LIMIT}"
            ))
        })
}

/// The most tasks that one process may lease beyond those that it runs.
const PREFETCH_LIMIT: i128 = 1_000;

pub(super) fn prefetch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    whole(&Scalar::deserialize(deserializer)?)
        .filter(|number| (0..=PREFETCH_LIMIT).contains(number))
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| {
            D::Error::custom(format_args!(
                "expected a whole number from 0 to {PREFETCH_LIMIT}"
            ))
        })
}

/// The name of a worker, which must leave room for the incarnation that its id adds.
pub(super) fn worker_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = super::scalar::text(deserializer, "text")?;
    check_name("a worker name", &name).map_err(D::Error::custom)?;
    if name.len() > NAME_LIMIT - INCARNATION {
        return Err(D::Error::custom(format_args!(
            "has {} bytes; the limit of a worker name is {}",
            name.len(),
            NAME_LIMIT - INCARNATION
        )));
    }
    Ok(name)
}

/// The size of a payload: a number of bytes, or `512KiB`, `1 MiB`; no more than stores keep.
pub(super) fn payload_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let scalar = Scalar::deserialize(deserializer)?;
    let number = match &scalar {
        Scalar::Text(text) => parse_bytes(text),
        other => whole(other),
    };
    number
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|bytes| (1..=PAYLOAD_LIMIT).contains(bytes))
        .ok_or_else(|| {
            D::Error::custom(
                "expected a size from 1 byte to 1MiB, the most that stores keep: a number of bytes, or 512KiB",
            )
        })
}

fn parse_bytes(text: &str) -> Option<i128> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<i128>().ok()?.checked_mul(unit)
}
