//! The fields of a cron expression: their names, ranges and number sets.

use std::str::FromStr;

use cron::TimeUnitSpec;

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
    Year,
}

/// Which numbers weekdays have and which fields there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Dialect {
    /// Sunday is 0 or 7; 5 fields, 6 with seconds first, 7 with years last.
    #[default]
    Unix,
    /// Sunday is 1; 6 fields beginning with seconds, 7 with years.
    Quartz,
}

pub(super) const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
pub(super) const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Unit {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day of month",
            Self::Month => "month",
            Self::Weekday => "weekday",
            Self::Year => "year",
        }
    }

    /// The numbers a person may write.
    pub(super) const fn range(self, dialect: Dialect) -> (u32, u32) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::Day => (1, 31),
            Self::Month => (1, 12),
            Self::Weekday => match dialect {
                Dialect::Unix => (0, 7),
                Dialect::Quartz => (1, 7),
            },
            Self::Year => (1970, 9999),
        }
    }

    /// The number that a name stands for, as a person of this dialect would write it.
    pub(super) fn number_of(self, name: &str, dialect: Dialect) -> Option<u32> {
        let (names, first): (&[&str], u32) = match self {
            Self::Month => (&MONTHS, 1),
            Self::Weekday => (
                &WEEKDAYS,
                match dialect {
                    Dialect::Unix => 0,
                    Dialect::Quartz => 1,
                },
            ),
            _ => return None,
        };
        let index = names.iter().position(|n| n.eq_ignore_ascii_case(name))?;
        Some(first + u32::try_from(index).ok()?)
    }

    /// The numbers of one plain item (`*`, `N`, `A-B`, each perhaps with `/step`) as a bit set, as the `cron` crate
    /// reads and checks it; `None` when it refuses. Weekdays go in and come out counted from Sunday = 1.
    pub(super) fn set_of(self, item: &str) -> Option<u64> {
        let place = match self {
            Self::Second => 0,
            Self::Minute => 1,
            Self::Hour => 2,
            Self::Day => 3,
            Self::Month => 4,
            Self::Weekday => 5,
            Self::Year => return None,
        };
        let mut fields = ["*"; 6];
        fields[place] = item;
        let schedule = cron::Schedule::from_str(&fields.join(" ")).ok()?;
        Some(match self {
            Self::Second => bits(schedule.seconds()),
            Self::Minute => bits(schedule.minutes()),
            Self::Hour => bits(schedule.hours()),
            Self::Day => bits(schedule.days_of_month()),
            Self::Month => bits(schedule.months()),
            Self::Weekday | Self::Year => bits(schedule.days_of_week()),
        })
    }
}

fn bits(numbers: &impl TimeUnitSpec) -> u64 {
    numbers
        .iter()
        .fold(0, |set, number| set | 1 << (number % 64))
}
