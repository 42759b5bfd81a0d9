//! Plain items, which the `cron` crate reads and checks: `*`, `5`, `MON-FRI`, `*/15`, `5/10`.

use super::fault::{Fault, Piece};
use super::unit::{Dialect, Unit};

type Found<T> = std::result::Result<T, Fault>;

/// `*`, `N` or `A-B`, perhaps with a step.
pub(super) struct Plain<'a> {
    /// `None` for `*`.
    from: Option<(Piece<'a>, u32)>,
    to: Option<(Piece<'a>, u32)>,
    step: Option<(Piece<'a>, u32)>,
}

impl<'a> Plain<'a> {
    pub(super) fn read(unit: Unit, item: Piece<'a>, dialect: Dialect) -> Found<Self> {
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

    pub(super) fn literal(&self) -> bool {
        self.from.is_some() && self.to.is_none() && self.step.is_none()
    }

    /// The numbers, as the `cron` crate reads them.
    pub(super) fn set(&self, unit: Unit, item: Piece<'_>, dialect: Dialect) -> Found<u64> {
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
pub(super) fn number(unit: Unit, piece: Piece<'_>, dialect: Dialect) -> Found<u32> {
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

pub(super) fn outside(unit: Unit, piece: Piece<'_>, number: u32, dialect: Dialect) -> Fault {
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
