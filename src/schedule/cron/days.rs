//! [`DayRule`]: which days of a month match, with `L`, `W`, `#` and Vixie's "either" rule.

/// The two day fields together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DayRule {
    /// Days of month: bit 1 to 31.
    pub(super) days: u32,
    /// `L` and `L-n`: bit n.
    pub(super) from_end: u32,
    /// `nW`: bit n.
    pub(super) workdays: u32,
    /// `LW` and `L-nW`: bit n.
    pub(super) workdays_from_end: u32,
    /// Weekdays: bit 0 (Sunday) to 6.
    pub(super) weekdays: u8,
    /// `d#n`: in element n-1, bit d.
    pub(super) nth: [u8; 5],
    /// `dL`: bit d.
    pub(super) last_weekdays: u8,
    /// Both fields are restricted: a day matches when either does.
    pub(super) either: bool,
}

impl DayRule {
    /// The matching days of a month that begins on weekday `first` (Sunday = 0) and has `length` days, as bits 1 to 31.
    pub(super) fn matching(&self, first: u32, length: u32) -> u32 {
        let by_day = self.by_day(first, length);
        let by_weekday = self.by_weekday(first, length);
        let chosen = if self.either {
            by_day | by_weekday
        } else {
            by_day & by_weekday
        };
        chosen & month_bits(length)
    }

    fn by_day(&self, first: u32, length: u32) -> u32 {
        let mut chosen = self.days;
        if self.from_end | self.workdays | self.workdays_from_end == 0 {
            return chosen;
        }
        for n in ones(self.from_end) {
            if n < length {
                chosen |= 1 << (length - n);
            }
        }
        for day in ones(self.workdays) {
            if day <= length {
                chosen |= 1 << nearest_workday(day, first, length);
            }
        }
        for n in ones(self.workdays_from_end) {
            if n < length {
                chosen |= 1 << nearest_workday(length - n, first, length);
            }
        }
        chosen
    }

    fn by_weekday(&self, first: u32, length: u32) -> u32 {
        let mut chosen = every_week(self.weekdays, first);
        for (index, weekdays) in (0u32..).zip(self.nth) {
            if weekdays != 0 {
                chosen |= every_week(weekdays, first) & (0b1111_1110 << (7 * index));
            }
        }
        if self.last_weekdays != 0 {
            let last_week = month_bits(length) & !month_bits(length - 7);
            chosen |= every_week(self.last_weekdays, first) & last_week;
        }
        chosen
    }
}

fn month_bits(length: u32) -> u32 {
    u32::MAX >> (31 - length) & !1
}

/// The days 1 to 31 that fall on these weekdays when day 1 falls on `first`.
fn every_week(weekdays: u8, first: u32) -> u32 {
    let week = u32::from(weekdays);
    let turned = (week >> first | week << (7 - first)) & 0x7f;
    let month = u64::from(turned) * 0x2040_8102;
    // The lowest 32 bits hold days 0 to 31.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "exactly the part that is wanted"
    )]
    let days = month as u32;
    days & !1
}

/// The Monday to Friday nearest to a day without leaving the month.
fn nearest_workday(day: u32, first: u32, length: u32) -> u32 {
    match (first + day - 1) % 7 {
        6 if day == 1 => 3,
        6 => day - 1,
        0 if day == length => day - 2,
        0 => day + 1,
        _ => day,
    }
}

fn ones(mut bits: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        (bits != 0).then(|| {
            let lowest = bits.trailing_zeros();
            bits &= bits - 1;
            lowest
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same question answered day by day.
    fn slowly(rule: &DayRule, first: u32, length: u32) -> u32 {
        (1..=length)
            .filter(|&day| {
                let weekday = (first + day - 1) % 7;
                let has = |bits: u8| bits >> weekday & 1 == 1;
                let weekday_matches = has(rule.weekdays)
                    || has(rule.nth[((day - 1) / 7) as usize])
                    || has(rule.last_weekdays) && day + 7 > length;
                let workday_of = |wanted: u32| {
                    let is_work = |d: u32| !matches!((first + d - 1) % 7, 0 | 6);
                    (1..=length)
                        .filter(|d| is_work(*d))
                        .min_by_key(|d| d.abs_diff(wanted))
                        .is_some_and(|d| d == day)
                };
                let day_matches = rule.days >> day & 1 == 1
                    || rule.from_end >> (length - day) & 1 == 1
                    || ones(rule.workdays).any(|d| d <= length && workday_of(d))
                    || ones(rule.workdays_from_end).any(|n| n < length && workday_of(length - n));
                if rule.either {
                    day_matches || weekday_matches
                } else {
                    day_matches && weekday_matches
                }
            })
            .fold(0, |bits, day| bits | 1 << day)
    }

    #[test]
    fn days_agree_with_counting_day_by_day() {
        let mut random = fastrand::Rng::with_seed(20_261_121);
        for case in 0..20_000 {
            let few = |random: &mut fastrand::Rng| random.u32(..) & random.u32(..) & random.u32(..);
            let rule = DayRule {
                days: few(&mut random) & !1,
                from_end: few(&mut random) & 0x3fff_ffff,
                workdays: few(&mut random) & !1,
                workdays_from_end: few(&mut random) & 0x3fff_ffff,
                weekdays: random.u8(..) & random.u8(..) & 0x7f,
                nth: std::array::from_fn(|_| random.u8(..) & random.u8(..) & random.u8(..) & 0x7f),
                last_weekdays: random.u8(..) & random.u8(..) & 0x7f,
                either: random.bool(),
            };
            let (first, length) = (random.u32(0..7), random.u32(28..32));
            assert_eq!(
                rule.matching(first, length),
                slowly(&rule, first, length),
                "case {case}: {rule:?}, first {first}, length {length}"
            );
        }
    }
}
