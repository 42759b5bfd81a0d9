//! An expression in English, from its sets: expressions that mean the same read the same.

use super::super::words::{list, ordinal};
use super::days::DayRule;
use super::search::{Fields, YearRange};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
const ALL_DAYS: u32 = !1;
const ALL_WEEKDAYS: u8 = 0x7f;

/// The most times of day that are listed one by one.
const MOST_TIMES: usize = 6;

pub(super) fn english(fields: &Fields) -> String {
    let (mut text, clock_times) = times(fields);
    let dates: Vec<String> = [
        days(&fields.days),
        months(fields.months),
        years(&fields.years.0),
    ]
    .into_iter()
    .flatten()
    .collect();
    if dates.is_empty() && clock_times {
        text.push_str(" every day");
    }
    for date in dates {
        text.push(' ');
        text.push_str(&date);
    }
    text
}

/// The members of a set and what they form.
struct Shape {
    members: Vec<u32>,
    step: Option<u32>,
}

impl Shape {
    fn of(set: u64) -> Self {
        let members: Vec<u32> = (0..64).filter(|n| set >> n & 1 == 1).collect();
        let step = match members.as_slice() {
            [first, second, ..] => {
                let step = second - first;
                members
                    .windows(2)
                    .all(|pair| pair[1] - pair[0] == step)
                    .then_some(step)
            }
            _ => None,
        };
        Self { members, step }
    }

    fn first(&self) -> u32 {
        self.members.first().copied().unwrap_or(0)
    }

    fn last(&self) -> u32 {
        self.members.last().copied().unwrap_or(0)
    }

    fn single(&self) -> Option<u32> {
        (self.members.len() == 1).then(|| self.first())
    }

    /// An even step through a whole cycle (`*/5` of 60), so that the distance never changes.
    fn cycle(&self, length: u32) -> Option<u32> {
        self.step.filter(|step| {
            length.is_multiple_of(*step) && self.members.len() == (length / step) as usize
        })
    }

    /// A run without holes of at least three.
    fn run(&self) -> Option<(u32, u32)> {
        (self.step == Some(1) && self.members.len() > 2).then(|| (self.first(), self.last()))
    }

    /// The members by name, with runs of three and more as `a to b`.
    fn named(&self, name: impl Fn(u32) -> String) -> String {
        let mut parts = Vec::new();
        let mut rest = self.members.as_slice();
        while let Some(&first) = rest.first() {
            let run = (first..)
                .zip(rest)
                .take_while(|(n, member)| n == *member)
                .count();
            let (members, others) = rest.split_at(run);
            match members {
                [from, _, .., to] => parts.push(format!("{} to {}", name(*from), name(*to))),
                few => parts.extend(few.iter().map(|member| name(*member))),
            }
            rest = others;
        }
        list(&parts, "and")
    }

    fn numbers(&self) -> String {
        self.named(|number| number.to_string())
    }

    /// An even step of at least two, over more than three members.
    fn long_step(&self) -> Option<u32> {
        self.step.filter(|step| *step > 1 && self.members.len() > 3)
    }
}

/// When in the day; and whether these are times on the clock.
fn times(fields: &Fields) -> (String, bool) {
    let (seconds, minutes, hours) = (
        Shape::of(fields.seconds),
        Shape::of(fields.minutes),
        Shape::of(u64::from(fields.hours)),
    );
    let count = seconds.members.len() * minutes.members.len() * hours.members.len();
    let even_hours = minutes.single().is_some() && hours.cycle(24).is_some() && hours.first() == 0;
    if count <= MOST_TIMES && !(even_hours && hours.members.len() > 3) {
        let mut clock = Vec::with_capacity(count);
        for hour in &hours.members {
            for minute in &minutes.members {
                for second in &seconds.members {
                    clock.push(match seconds.single() {
                        Some(0) => format!("{hour:02}:{minute:02}"),
                        _ => format!("{hour:02}:{minute:02}:{second:02}"),
                    });
                }
            }
        }
        return (format!("at {}", list(&clock, "and")), true);
    }
    let mut text = match seconds.single() {
        Some(0) => String::new(),
        _ => format!(
            "{} ",
            inner(&seconds, "second", minutes.cycle(60) == Some(1))
        ),
    };
    let whole_hours = hours.cycle(24) == Some(1);
    if !(text.is_empty() || minutes.cycle(60) != Some(1)) {
        if !whole_hours {
            text.push_str(&within(&hours));
        }
        return (text.trim_end().to_owned(), false);
    }
    text.push_str(&minutes_and_hours(&minutes, &hours, whole_hours));
    (text.trim_end().to_owned(), false)
}

