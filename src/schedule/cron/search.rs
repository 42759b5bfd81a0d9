//! [`Fields`]: the sets of an expression, and the next wall time that matches them, by month arithmetic.

use jiff::civil::{Date, DateTime, date, time};

use super::days::DayRule;

/// How many allowed years a search looks at: the calendar repeats itself every 400 years.
const MOST_YEARS: u32 = 401;

/// The years of an expression; empty means every year.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Years(pub(super) Vec<YearRange>);

/// `from-to/step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct YearRange {
    pub(super) from: i16,
    pub(super) to: i16,
    pub(super) step: i16,
}

impl Years {
    /// The first allowed year at or after this one.
    fn at_or_after(&self, year: i16) -> Option<i16> {
        if self.0.is_empty() {
            return (year <= 9999).then_some(year);
        }
        self.0
            .iter()
            .filter_map(|range| {
                let behind = i32::from(year) - i32::from(range.from);
                if behind <= 0 {
                    return Some(range.from);
                }
                let step = i32::from(range.step);
                let next = i32::from(range.from) + (behind + step - 1) / step * step;
                i16::try_from(next).ok().filter(|next| *next <= range.to)
            })
            .min()
    }
}

/// What an expression allows, as bit sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u32,
    pub(super) months: u16,
    pub(super) days: DayRule,
    pub(super) years: Years,
    /// Hour and minute are numbers or lists of numbers.
    pub(super) literal: bool,
}

impl Fields {
    /// The first wall time at or after this one (on a whole second) that matches.
    pub(super) fn at_or_after(&self, from: DateTime) -> Option<DateTime> {
        let (year, month, day) = (from.year(), from.month(), from.day());
        if self.has_date(from.date())
            && let Some((hour, minute, second)) =
                self.time_at_or_after(from.hour(), from.minute(), from.second())
        {
            return Some(from.date().to_datetime(time(hour, minute, second, 0)));
        }
        let date = self.day_after(year, month, day)?;
        let first = time(
            lowest(u64::from(self.hours)),
            lowest(self.minutes),
            lowest(self.seconds),
            0,
        );
        Some(date.to_datetime(first))
    }

    /// Whether a date matches.
    pub(super) fn has_date(&self, date: Date) -> bool {
        self.has_month(date.year(), date.month())
            && self.days_of(date.year(), date.month()) >> date.day() & 1 == 1
    }

    /// Whether every time of day of the other is one of these.
    pub(super) fn includes_times_of(&self, other: &Self) -> bool {
        other.seconds & !self.seconds == 0
            && other.minutes & !self.minutes == 0
            && other.hours & !self.hours == 0
    }

    fn has_month(&self, year: i16, month: i8) -> bool {
        self.months >> month & 1 == 1 && self.years.at_or_after(year) == Some(year)
    }

    fn days_of(&self, year: i16, month: i8) -> u32 {
        let first = date(year, month, 1);
        let weekday = first.weekday().to_sunday_zero_offset();
        self.days.matching(
            u32::from(weekday.unsigned_abs()),
            u32::from(first.days_in_month().unsigned_abs()),
        )
    }

    /// The first matching date after a day.
    fn day_after(&self, year: i16, month: i8, day: i8) -> Option<Date> {
        let mut wanted = year;
        let mut start = (month, u32::MAX << day << 1);
        for _ in 0..MOST_YEARS {
            let allowed = self.years.at_or_after(wanted)?;
            if allowed != year {
                start = (1, u32::MAX);
            }
            let (mut month, mut days) = start;
            while let Some(found) = next_bit(u64::from(self.months), month) {
                if found != month {
                    days = u32::MAX;
                }
                let matching = self.days_of(allowed, found) & days;
                if matching != 0 {
                    return Some(date(allowed, found, lowest(u64::from(matching))));
                }
                (month, days) = (found + 1, u32::MAX);
            }
            wanted = allowed.checked_add(1)?;
        }
        None
    }

    fn time_at_or_after(&self, hour: i8, minute: i8, second: i8) -> Option<(i8, i8, i8)> {
        let hours = u64::from(self.hours);
        if hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(second) = next_bit(self.seconds, second)
            {
                return Some((hour, minute, second));
            }
            if let Some(minute) = next_bit(self.minutes, minute + 1) {
                return Some((hour, minute, lowest(self.seconds)));
            }
        }
        let hour = next_bit(hours, hour + 1)?;
        Some((hour, lowest(self.minutes), lowest(self.seconds)))
    }
}

/// The lowest member of a set that is not empty.
fn lowest(set: u64) -> i8 {
    // At most 63, as no set is empty.
    i8::try_from(set.trailing_zeros()).unwrap_or(0)
}

/// The lowest member at or above `from`, which is below 64.
fn next_bit(set: u64, from: i8) -> Option<i8> {
    let rest = set & (u64::MAX << from);
    (rest != 0).then(|| lowest(rest))
}
