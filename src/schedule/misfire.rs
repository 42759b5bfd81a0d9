//! [`missed`]: what to do about slots that are due, decided without looking at each of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Schedule;
use super::combine::Budget;
use super::policy::{Misfire, SchedulePolicy};
use super::rule::{Rule, Window};
use crate::timestamp::Timestamp;

/// How late a slot may be under [`Misfire::Skip`] when no grace is given.
const ON_TIME: Duration = Duration::from_secs(60);

/// The most slots that one decision starts.
const MOST_AT_ONCE: usize = 1_000;

/// The most slots that are walked through, to count them or to make up for them.
const MOST_WALKED: usize = 10_000;

/// The smallest step of time.
const TICK: Duration = Duration::from_micros(1);

/// Why slots are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SkipReason {
    /// The misfire policy makes up for fewer.
    Misfire,
    /// They are later than the grace.
    TooLate,
}

impl SkipReason {
    /// The reason in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Misfire => "the misfire policy makes up for fewer",
            Self::TooLate => "too late",
        }
    }
}

/// Slots that are passed over, as one range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The first of them.
    pub from: Timestamp,
    /// The last of them.
    pub to: Timestamp,
    /// How many there are.
    pub count: u64,
    /// There are more than `count`: counting stopped there.
    pub at_least: bool,
    /// Why.
    pub why: SkipReason,
}

/// What to do about the slots that are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatchUp {
    /// The slots to start now, oldest first; at most 1,000.
    pub fire: Vec<Timestamp>,
    /// What is skipped, oldest first; at most one range for each reason.
    pub skipped: Vec<Skipped>,
    /// The last slot that is decided with this, to be given as `last_slot` the next time; the same as before when
    /// nothing was due.
    pub cursor: Timestamp,
    /// There is more to start than one answer holds: ask again with the cursor.
    pub more: bool,
}

/// Decides what to do with the slots after `last_slot` up to `now`.
///
/// `anchor` is the schedule's; `last_slot` is the last slot decided before, or the anchor. The effort is bounded, also
/// when a year of seconds was missed: intervals are counted by division, others up to 10,000.
#[must_use]
pub fn missed(
    schedule: &Schedule,
    policy: &SchedulePolicy,
    anchor: Timestamp,
    last_slot: Timestamp,
    now: Timestamp,
) -> CatchUp {
    let first = schedule.next(anchor, last_slot);
    missed_from(schedule, policy, anchor, (last_slot, first), now).0
}

/// As [`missed`], for who knows the slot after the last one; answers also with the slot after the cursor, where that was
/// looked up on the way.
pub(crate) fn missed_from(
    schedule: &Schedule,
    policy: &SchedulePolicy,
    anchor: Timestamp,
    (last_slot, first): (Timestamp, Option<Timestamp>),
    now: Timestamp,
) -> (CatchUp, Option<Timestamp>) {
    let mut answer = CatchUp {
        fire: Vec::new(),
        skipped: Vec::new(),
        cursor: last_slot,
        more: false,
    };
    let Some(first) = first.filter(|slot| *slot <= now) else {
        return (answer, first);
    };
    let due = Slots {
        rule: &schedule.0,
        anchor,
        after: last_slot,
        until: now,
    };
    let mut budget = Budget::new();
    let most = wanted(policy.misfire);
    let oldest = lateness(policy).map_or(Timestamp::MIN, |allowed| now.saturating_sub(allowed));
    // One slot, in time: what nearly always happens.
    let second = schedule.0.next(anchor, first, &mut budget);
    let is_alone = second.map_or_else(|| !budget.is_spent(), |second| second > now);
    if is_alone && first >= oldest && most > 0 {
        answer.cursor = first;
        answer.fire = vec![first];
        return (answer, second);
    }
    let (late, timely) = due.split_before(oldest);
    answer.fire = timely.newest(most);
    let passed = match answer.fire.first() {
        Some(oldest) => timely.split_before(*oldest).0,
        None => timely,
    };
    answer.skipped.extend(late.summary(SkipReason::TooLate));
    answer.skipped.extend(passed.summary(SkipReason::Misfire));
    if answer.fire.len() > MOST_AT_ONCE {
        answer.fire.truncate(MOST_AT_ONCE);
        answer.more = true;
    }
    let skipped_to = answer.skipped.last().map(|range| range.to);
    if let Some(last) = answer.fire.last().copied().or(skipped_to) {
        answer.cursor = last;
    }
    (answer, None)
}

/// The last slot of a rule at or before an instant.
pub(super) fn last_slot(rule: &Rule, anchor: Timestamp, at: Timestamp) -> Option<Timestamp> {
    const FURTHEST: Duration = Duration::from_secs(400 * 366 * 86_400);
    let slots = Slots {
        rule,
        anchor,
        after: at.saturating_sub(FURTHEST),
        until: at,
    };
    slots.newest(1).pop()
}

fn lateness(policy: &SchedulePolicy) -> Option<Duration> {
    match policy.misfire {
        Misfire::Skip => Some(policy.grace.unwrap_or(ON_TIME)),
        Misfire::Once | Misfire::All { .. } => policy.grace,
    }
}

