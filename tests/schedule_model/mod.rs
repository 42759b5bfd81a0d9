//! Random cron expressions together with what they mean, worked out while they are made, not by reading them.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod cases;

use std::fmt::{self, Write as _};

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use proptest::prelude::*;
use tlo::schedule::Schedule;

pub(crate) const ZONES: [&str; 12] = [
    "Europe/Berlin",
    "America/New_York",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Santiago",
    "Asia/Kathmandu",
    "Antarctica/Troll",
    "America/St_Johns",
    "UTC",
];

/// A field: its text, the numbers it allows, whether it begins with a star, whether it is a list of numbers.
#[derive(Clone, Debug)]
struct Field {
    text: String,
    numbers: Vec<i8>,
    star: bool,
    literal: bool,
    special: Option<Special>,
}

/// The special days.
#[derive(Clone, Copy, Debug)]
enum Special {
    FromEnd(i8),
    Workday(i8),
    LastWorkday,
    Nth(i8, i8),
    LastWeekday(i8),
}

/// An expression and its meaning.
#[derive(Clone)]
pub(crate) struct Expression {
    pub(crate) text: String,
    /// Hour and minute are numbers or lists of numbers.
    pub(crate) literal: bool,
    fields: [Field; 6],
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl Expression {
    pub(crate) fn schedule(&self, zone: &str) -> Schedule {
        Schedule::cron_in(&self.text, zone).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Whether a wall time matches.
    pub(crate) fn matches(&self, wall: DateTime) -> bool {
        let [second, minute, hour, day, month, weekday] = &self.fields;
        second.numbers.contains(&wall.second())
            && minute.numbers.contains(&wall.minute())
            && hour.numbers.contains(&wall.hour())
            && month.numbers.contains(&wall.month())
            && {
                let by_day = day.has_day(wall.date(), wall.day());
                let by_weekday =
                    weekday.has_day(wall.date(), wall.date().weekday().to_sunday_zero_offset());
                if day.star || weekday.star {
                    by_day && by_weekday
                } else {
                    by_day || by_weekday
                }
            }
    }
}

impl Field {
    fn has_day(&self, date: Date, number: i8) -> bool {
        let last = date.days_in_month();
        let weekday = |day: i8| {
            let day = Date::new(date.year(), date.month(), day).unwrap();
            day.weekday().to_sunday_zero_offset()
        };
        // The Monday-to-Friday day of this month that is nearest to a day.
        let workday = |wanted: i8| {
            (1..=last)
                .filter(|day| !matches!(weekday(*day), 0 | 6))
                .min_by_key(|day| (day - wanted).abs())
        };
        self.numbers.contains(&number)
            || match self.special {
                None => false,
                Some(Special::FromEnd(back)) => date.day() == last - back,
                Some(Special::Workday(day)) => day <= last && workday(day) == Some(date.day()),
                Some(Special::LastWorkday) => workday(last) == Some(date.day()),
                Some(Special::Nth(day, nth)) => {
                    weekday(date.day()) == day && (date.day() - 1) / 7 + 1 == nth
                }
                Some(Special::LastWeekday(day)) => {
                    weekday(date.day()) == day && date.day() + 7 > last
                }
            }
    }
}

/// One item: text, numbers, and whether it is a plain number.
fn item(least: i8, most: i8) -> impl Strategy<Value = (String, Vec<i8>, bool)> {
    let span = most - least;
    (0..8, least..=most, least..=most, 1..=span.max(1)).prop_map(move |(kind, a, b, step)| {
        let (low, high) = (a.min(b), a.max(b));
        let stepped = |from: i8, to: i8| -> Vec<i8> {
            (from..=to)
                .step_by(usize::try_from(step).unwrap())
                .collect()
        };
        match kind {
            0 | 1 => ("*".to_owned(), (least..=most).collect(), false),
            2 => (format!("*/{step}"), stepped(least, most), false),
            3 => (format!("{low}-{high}"), (low..=high).collect(), false),
            4 => (format!("{low}-{high}/{step}"), stepped(low, high), false),
            5 => (format!("{a}/{step}"), stepped(a, most), false),
            _ => (format!("{a:02}"), vec![a], true),
        }
    })
}

fn field(least: i8, most: i8) -> impl Strategy<Value = Field> {
    proptest::collection::vec(item(least, most), 1..4).prop_map(|items| {
        let text = items
            .iter()
            .map(|(text, ..)| text.as_str())
            .collect::<Vec<_>>()
            .join(",");
        Field {
            star: text.starts_with('*'),
            literal: items.iter().all(|(.., literal)| *literal),
            numbers: items
                .into_iter()
                .flat_map(|(_, numbers, _)| numbers)
                .collect(),
            text,
            special: None,
        }
    })
}

fn with_special(plain: &Field, text: &str, special: Special, alone: bool) -> Field {
    let mut field = plain.clone();
    if alone || field.star {
        field.numbers.clear();
        field.text = text.to_owned();
        field.star = false;
    } else {
        write!(field.text, ",{text}").unwrap();
    }
    field.special = Some(special);
    field.literal = false;
    field
}

fn any_day(star: &str) -> Field {
    Field {
        text: star.to_owned(),
        numbers: (0..=31).collect(),
        star: true,
        literal: false,
        special: None,
    }
}

fn day() -> impl Strategy<Value = Field> {
    (0..8, field(1, 31), 0..30_i8, 1..=31_i8, any::<bool>()).prop_map(
        |(kind, plain, back, day, alone)| match kind {
            0 => with_special(&plain, "L", Special::FromEnd(0), alone),
            1 => with_special(&plain, &format!("L-{back}"), Special::FromEnd(back), alone),
            2 => with_special(&plain, &format!("{day}W"), Special::Workday(day), alone),
            3 => with_special(&plain, "LW", Special::LastWorkday, alone),
            4 | 5 => any_day(if alone { "*" } else { "?" }),
            _ => plain,
        },
    )
}

fn weekday() -> impl Strategy<Value = Field> {
    const NAMES: [&str; 7] = ["SUN", "mon", "Tue", "WED", "THU", "FRI", "SAT"];
    (0..8, field(0, 6), 0..7_i8, 1..=5_i8, any::<bool>()).prop_map(
        |(kind, plain, day, nth, alone)| {
            let name = NAMES[usize::try_from(day).unwrap()];
            let step = usize::try_from(nth).unwrap();
            match kind {
                0 => with_special(
                    &plain,
                    &format!("{day}#{nth}"),
                    Special::Nth(day, nth),
                    alone,
                ),
                1 => with_special(
                    &plain,
                    &format!("{name}L"),
                    Special::LastWeekday(day),
                    alone,
                ),
                2 => Field {
                    text: format!("{name},7"),
                    numbers: vec![day, 0],
                    star: false,
                    literal: false,
                    special: None,
                },
                3 => Field {
                    text: format!("{day}-7/{nth}"),
                    numbers: (day..=7).step_by(step).map(|day| day % 7).collect(),
                    star: false,
                    literal: false,
                    special: None,
                },
                4 | 5 => any_day(if alone { "*" } else { "?" }),
                _ => plain,
            }
        },
    )
}

/// A random expression that has a date; with a field of seconds at times, when asked for.
pub(crate) fn expression(seconds: bool) -> impl Strategy<Value = Expression> {
    let fields = (
        field(0, 59),
        field(0, 59),
        field(0, 23),
        day(),
        prop_oneof![3 => Just(any_day("*")), 1 => field(1, 12)],
        weekday(),
        any::<bool>(),
    );
    let made = fields.prop_map(
        move |(second, minute, hour, day, month, weekday, with_seconds)| {
            let with_seconds = seconds && with_seconds;
            let second = if with_seconds {
                second
            } else {
                Field {
                    text: String::new(),
                    numbers: vec![0],
                    star: false,
                    literal: true,
                    special: None,
                }
            };
            let fields = [second, minute, hour, day, month, weekday];
            let texts: Vec<&str> = fields.iter().map(|field| field.text.as_str()).collect();
            Expression {
                text: texts.join(" ").trim_start().to_owned(),
                literal: fields[1].literal && fields[2].literal,
                fields,
            }
        },
    );
    made.prop_filter("a date that comes", |expression| {
        // Refused ones must have no matching date in the 400 years after which the calendar repeats.
        match Schedule::cron(&expression.text) {
            Ok(_) => true,
            Err(error) => {
                assert!(error.to_string().contains("no date matches"), "{error}");
                assert!(!has_date(expression), "{error}");
                false
            }
        }
    })
}

fn has_date(expression: &Expression) -> bool {
    let [second, minute, hour, ..] = &expression.fields;
    let mut date = jiff::civil::date(2000, 1, 1);
    while date.year() < 2_400 {
        let wall = date.at(hour.numbers[0], minute.numbers[0], second.numbers[0], 0);
        if expression.matches(wall) {
            return true;
        }
        date = date.tomorrow().unwrap();
    }
    false
}

/// A zone and a second: half of them within two days before a clock change.
pub(crate) fn moment() -> impl Strategy<Value = (&'static str, i64)> {
    let range = 157_766_400..2_840_140_800_i64; // 1975 to 2060
    (
        proptest::sample::select(&ZONES[..]),
        range,
        0..172_800_i64,
        any::<bool>(),
    )
        .prop_map(|(name, second, before, near)| {
            let zone = TimeZone::get(name).unwrap();
            let at = jiff::Timestamp::from_second(second).unwrap();
            let change = zone.following(at).next();
            match change {
                Some(change) if near => (name, change.timestamp().as_second() - before),
                _ => (name, second),
            }
        })
}
