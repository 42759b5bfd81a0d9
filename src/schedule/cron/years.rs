//! The year field, which the `cron` crate ends at 2100 and we at 9999.

use super::fault::{Fault, Piece};
use super::search::{YearRange, Years};
use super::unit::{Dialect, Unit};

const FIRST: i16 = 1970;
const LAST: i16 = 9999;

/// The years of a field: `*`, `2027`, `2027-2030`, `2027/2`, `*/4`, and lists of them.
pub(super) fn read_years(field: Piece<'_>) -> Result<Years, Fault> {
    if field.text == "*" {
        return Ok(Years::default());
    }
    field
        .split(',')
        .map(read_item)
        .collect::<Result<_, _>>()
        .map(Years)
}

fn read_item(item: Piece<'_>) -> Result<YearRange, Fault> {
    if item.text.is_empty() {
        return Err(Fault::of(item, "an item of the year list is empty"));
    }
    let (base, step) = match item.split_once('/') {
        Some((base, step)) => (base, Some(number(step, 1, LAST - FIRST, "step")?)),
        None => (item, None),
    };
    let (from, to) = if base.text == "*" {
        (FIRST, LAST)
    } else if let Some((from, to)) = base.split_once('-') {
        (year(from)?, year(to)?)
    } else {
        let from = year(base)?;
        (from, if step.is_some() { LAST } else { from })
    };
    if from > to {
        return Err(Fault::of(
            base,
            format!("the range ends before it begins: {from} to {to}"),
        )
        .instead(format!("{to}-{from}")));
    }
    Ok(YearRange {
        from,
        to,
        step: step.unwrap_or(1),
    })
}

fn year(piece: Piece<'_>) -> Result<i16, Fault> {
    number(piece, FIRST, LAST, Unit::Year.name())
}

fn number(piece: Piece<'_>, least: i16, most: i16, what: &str) -> Result<i16, Fault> {
    debug_assert_eq!(Unit::Year.range(Dialect::Unix), (1970, 9999));
    if piece.text.is_empty() || !piece.text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::of(
            piece,
            format!("\"{}\" is not a {what}", piece.text),
        ));
    }
    piece
        .text
        .parse::<i16>()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            let near = if piece.text.parse::<i16>().is_ok_and(|n| n < least) {
                least
            } else {
                most
            };
            Fault::of(
                piece,
                format!("{what} {} is outside {least} to {most}", piece.text),
            )
            .instead(near.to_string())
        })
}
