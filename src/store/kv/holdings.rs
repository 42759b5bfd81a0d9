//! What there is beside records and marks.

use super::table::Source;
use super::{keys, streams};
use crate::error::{Error, Result};
use crate::store::{Holding, Holdings, KeyOwner};

/// Where a page ends that comes before all keys.
const STREAMS_DONE: &str = "k";

/// A page of streams, and after them keys. A page goes on behind `e` and the row of a stream as hexadecimal digits, or
/// behind `k` and a key.
pub(crate) fn holdings(source: &dyn Source, after: Option<&str>, limit: usize) -> Result<Holdings> {
    let limit = limit.max(1);
    match after {
        None => streams(source, None, limit),
        Some(after) => match after.split_at_checked(1) {
            Some(("e", row)) => streams(source, Some(row), limit),
            Some(("k", "")) => owners(source, None, limit),
            Some(("k", key)) => owners(source, Some(key), limit),
            _ => Err(unknown(after)),
        },
    }
}

pub(crate) fn unknown(after: &str) -> Error {
    Error::invalid(
        "read holdings",
        format!("\"{after}\" is no place to go on from"),
    )
}

fn streams(source: &dyn Source, after: Option<&str>, limit: usize) -> Result<Holdings> {
    let from = match after {
        None => keys::STREAMS.to_vec(),
        Some(row) => {
            let mut from = bytes(row).ok_or_else(|| unknown(row))?;
            from.push(0);
            from
        }
    };
    let rows = source.range(&from, &keys::after(keys::STREAMS), limit, false)?;
    let next = match rows.last() {
        Some((last, _)) if rows.len() == limit => format!("e{}", digits(last)),
        _ => STREAMS_DONE.to_owned(),
    };
    let items = rows
        .iter()
        .filter_map(|(key, value)| streams::of_row(key, value).map(Holding::Stream))
        .collect();
    let next = Some(next);
    Ok(Holdings { items, next })
}

fn owners(source: &dyn Source, after: Option<&str>, limit: usize) -> Result<Holdings> {
    let now = source.moment().now;
    let found = source.owners(after, limit)?;
    let next = match found.last() {
        Some((last, _)) if found.len() == limit => Some(format!("k{last}")),
        _ => None,
    };
    let live = found
        .into_iter()
        .filter_map(|(key, owner)| Some((key, owner?)))
        .filter(|(_, owner)| owner.until.is_none_or(|until| until > now));
    let items = live
        .map(|(key, owner)| {
            Holding::Key(KeyOwner {
                key,
                owner: owner.id,
                until: owner.until,
            })
        })
        .collect();
    Ok(Holdings { items, next })
}

fn digits(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect()
}
