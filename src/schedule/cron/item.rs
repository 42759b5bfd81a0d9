//! The items of a field: `*`, `5`, `MON-FRI`, `*/15`, `H(0-29)`, `L-3`, `15W`, `5#2`, …

use super::days::DayRule;
use super::fault::{Fault, Piece};
use super::plain::{Plain, number, outside};
use super::spread::spread;
use super::unit::{Dialect, Unit};

type Found<T> = std::result::Result<T, Fault>;

/// How items are to be read.
#[derive(Clone, Copy)]
pub(super) struct ItemContext<'a> {
    pub(super) dialect: Dialect,
    /// What `H` is computed from.
    pub(super) seed: &'a str,
}

/// What the items of a field allow.
#[derive(Debug)]
pub(super) struct Items {
    /// Plain numbers, weekdays counted from Sunday = 0.
    pub(super) set: u64,
    /// The field begins with `*` or `?`, so it restricts nothing in Vixie's rule of days.
    pub(super) star: bool,
    /// Numbers only: no `*`, range or step.
    pub(super) literal: bool,
    /// The special forms of the two day fields.
    pub(super) days: DayRule,
}

impl Items {
    /// One number.
    pub(super) fn only(number: u32) -> Self {
        Self {
            set: 1 << number,
            star: false,
            literal: true,
            days: DayRule::default(),
        }
    }
}

/// Reads a field other than years.
pub(super) fn read_field(unit: Unit, field: Piece<'_>, context: ItemContext<'_>) -> Found<Items> {
    let mut items = Items {
        set: 0,
        star: field.text.starts_with(['*', '?']),
        literal: true,
        days: DayRule::default(),
    };
    for item in field.split(',') {
        read_item(unit, item, field, context, &mut items)?;
    }
    Ok(items)
}

fn read_item(
    unit: Unit,
    item: Piece<'_>,
    field: Piece<'_>,
    context: ItemContext<'_>,
    items: &mut Items,
) -> Found<()> {
    if item.text.is_empty() {
        let what = if field.text == "," {
            "a comma needs a value on both sides".to_owned()
        } else {
            format!("an item of the {} list is empty", unit.name())
        };
        let filled: Vec<&str> = field
            .text
            .split(',')
            .filter(|text| !text.is_empty())
            .collect();
        let instead = if filled.is_empty() {
            "*".to_owned()
        } else {
            filled.join(",")
        };
        return Err(Fault::of(field, what).instead(instead));
    }
    if item.text == "?" {
        return question_mark(unit, item, field, items);
    }
    if item.text.starts_with(['H', 'h']) && !starts_with_letters(item.text) {
        let (set, literal) = spread(unit, item, context)?;
        items.set |= set;
        items.literal &= literal;
        return Ok(());
    }
    let special = match unit {
        Unit::Day => special_day(item, &mut items.days)?,
        Unit::Weekday => special_weekday(item, context.dialect, items)?,
        _ => false,
    };
    if special {
        items.literal = false;
        return Ok(());
    }
    let plain = Plain::read(unit, item, context.dialect)?;
    items.set |= plain.set(unit, item, context.dialect)?;
    items.literal &= plain.literal();
    Ok(())
}

/// A word such as `HELLO`, which is no `H`.
fn starts_with_letters(text: &str) -> bool {
    text.bytes().take(2).filter(u8::is_ascii_alphabetic).count() == 2
}

fn question_mark(unit: Unit, item: Piece<'_>, field: Piece<'_>, items: &mut Items) -> Found<()> {
    if !matches!(unit, Unit::Day | Unit::Weekday) || field.text != "?" {
        return Err(Fault::of(
            item,
            "? stands alone, for a day of month or a weekday that does not matter",
        )
        .instead("*"));
    }
    let (least, most) = if unit == Unit::Day { (1, 31) } else { (0, 6) };
    items.set |= (least..=most).fold(0, |set, number| set | 1 << number);
    items.literal = false;
    Ok(())
}

/// `L`, `L-3`, `LW`, `L-3W` and `15W`; false for anything else.
fn special_day(item: Piece<'_>, days: &mut DayRule) -> Found<bool> {
    let upper = item.text.to_ascii_uppercase();
    let (body, workday) = match upper.strip_suffix('W') {
        Some(body) => (body, true),
        None => (upper.as_str(), false),
    };
    if let Some(rest) = body.strip_prefix('L') {
        let back = match rest.strip_prefix('-') {
            None if rest.is_empty() => 0,
            Some(number) => number
                .parse::<u32>()
                .ok()
                .filter(|n| *n <= 30)
                .ok_or_else(|| {
                    Fault::of(item, "L-N counts 0 to 30 days back from the last day").instead("L")
                })?,
            None => {
                return Err(Fault::of(item, "after L comes nothing, W, or -N").instead("L"));
            }
        };
        if workday {
            days.workdays_from_end |= 1 << back;
        } else {
            days.from_end |= 1 << back;
        }
        return Ok(true);
    }
    if !workday {
        return Ok(false);
    }
    let day = body
        .parse::<u32>()
        .ok()
        .filter(|day| (1..=31).contains(day))
        .ok_or_else(|| {
            Fault::of(item, "W follows one day, 1 to 31, or L: 15W, LW").instead("15W")
        })?;
    days.workdays |= 1 << day;
    Ok(true)
}

/// `5#2`, `FRI#2`, `5L`, `FRIL` and Quartz' lone `L`; false for anything else.
fn special_weekday(item: Piece<'_>, dialect: Dialect, items: &mut Items) -> Found<bool> {
    if let Some((day, nth)) = item.split_once('#') {
        let weekday = one_weekday(day, dialect)?;
        let nth = nth
            .text
            .parse::<usize>()
            .ok()
            .filter(|n| (1..=5).contains(n))
            .ok_or_else(|| {
                Fault::of(nth, "# is followed by 1 to 5, the week of the month").instead("1")
            })?;
        items.days.nth[nth - 1] |= 1 << weekday;
        return Ok(true);
    }
    let Some(day) = item.text.strip_suffix(['L', 'l']) else {
        return Ok(false);
    };
    if day.is_empty() {
        if dialect == Dialect::Quartz {
            items.set |= 1 << 6;
            return Ok(true);
        }
        return Err(Fault::of(item, "L follows a weekday: 5L is the last Friday").instead("5L"));
    }
    let weekday = one_weekday(
        Piece {
            at: item.at,
            text: day,
        },
        dialect,
    )?;
    items.days.last_weekdays |= 1 << weekday;
    Ok(true)
}

fn one_weekday(piece: Piece<'_>, dialect: Dialect) -> Found<u32> {
    let number = number(Unit::Weekday, piece, dialect)?;
    let (least, most) = Unit::Weekday.range(dialect);
    if number < least || number > most {
        return Err(outside(Unit::Weekday, piece, number, dialect));
    }
    Ok(match dialect {
        Dialect::Unix => number % 7,
        Dialect::Quartz => number - 1,
    })
}