fn minutes_and_hours(minutes: &Shape, hours: &Shape, whole_hours: bool) -> String {
    let of_hours = || match hours.cycle(24) {
        Some(1) => "every hour".to_owned(),
        Some(step) if hours.first() == 0 => format!("every {} hour", ordinal(step)),
        _ => match hours.run() {
            Some((from, to)) => format!("every hour from {from:02} to {to:02}"),
            None => match hours.long_step() {
                Some(step) => format!(
                    "every {} hour from {:02} to {:02}",
                    ordinal(step),
                    hours.first(),
                    hours.last()
                ),
                None => format!("the hours {}", hours.numbers()),
            },
        },
    };
    match minutes.single() {
        Some(0) if whole_hours => "every hour".to_owned(),
        Some(0) => match (hours.cycle(24), hours.run(), hours.long_step()) {
            (Some(step), ..) if hours.first() == 0 => format!("every {step} hours"),
            (_, Some((from, to)), _) => format!("every hour from {from:02}:00 to {to:02}:00"),
            (.., Some(step)) => format!(
                "every {step} hours from {:02}:00 to {:02}:00",
                hours.first(),
                hours.last()
            ),
            _ => format!(
                "at {}",
                list(
                    &hours
                        .members
                        .iter()
                        .map(|hour| format!("{hour:02}:00"))
                        .collect::<Vec<_>>(),
                    "and"
                )
            ),
        },
        Some(1) => format!("at 1 minute past {}", of_hours()),
        Some(minute) => format!("at {minute} minutes past {}", of_hours()),
        None => {
            let text = inner(minutes, "minute", whole_hours);
            if whole_hours {
                return text;
            }
            let comma = if text.contains(" from ") { "," } else { "" };
            format!("{text}{comma} {}", within(hours))
        }
    }
}

/// `every 5 minutes`, `at minutes 5 and 10 of every hour`; `alone` says that the unit above runs through without holes.
fn inner(shape: &Shape, unit: &str, alone: bool) -> String {
    match shape.cycle(60) {
        Some(1) => return format!("every {unit}"),
        Some(step) if shape.first() == 0 => return format!("every {step} {unit}s"),
        Some(step) if alone && shape.members.len() > 2 => {
            return format!("every {step} {unit}s from {unit} {}", shape.first());
        }
        _ => {}
    }
    if let Some((from, to)) = shape.run() {
        return format!("every {unit} from {unit} {from} to {to}");
    }
    match (shape.long_step(), shape.single()) {
        (Some(step), _) => format!(
            "every {step} {unit}s from {unit} {} to {}",
            shape.first(),
            shape.last()
        ),
        (None, single) => {
            let above = if unit == "second" { "minute" } else { "hour" };
            let of_all = if alone {
                format!(" of every {above}")
            } else {
                String::new()
            };
            let plural = if single.is_some() { "" } else { "s" };
            format!("at {unit}{plural} {}{of_all}", shape.numbers())
        }
    }
}

/// `from 09:00 to 17:59`, `in every 2nd hour`, `in the hours 1 and 5`.
fn within(hours: &Shape) -> String {
    if let Some(hour) = hours.single() {
        return format!("from {hour:02}:00 to {hour:02}:59");
    }
    if let Some((from, to)) = hours.run() {
        return format!("from {from:02}:00 to {to:02}:59");
    }
    match hours.cycle(24) {
        Some(step) if hours.first() == 0 => format!("in every {} hour", ordinal(step)),
        _ => format!("in the hours {}", hours.numbers()),
    }
}

