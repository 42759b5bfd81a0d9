//! The items of a field: `*`, `5`, `MON-FRI`, `*/15`, `H(0-29)`, `L-3`, `15W`, `5#2`, …

use super::days::DayRule;
use super::fault::{Fault, Piece};
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
        let (set, literal) = spread(unit, item, context.seed)?;
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

/// `*`, `N` or `A-B`, perhaps with a step.
struct Plain<'a> {
    /// `None` for `*`.
    from: Option<(Piece<'a>, u32)>,
    to: Option<(Piece<'a>, u32)>,
    step: Option<(Piece<'a>, u32)>,
}

impl<'a> Plain<'a> {
    fn read(unit: Unit, item: Piece<'a>, dialect: Dialect) -> Found<Self> {
        let (base, step) = match item.split_once('/') {
            None => (item, None),
            Some((base, step)) => {
                let number = digits(step).ok_or_else(|| {
                    let what = match step.text {
                        "" => "the step after / is missing".to_owned(),
                        text => format!("\"{text}\" is not a step"),
                    };
                    Fault::of(step, what).instead("1")
                })?;
                (base, Some((step, number)))
            }
        };
        if base.text == "*" {
            return Ok(Self {
                from: None,
                to: None,
                step,
            });
        }
        let Some((from, to)) = base
            .split_once('-')
            .filter(|(from, _)| !from.text.is_empty())
        else {
            let from = Some((base, number(unit, base, dialect)?));
            return Ok(Self {
                from,
                to: None,
                step,
            });
        };
        if let Some((_, last)) = to.text.rsplit_once('-') {
            return Err(
                Fault::of(base, "a range has two ends").instead(format!("{}-{last}", from.text))
            );
        }
        if matches!(to.text, "" | "*") {
            let (_, most) = unit.range(dialect);
            return Err(Fault::of(base, "a range needs a number at both ends")
                .instead(format!("{}-{most}", from.text)));
        }
        Ok(Self {
            from: Some((from, number(unit, from, dialect)?)),
            to: Some((to, number(unit, to, dialect)?)),
            step,
        })
    }

    fn literal(&self) -> bool {
        self.from.is_some() && self.to.is_none() && self.step.is_none()
    }

    /// The numbers, as the `cron` crate reads them.
    fn set(&self, unit: Unit, item: Piece<'_>, dialect: Dialect) -> Found<u64> {
        let shift = u32::from(unit == Unit::Weekday && dialect == Dialect::Unix);
        let step = self
            .step
            .map_or(String::new(), |(_, step)| format!("/{step}"));
        let read = match (self.from, self.to) {
            (None, _) => unit.set_of(&format!("*{step}")),
            // Unix knows Sunday by two numbers; the crate, counting from Sunday = 1, by one.
            (Some((_, 7)), None) if shift == 1 => unit.set_of(&format!("1{step}")),
            (Some((_, from)), Some((_, 7))) if shift == 1 && from < 7 => {
                let rest = unit.set_of(&format!("{}-7{step}", from + 1));
                let hit = self
                    .step
                    .is_none_or(|(_, step)| step != 0 && (7 - from) % step == 0);
                rest.map(|set| if hit { set | 1 << 1 } else { set })
            }
            (Some((_, 7)), Some((_, 7))) if shift == 1 => unit.set_of("1"),
            (Some((_, from)), None) => {
                unit.set_of(&format!("{}{step}", from.saturating_add(shift)))
            }
            (Some((_, from)), Some((_, to))) => unit.set_of(&format!(
                "{}-{}{step}",
                from.saturating_add(shift),
                to.saturating_add(shift)
            )),
        };
        let set = read.ok_or_else(|| self.explain(unit, item, dialect))?;
        Ok(if unit == Unit::Weekday { set >> 1 } else { set })
    }

    /// Why the crate refused the item.
    fn explain(&self, unit: Unit, item: Piece<'_>, dialect: Dialect) -> Fault {
        let (least, most) = unit.range(dialect);
        for (piece, number) in [self.from, self.to].into_iter().flatten() {
            if number < least || number > most {
                return outside(unit, piece, number, dialect);
            }
        }
        if let (Some((from_text, from)), Some((to_text, to))) = (self.from, self.to)
            && from > to
        {
            let first = if from == most {
                most.to_string()
            } else {
                format!("{}-{most}", from_text.text)
            };
            let second = if to == least {
                least.to_string()
            } else {
                format!("{least}-{}", to_text.text)
            };
            return Fault::of(
                item,
                format!(
                    "the range ends before it begins: {} to {}",
                    from_text.text, to_text.text
                ),
            )
            .instead(format!("{first},{second}"));
        }
        if let Some((piece, step)) = self.step {
            let first = self.from.map_or(least, |(_, from)| from);
            return if step == 0 {
                Fault::of(piece, "a step of 0 never gets on").instead("1")
            } else {
                Fault::of(
                    item,
                    format!(
                        "the step {step} is longer than the {} field, which ends at {most}",
                        unit.name()
                    ),
                )
                .instead(first.to_string())
            };
        }
        Fault::of(item, format!("\"{}\" is not a {}", item.text, unit.name()))
    }
}

/// A number or a name.
fn number(unit: Unit, piece: Piece<'_>, dialect: Dialect) -> Found<u32> {
    if let Some(number) = digits(piece) {
        return Ok(number);
    }
    if let Some(number) = unit.number_of(piece.text, dialect) {
        return Ok(number);
    }
    let (least, most) = unit.range(dialect);
    if let Some(short) = piece
        .text
        .get(..3)
        .filter(|short| unit.number_of(short, dialect).is_some())
    {
        return Err(Fault::of(
            piece,
            format!(
                "\"{}\" is not a {}; names have three letters",
                piece.text,
                unit.name()
            ),
        )
        .instead(short));
    }
    let what = match piece.text {
        "" => format!("a {} is missing here", unit.name()),
        text => format!("\"{text}\" is not a {} ({least} to {most})", unit.name()),
    };
    let fault = Fault::of(piece, what);
    Err(
        if piece.text.starts_with('-') || piece.text.starts_with('+') {
            fault.instead(least.to_string())
        } else {
            fault.instead("*")
        },
    )
}

/// A number without a sign; one that is too large for `u32` counts as the largest.
fn digits(piece: Piece<'_>) -> Option<u32> {
    let all = !piece.text.is_empty() && piece.text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| piece.text.parse().unwrap_or(u32::MAX))
}

fn outside(unit: Unit, piece: Piece<'_>, number: u32, dialect: Dialect) -> Fault {
    let (least, most) = unit.range(dialect);
    // One past the end of a clock is its beginning: 24:00 is 00:00.
    let near = match unit {
        Unit::Second | Unit::Minute | Unit::Hour if number == most + 1 => least,
        _ => number.clamp(least, most),
    };
    Fault::of(
        piece,
        format!(
            "{} {} is outside {least} to {most}",
            unit.name(),
            piece.text
        ),
    )
    .instead(near.to_string())
}
