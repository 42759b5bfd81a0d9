//! From the text of an expression to its [`Fields`].

use super::days::DayRule;
use super::fault::{Fault, LONGEST, Piece};
use super::item::{ItemContext, Items, read_field};
use super::search::{Fields, Years};
use super::unit::{Dialect, Unit};
use super::years::read_years;

type Found<T> = std::result::Result<T, Fault>;

const UNIX_LAYOUT: &str =
    "5 fields (minute hour day month weekday), 6 with seconds first, 7 with years last";
const QUARTZ_LAYOUT: &str = "6 fields (second minute hour day month weekday), 7 with years last";

/// The fields of an expression. `seed` decides what its `H` mean.
pub(super) fn read(expression: &str, dialect: Dialect, seed: &str) -> Found<Fields> {
    let whole = Piece {
        at: 0,
        text: expression,
    };
    if expression.len() > LONGEST {
        return Err(Fault::of(
            Piece { at: 0, text: "" },
            format!("it has {} bytes, the limit is {LONGEST}", expression.len()),
        ));
    }
    if expression.trim_start().starts_with('@') {
        return nickname(whole, seed);
    }
    let pieces = Piece::fields(expression);
    let layout = layout(whole, &pieces, dialect)?;
    let context = ItemContext { dialect, seed };
    let field = |unit| match layout.piece(unit) {
        Some(piece) => read_field(unit, piece, context),
        None => Ok(Items::only(0)),
    };
    let (second, minute, hour) = (
        field(Unit::Second)?,
        field(Unit::Minute)?,
        field(Unit::Hour)?,
    );
    let (day, month, weekday) = (
        field(Unit::Day)?,
        field(Unit::Month)?,
        field(Unit::Weekday)?,
    );
    let years = match layout.piece(Unit::Year) {
        Some(piece) => read_years(piece)?,
        None => Years::default(),
    };
    let either = !day.star && !weekday.star;
    if either && dialect == Dialect::Quartz {
        let piece = layout.piece(Unit::Weekday).unwrap_or(whole);
        return Err(Fault::of(
            piece,
            "day of month and weekday are both given, which Quartz does not allow; write ? for one of them",
        )
        .instead("?"));
    }
    let fields = Fields {
        seconds: second.set,
        minutes: minute.set,
        hours: low_bits(hour.set),
        months: u16::try_from(month.set).unwrap_or(0),
        days: DayRule {
            days: low_bits(day.set),
            weekdays: u8::try_from(weekday.set).unwrap_or(0),
            either,
            from_end: day.days.from_end,
            workdays: day.days.workdays,
            workdays_from_end: day.days.workdays_from_end,
            nth: weekday.days.nth,
            last_weekdays: weekday.days.last_weekdays,
        },
        years,
        literal: minute.literal && hour.literal,
    };
    check_possible(&fields, &layout, whole)?;
    Ok(fields)
}

fn low_bits(set: u64) -> u32 {
    u32::try_from(set).unwrap_or(0)
}

/// Which piece is which field.
struct Layout<'a, 'p> {
    pieces: &'p [Piece<'a>],
    seconds: bool,
}

impl<'a> Layout<'a, '_> {
    fn piece(&self, unit: Unit) -> Option<Piece<'a>> {
        let place = match unit {
            Unit::Second => return self.seconds.then(|| self.pieces.first().copied()).flatten(),
            Unit::Minute => 0,
            Unit::Hour => 1,
            Unit::Day => 2,
            Unit::Month => 3,
            Unit::Weekday => 4,
            Unit::Year => 5,
        };
        self.pieces.get(place + usize::from(self.seconds)).copied()
    }
}

fn layout<'a, 'p>(
    whole: Piece<'a>,
    pieces: &'p [Piece<'a>],
    dialect: Dialect,
) -> Found<Layout<'a, 'p>> {
    let (least, text) = match dialect {
        Dialect::Unix => (5, UNIX_LAYOUT),
        Dialect::Quartz => (6, QUARTZ_LAYOUT),
    };
    let count = pieces.len();
    if count == 0 {
        let fault = Fault::of(
            Piece { at: 0, text: "" },
            format!("it is empty; it needs {text}"),
        );
        return Err(fault.instead(["*"; 6][..least].join(" ")));
    }
    if count < least {
        let end = whole.text.trim_end().len();
        let missing = Piece { at: end, text: "" };
        let fields = if count == 1 { "field" } else { "fields" };
        let fault = Fault::of(missing, format!("it has {count} {fields}; it needs {text}"));
        if dialect == Dialect::Quartz && count == 5 {
            return Err(Fault::of(
                Piece { at: 0, text: "" },
                format!("it has 5 fields; Quartz begins with seconds and has {QUARTZ_LAYOUT}"),
            )
            .instead("0 "));
        }
        return Err(fault.instead(" *".repeat(least - count)));
    }
    if count > 7 {
        return Err(too_many(whole, pieces, text));
    }
    Ok(Layout {
        pieces,
        seconds: count > 5,
    })
}

/// More fields than there are: what comes after the fifth, when it looks like a command, else after the seventh.
fn too_many(whole: Piece<'_>, pieces: &[Piece<'_>], layout: &str) -> Fault {
    let is_word = |piece: &Piece<'_>| {
        piece.text.starts_with('/') || piece.text.bytes().filter(u8::is_ascii_lowercase).count() > 1
    };
    let command = pieces.get(5).filter(|piece| is_word(piece));
    let at = command.or(pieces.get(7)).map_or(0, |piece| piece.at);
    let rest = Piece {
        at,
        text: whole.text.get(at..).unwrap_or_default(),
    };
    let what = if command.is_some() {
        "this looks like a command; an expression has the times only".to_owned()
    } else {
        format!("it has {} fields; it needs {layout}", pieces.len())
    };
    Fault::of(rest, what).instead("")
}

/// `@daily` and its like stand for an expression.
fn nickname(whole: Piece<'_>, seed: &str) -> Found<Fields> {
    let name = Piece {
        at: whole.text.len() - whole.text.trim_start().len(),
        text: whole.text.trim(),
    };
    match expansion(name.text) {
        Some(expression) => read(expression, Dialect::Unix, seed),
        None => {
            let fault = Fault::of(name, "there is no such nickname");
            let known = NICKNAMES.iter().map(|(known, _)| *known);
            let close = super::super::nearest::nearest(name.text, known, 1);
            Err(match close.first() {
                Some(close) => fault.instead(close.as_str()),
                None => fault,
            })
        }
    }
}

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The expression that a nickname stands for.
pub(super) fn expansion(name: &str) -> Option<&'static str> {
    NICKNAMES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, expression)| *expression)
}

/// Refuses dates that no calendar has, such as 30 February.
fn check_possible(fields: &Fields, layout: &Layout<'_, '_>, whole: Piece<'_>) -> Found<()> {
    let beginning = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
    if fields.at_or_after(beginning).is_some() {
        return Ok(());
    }
    let day = layout.piece(Unit::Day).unwrap_or(whole);
    let end = layout
        .piece(Unit::Month)
        .map_or(day.at + day.text.len(), |month| month.at + month.text.len());
    let dates = Piece {
        at: day.at,
        text: whole.text.get(day.at..end).unwrap_or(day.text),
    };
    let month = layout.piece(Unit::Month).map_or("*", |month| month.text);
    Err(
        Fault::of(dates, "no date matches: this day never comes in this month")
            .instead(format!("L {month}")),
    )
}