fn wanted(misfire: Misfire) -> usize {
    match misfire {
        Misfire::Skip | Misfire::Once => 1,
        Misfire::All { max } => usize::try_from(max).unwrap_or(usize::MAX).min(MOST_WALKED),
    }
}

/// The slots of a rule after `after` up to and with `until`.
#[derive(Clone, Copy)]
struct Slots<'a> {
    rule: &'a Rule,
    anchor: Timestamp,
    after: Timestamp,
    until: Timestamp,
}

impl Slots<'_> {
    /// Those before an instant, and those at or after it.
    fn split_before(self, instant: Timestamp) -> (Self, Self) {
        let border = instant
            .saturating_sub(TICK)
            .clamp(self.after, self.until.max(self.after));
        (
            Self {
                until: border,
                ..self
            },
            Self {
                after: border,
                ..self
            },
        )
    }

    fn first(self) -> Option<Timestamp> {
        let (slots, _) = self.rule.walk(self.anchor, self.after, self.until, 1);
        slots.first().copied()
    }

    fn summary(self, why: SkipReason) -> Option<Skipped> {
        let from = self.first()?;
        let to = self.newest(1).last().copied().unwrap_or(from);
        let (count, all) = self.count();
        Some(Skipped {
            from,
            to,
            count,
            at_least: !all,
            why,
        })
    }

    /// How many there are, and whether they were all counted.
    fn count(self) -> (u64, bool) {
        match self.rule {
            Rule::Every(period) => (self.interval_count(*period), true),
            Rule::Between(window) => self.inside(window).count(),
            _ => {
                let (slots, all) = self
                    .rule
                    .walk(self.anchor, self.after, self.until, MOST_WALKED);
                (u64::try_from(slots.len()).unwrap_or(u64::MAX), all)
            }
        }
    }

    /// The last `wanted` of them, oldest first.
    fn newest(self, wanted: usize) -> Vec<Timestamp> {
        if wanted == 0 || self.until <= self.after {
            return Vec::new();
        }
        match self.rule {
            Rule::Every(period) => {
                let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
                let passed_over = self.interval_count(*period).saturating_sub(wanted);
                let start = interval_slot(*period, self.anchor, passed_over, self.after);
                let rest = Self {
                    after: start,
                    ..self
                };
                self.rule
                    .walk(self.anchor, rest.after, self.until, MOST_WALKED)
                    .0
            }
            Rule::Between(window) => self.inside(window).newest(wanted),
            _ => self.newest_by_walking(wanted),
        }
    }

    /// The same slots asked of the rule inside a window.
    fn inside(self, window: &Window) -> Slots<'_> {
        let after = window.start.map_or(self.after, |start| {
            self.after.max(start.saturating_sub(TICK))
        });
        let until = window.end.map_or(self.until, |end| self.until.min(end));
        Slots {
            rule: &window.of,
            anchor: self.anchor,
            after,
            until: until.max(after),
        }
    }

    fn interval_count(self, period: Duration) -> u64 {
        let until_anchor =
            |instant: Timestamp| instant.since(self.anchor).as_micros() / period.as_micros().max(1);
        let count = until_anchor(self.until).saturating_sub(until_anchor(self.after));
        u64::try_from(count).unwrap_or(u64::MAX)
    }

    /// Widens a stretch before the end until it holds enough slots, and narrows it again when it holds too many to
    /// walk through.
    fn newest_by_walking(self, wanted: usize) -> Vec<Timestamp> {
        let most = wanted.saturating_mul(4).saturating_add(64);
        let span = u64::try_from(self.until.since(self.after).as_micros()).unwrap_or(u64::MAX);
        let mut too_short = 0;
        let mut too_long = None;
        let mut length: u64 = 1_000_000;
        let mut found = Vec::new();
        loop {
            let length_now = length.min(span);
            let start = self.until.saturating_sub(Duration::from_micros(length_now));
            let (slots, all) = self
                .rule
                .walk(self.anchor, start.max(self.after), self.until, most);
            if all && (slots.len() >= wanted || length_now == span) {
                found = slots;
                break;
            }
            if all {
                too_short = length_now;
                found = slots;
            } else {
                too_long = Some(length_now);
            }
            length = match too_long {
                Some(too_long) if too_long - too_short <= 1 => break,
                Some(too_long) => too_short + (too_long - too_short) / 2,
                None => length_now.saturating_mul(2),
            };
        }
        found.split_off(found.len().saturating_sub(wanted))
    }
}

/// The slot with which the first `passed_over` slots after `after` end.
fn interval_slot(
    period: Duration,
    anchor: Timestamp,
    passed_over: u64,
    after: Timestamp,
) -> Timestamp {
    if passed_over == 0 {
        return after;
    }
    let period = i128::try_from(period.as_micros()).unwrap_or(i128::MAX);
    let passed = i128::from(after.as_micros()) - i128::from(anchor.as_micros());
    let number = passed.max(0) / period + i128::from(passed_over);
    let slot = i128::from(anchor.as_micros()).saturating_add(number.saturating_mul(period));
    Timestamp::from_micros(i64::try_from(slot).unwrap_or(i64::MAX))
}