fn days(rule: &DayRule) -> Option<String> {
    let by_day = (rule.days & ALL_DAYS != ALL_DAYS).then(|| days_of_month(rule));
    let by_weekday = (rule.weekdays != ALL_WEEKDAYS).then(|| weekdays(rule));
    match (by_day, by_weekday) {
        (Some(day), Some(weekday)) if rule.either => Some(format!("on {day} or on {weekday}")),
        (Some(day), Some(weekday)) => Some(format!("on {day} that is also {weekday}")),
        (Some(one), None) | (None, Some(one)) => Some(format!("on {one}")),
        (None, None) => None,
    }
}

fn days_of_month(rule: &DayRule) -> String {
    let mut parts = Vec::new();
    let plain = Shape::of(u64::from(rule.days));
    if !plain.members.is_empty() {
        parts.push(match (plain.single(), plain.step, plain.run()) {
            (Some(day), ..) => format!("day {day}"),
            (None, _, Some((from, to))) => format!("days {from} to {to}"),
            (None, Some(step), None) if plain.first() == 1 && plain.last() + step > 31 => {
                format!("every {} day from day 1", ordinal(step))
            }
            _ => format!("days {}", plain.numbers()),
        });
    }
    for back in Shape::of(u64::from(rule.from_end)).members {
        parts.push(match back {
            0 => "the last day".to_owned(),
            1 => "the day before the last day".to_owned(),
            _ => format!("the day {back} days before the last day"),
        });
    }
    for day in Shape::of(u64::from(rule.workdays)).members {
        parts.push(format!("the Monday-to-Friday day nearest day {day}"));
    }
    for back in Shape::of(u64::from(rule.workdays_from_end)).members {
        parts.push(match back {
            0 => "the last Monday-to-Friday day".to_owned(),
            _ => format!("the Monday-to-Friday day nearest {back} days before the last day"),
        });
    }
    format!("{} of the month", list(&parts, "and"))
}

fn weekdays(rule: &DayRule) -> String {
    let mut parts = Vec::new();
    // Beginning with Monday, as people do: Saturday and Sunday are neighbours.
    let from_monday = rule.weekdays >> 1 | (rule.weekdays & 1) << 6;
    let plain = Shape::of(u64::from(from_monday));
    if !plain.members.is_empty() {
        parts.push(plain.named(|day| WEEKDAYS[(day as usize + 1) % 7].to_owned()));
    }
    for (nth, set) in (1u32..).zip(rule.nth) {
        for day in Shape::of(u64::from(set)).members {
            parts.push(format!(
                "the {} {} of the month",
                ordinal(nth),
                WEEKDAYS[day as usize % 7]
            ));
        }
    }
    for day in Shape::of(u64::from(rule.last_weekdays)).members {
        parts.push(format!(
            "the last {} of the month",
            WEEKDAYS[day as usize % 7]
        ));
    }
    list(&parts, "and")
}

fn months(set: u16) -> Option<String> {
    let shape = Shape::of(u64::from(set));
    let name = |month: u32| MONTHS[(month as usize + 11) % 12].to_owned();
    if shape.members.len() == 12 {
        return None;
    }
    Some(format!("in {}", shape.named(name)))
}

fn years(ranges: &[YearRange]) -> Option<String> {
    if ranges.is_empty() {
        return None;
    }
    let words: Vec<String> = ranges
        .iter()
        .map(|range| match (range.from == range.to, range.step) {
            (true, _) => range.from.to_string(),
            (false, 1) => format!("{} to {}", range.from, range.to),
            (false, step) => format!(
                "every {} year from {} to {}",
                ordinal(u32::from(step.unsigned_abs())),
                range.from,
                range.to
            ),
        })
        .collect();
    Some(format!("in {}", list(&words, "and")))
}
