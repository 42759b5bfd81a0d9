//! The one resolver from wall time to instants, through gaps and folds.
//!
//! Time is walked in stretches of constant offset. Inside a stretch wall time and instants run side by side, so slots
//! come out in order by construction; what a daylight-saving change does is decided only at the ends of a stretch.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneTransition};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// No zone changes its offset by more than this; past it, wall time does not come back.
const FURTHEST_FOLD: i64 = 26 * 3_600;

/// How many stretches one search looks at: two changes a year over more than 400 years.
const MOST_STRETCHES: usize = 1_000;

/// What a cron schedule does on the days when clocks change.
///
/// In a *gap* wall times are missing (clocks go forward), in a *fold* they come twice (clocks go back).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Dst {
    /// Vixie cron's rule. When hour and minute are numbers or lists of numbers, as [`First`](Self::First); when one of
    /// them has `*`, a range or a step, as [`Real`](Self::Real).
    #[default]
    Vixie,
    /// A missing time runs at the first instant after the gap, a repeated one at the first of the two.
    First,
    /// A missing time runs at the first instant after the gap, a repeated one at the second of the two.
    Second,
    /// A missing time runs at the first instant after the gap, a repeated one both times.
    Both,
    /// A missing time does not run, a repeated one runs both times: every instant whose wall time matches.
    Real,
    /// A missing time does not run, a repeated one runs at the first of the two.
    Skip,
}

impl Dst {
    /// The name as it is written in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vixie => "vixie",
            Self::First => "first",
            Self::Second => "second",
            Self::Both => "both",
            Self::Real => "real",
            Self::Skip => "skip",
        }
    }

    /// All of them, the default first.
    pub const ALL: [Self; 6] = [
        Self::Vixie,
        Self::First,
        Self::Second,
        Self::Both,
        Self::Real,
        Self::Skip,
    ];

    /// The rule for an expression whose hour and minute are literal, or not.
    pub(super) const fn rule(self, literal: bool) -> ChangeRule {
        let (gap, fold) = match self {
            Self::Vixie if literal => (Gap::RunAfter, Fold::First),
            Self::Vixie | Self::Real => (Gap::Skip, Fold::Both),
            Self::First => (Gap::RunAfter, Fold::First),
            Self::Second => (Gap::RunAfter, Fold::Second),
            Self::Both => (Gap::RunAfter, Fold::Both),
            Self::Skip => (Gap::Skip, Fold::First),
        };
        ChangeRule { gap, fold }
    }
}

/// A missing wall time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    Skip,
    RunAfter,
}

/// A wall time that comes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    First,
    Second,
    Both,
}

/// What to do at a change of the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChangeRule {
    pub(super) gap: Gap,
    pub(super) fold: Fold,
}

/// The first slot strictly after `after`. `wall` gives the first matching wall time at or after a wall time.
pub(super) fn next_instant(
    zone: &TimeZone,
    rule: ChangeRule,
    after: crate::Timestamp,
    wall: impl Fn(DateTime) -> Option<DateTime>,
) -> Option<Timestamp> {
    let mut from = whole_second_after(after)?;
    if rule.gap == Gap::RunAfter && ends_matching_gap(zone, from, &wall) {
        return Some(from);
    }
    for _ in 0..MOST_STRETCHES {
        let offset = zone.to_offset(from);
        let change = zone.following(from).next();
        let end = change
            .as_ref()
            .map_or(Timestamp::MAX, TimeZoneTransition::timestamp);
        let candidate = wall(offset.to_datetime(from));
        if let Some(time) = candidate
            && let Ok(instant) = offset.to_timestamp(time)
            && (change.is_none() || instant < end)
        {
            match admit(zone, rule, time, offset) {
                Admit::Yes => return Some(instant),
                Admit::FirstPassRefused => {}
                Admit::SecondPassRefused { length } => {
                    from = end_of_second_pass(zone, instant, length)?;
                    continue;
                }
            }
        }
        let change = change?;
        if end.as_second() - from.as_second() > FURTHEST_FOLD {
            // Nothing before the candidate matches, in this stretch or in those that follow.
            let near = seconds_before(candidate?, FURTHEST_FOLD)?;
            if near > end {
                from = near;
                continue;
            }
        }
        if rule.gap == Gap::RunAfter && gap_matches(offset, change.offset(), end, &wall) {
            return Some(end);
        }
        from = end;
    }
    None
}

/// The first instant on a whole second after this one.
fn whole_second_after(after: crate::Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(after.as_micros().div_euclid(1_000_000) + 1).ok()
}

/// An instant that lies before this wall time in every zone.
fn seconds_before(time: DateTime, seconds: i64) -> Option<Timestamp> {
    let utc = Offset::UTC.to_timestamp(time).ok()?;
    Timestamp::from_second(utc.as_second().checked_sub(seconds)?).ok()
}

enum Admit {
    Yes,
    FirstPassRefused,
    SecondPassRefused { length: i64 },
}

/// Whether a matching wall time that exists at this offset is a slot.
fn admit(zone: &TimeZone, rule: ChangeRule, time: DateTime, offset: Offset) -> Admit {
    if rule.fold == Fold::Both {
        return Admit::Yes;
    }
    let AmbiguousOffset::Fold { before, after } = zone.to_ambiguous_timestamp(time).offset() else {
        return Admit::Yes;
    };
    match (rule.fold, offset == before) {
        (Fold::Second, true) => Admit::FirstPassRefused,
        (Fold::First, false) => Admit::SecondPassRefused {
            length: i64::from(before.seconds()) - i64::from(after.seconds()),
        },
        _ => Admit::Yes,
    }
}

/// The instant at which the second pass through a fold ends, for an instant inside it.
fn end_of_second_pass(zone: &TimeZone, inside: Timestamp, length: i64) -> Option<Timestamp> {
    let next = Timestamp::from_second(inside.as_second().checked_add(1)?).ok()?;
    let began = zone.preceding(next).next()?.timestamp().as_second();
    Timestamp::from_second(began.checked_add(length)?.max(next.as_second())).ok()
}

/// Whether a gap with a matching wall time in it ends at this instant.
fn ends_matching_gap(
    zone: &TimeZone,
    at: Timestamp,
    wall: impl Fn(DateTime) -> Option<DateTime>,
) -> bool {
    let Ok(just_before) = at.checked_sub(SignedDuration::from_secs(1)) else {
        return false;
    };
    gap_matches(zone.to_offset(just_before), zone.to_offset(at), at, wall)
}

/// Whether a wall time that the change from `before` to `after` leaves out matches.
fn gap_matches(
    before: Offset,
    after: Offset,
    at: Timestamp,
    wall: impl Fn(DateTime) -> Option<DateTime>,
) -> bool {
    let (start, end) = (before.to_datetime(at), after.to_datetime(at));
    start < end && wall(start).is_some_and(|time| time < end)
}
