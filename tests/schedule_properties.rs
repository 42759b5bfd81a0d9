//! Properties of schedules on random expressions, zones, policies and instants, and brute force over every minute.
//!
//! `TLO_PROOF=full` runs more than 100,000 cases, otherwise a twentieth. `TLO_SEED` repeats a run; the seed is printed.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(
    clippy::print_stdout,
    reason = "counts and seeds are part of the result"
)]

mod schedule_model;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use schedule_model::cases::{check, instant, policy};
use schedule_model::{Expression, ZONES, expression, moment};
use tlo::Timestamp;
use tlo::schedule::{
    Dst, Misfire, Schedule, SchedulePolicy, SkipReason, format_duration, missed, parse_duration,
};

fn next(schedule: &Schedule, after: Timestamp) -> Option<Timestamp> {
    schedule.next(Timestamp::UNIX_EPOCH, after)
}

#[test]
fn slots_increase_and_none_is_skipped_between_two() {
    let strategy = (expression(true), moment(), policy());
    check(
        "increasing",
        60_000,
        &strategy,
        |(expression, (zone, second), dst)| {
            let schedule = expression.schedule(zone).dst(dst);
            let mut last = instant(second);
            for _ in 0..4 {
                let Some(slot) = next(&schedule, last) else {
                    break;
                };
                prop_assert!(slot > last, "{slot} is not after {last}");
                prop_assert_eq!(slot.as_micros() % 1_000_000, 0);
                // Nothing lies between the two: asked from just before, or from anywhere between, the answer is the same.
                let just_before = Timestamp::from_micros(slot.as_micros() - 1);
                let middle = Timestamp::from_micros(
                    last.as_micros()
                        .midpoint(slot.as_micros())
                        .min(just_before.as_micros()),
                );
                let second_before = slot.saturating_sub(Duration::from_secs(1)).max(last);
                for earlier in [just_before, middle, second_before] {
                    prop_assert_eq!(
                        next(&schedule, earlier),
                        Some(slot),
                        "asked after {}",
                        earlier
                    );
                }
                let wall = zone_of(zone).to_datetime(jiff(slot));
                let real = expression.matches(wall);
                prop_assert!(
                    real || ends_gap(zone, slot),
                    "{slot} ({wall}) neither matches nor ends a gap"
                );
                last = slot;
            }
            Ok(())
        },
    );
}

fn zone_of(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn jiff(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_microsecond(at.as_micros()).unwrap()
}

fn ends_gap(zone: &str, slot: Timestamp) -> bool {
    let zone = zone_of(zone);
    let before = jiff::Timestamp::from_microsecond(slot.as_micros() - 1).unwrap();
    zone.to_offset(jiff(slot)) > zone.to_offset(before)
}

/// The slots of a window by looking at every step of it, with nothing but the zone's instant-to-wall direction.
fn by_brute_force(
    expression: &Expression,
    zone: &str,
    dst: Dst,
    (from, until): (i64, i64),
    step: i64,
) -> Vec<Timestamp> {
    const LONGEST_FOLD: i64 = 3 * 3_600;
    let zone = zone_of(zone);
    let seconds =
        (from - LONGEST_FOLD..=until + LONGEST_FOLD).step_by(usize::try_from(step).unwrap());
    let walls: Vec<(i64, DateTime)> = seconds
        .map(|second| {
            (
                second,
                zone.to_datetime(jiff::Timestamp::from_second(second).unwrap()),
            )
        })
        .collect();
    // The last instant of each wall time; the first is the one met first.
    let last: HashMap<DateTime, i64> = walls
        .iter()
        .map(|(second, wall)| (*wall, *second))
        .collect();
    let as_first = dst == Dst::Vixie && expression.literal || dst == Dst::First;
    let runs_after_gap = as_first || matches!(dst, Dst::Second | Dst::Both);
    let mut seen = HashSet::new();
    let mut slots = Vec::new();
    let mut previous = walls[0].1;
    for (second, now) in walls {
        let repeated = !seen.insert(now);
        let counts = match dst {
            _ if as_first => !repeated,
            Dst::Skip => !repeated,
            Dst::Second => last[&now] == second,
            _ => true,
        };
        let mut matched = counts && expression.matches(now);
        let mut missing = previous + jiff::SignedDuration::from_secs(step);
        while runs_after_gap && missing < now {
            matched |= expression.matches(missing);
            missing += jiff::SignedDuration::from_secs(step);
        }
        if matched && from < second && second <= until {
            slots.push(instant(second));
        }
        previous = now;
    }
    slots
}

fn agrees_with_brute_force(
    expression: &Expression,
    (zone, second): (&'static str, i64),
    dst: Dst,
    hours: i64,
    step: i64,
) -> Result<usize, TestCaseError> {
    let from = second.div_euclid(step) * step;
    let until = from + hours * 3_600;
    let schedule = expression.schedule(zone).dst(dst);
    let expected = by_brute_force(expression, zone, dst, (from, until), step);
    let mut found = Vec::new();
    let mut last = instant(from);
    while let Some(slot) = next(&schedule, last).filter(|slot| *slot <= instant(until)) {
        found.push(slot);
        last = slot;
    }
    prop_assert_eq!(
        &found,
        &expected,
        "{} in {} with {:?}",
        &expression.text,
        zone,
        dst
    );
    Ok(found.len())
}

#[test]
fn every_minute_of_a_window_agrees_with_brute_force() {
    let compared = Cell::new(0);
    let strategy = (expression(false), moment(), policy());
    check(
        "brute force by minute",
        20_000,
        &strategy,
        |(expression, moment, dst)| {
            let slots = agrees_with_brute_force(&expression, moment, dst, 50, 60)?;
            compared.set(compared.get() + slots);
            Ok(())
        },
    );
    println!("brute force by minute: {} slots equal", compared.get());
    assert!(compared.get() > 1_000);
}

#[test]
fn every_second_of_a_window_agrees_with_brute_force() {
    let compared = Cell::new(0);
    let strategy = (expression(true), moment(), policy());
    check(
        "brute force by second",
        1_000,
        &strategy,
        |(expression, moment, dst)| {
            let slots = agrees_with_brute_force(&expression, moment, dst, 3, 1)?;
            compared.set(compared.get() + slots);
            Ok(())
        },
    );
    println!("brute force by second: {} slots equal", compared.get());
}

#[test]
fn a_schedule_survives_being_written_and_read() {
    let strategy = (expression(true), moment(), policy(), any::<bool>());
    check(
        "round trip",
        20_000,
        &strategy,
        |(expression, (zone, second), dst, windowed)| {
            let mut schedule = expression.schedule(zone).dst(dst).seeded("a task").unwrap();
            if windowed {
                schedule = schedule
                    .or(Schedule::every(Duration::from_micros(second.unsigned_abs() + 1)).unwrap())
                    .between(Some(instant(second)), None);
            }
            let text = serde_json::to_string(&schedule).unwrap();
            let read: Schedule = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read, &schedule, "{}", &text);
            prop_assert_eq!(read.spec_hash(), schedule.spec_hash());
            prop_assert_eq!(
                next(&read, instant(second)),
                next(&schedule, instant(second))
            );
            prop_assert!(!schedule.describe().is_empty());
            Ok(())
        },
    );
}

#[test]
fn any_text_is_answered_without_a_panic() {
    let strategy = (
        "[0-9*/,?LWH#@a-zA-Z() -]{0,40}|\\PC{0,30}",
        proptest::sample::select(&ZONES[..]),
    );
    check("any text", 20_000, &strategy, |(text, zone)| {
        for schedule in [
            Schedule::parse(&text, Some(zone)),
            Schedule::cron(&text),
            Schedule::quartz(&text, zone),
        ] {
            match schedule {
                Ok(schedule) => {
                    let read: Schedule =
                        serde_json::from_str(&serde_json::to_string(&schedule).unwrap()).unwrap();
                    prop_assert_eq!(read, schedule);
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
        Ok(())
    });
}

#[test]
fn every_duration_is_read_back() {
    check("durations", 4_000, &any::<Duration>(), |duration| {
        prop_assert_eq!(
            parse_duration(&format_duration(duration)).unwrap(),
            duration
        );
        Ok(())
    });
}

/// A schedule of few slots an hour, so that brute force can list all that were missed.
fn any_schedule() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        (1_u64..7_200).prop_map(|seconds| Schedule::every(Duration::from_secs(seconds)).unwrap()),
        (expression(false), proptest::sample::select(&ZONES[..]))
            .prop_map(|(expression, zone)| expression.schedule(zone)),
        (60_u64..7_200, 0_i64..200_000).prop_map(|(seconds, start)| {
            Schedule::every(Duration::from_secs(seconds))
                .unwrap()
                .between(Some(instant(start)), Some(instant(start + 100_000)))
        }),
        (0_u64..200_000).prop_map(|seconds| Schedule::after(Duration::from_secs(seconds))),
        (60_u64..3_600, 60_u64..3_600).prop_map(|(left, right)| {
            Schedule::every(Duration::from_secs(left))
                .unwrap()
                .or(Schedule::every(Duration::from_secs(right)).unwrap())
        }),
    ]
}

fn any_misfire() -> impl Strategy<Value = Misfire> {
    prop_oneof![
        Just(Misfire::Skip),
        Just(Misfire::Once),
        (0_u32..50).prop_map(|max| Misfire::All { max }),
    ]
}

#[test]
fn missed_slots_are_all_fired_or_accounted_for() {
    let strategy = (
        any_schedule(),
        any_misfire(),
        proptest::option::of(0_u64..90_000),
        0_i64..100_000,
        0_i64..150_000,
    );
    check(
        "missed",
        20_000,
        &strategy,
        |(schedule, misfire, grace, last, down)| {
            let policy = SchedulePolicy {
                misfire,
                grace: grace.map(Duration::from_secs),
                ..SchedulePolicy::default()
            };
            let (anchor, now) = (instant(7), instant(last + down));
            let mut due = Vec::new();
            let mut at = instant(last);
            while let Some(slot) = schedule.next(anchor, at).filter(|slot| *slot <= now) {
                due.push(slot);
                at = slot;
            }
            prop_assume!(due.len() < 9_000);
            let answer = missed(&schedule, &policy, anchor, instant(last), now);
            let limit = match misfire {
                Misfire::Skip => Some(grace.unwrap_or(60)),
                _ => grace,
            };
            let timely = |slot: &Timestamp| {
                limit.is_none_or(|limit| now.since(*slot) <= Duration::from_secs(limit))
            };
            let wanted = match misfire {
                Misfire::Skip | Misfire::Once => 1,
                Misfire::All { max } => max as usize,
            };
            let in_time: Vec<Timestamp> = due.iter().copied().filter(timely).collect();
            let passed = in_time.len().saturating_sub(wanted);
            prop_assert_eq!(&answer.fire, &in_time[passed..]);
            let mut expected = Vec::new();
            for (slots, why) in [
                (&due[..due.len() - in_time.len()], SkipReason::TooLate),
                (&in_time[..passed], SkipReason::Misfire),
            ] {
                if let (Some(from), Some(to)) = (slots.first(), slots.last()) {
                    expected.push((*from, *to, slots.len() as u64, false, why));
                }
            }
            let skipped: Vec<_> = answer
                .skipped
                .iter()
                .map(|s| (s.from, s.to, s.count, s.at_least, s.why))
                .collect();
            prop_assert_eq!(skipped, expected);
            prop_assert_eq!(answer.cursor, due.last().copied().unwrap_or(instant(last)));
            let previous = schedule.previous(anchor, now);
            prop_assert_eq!(
                previous.filter(|slot| *slot > instant(last)),
                due.last().copied()
            );
            prop_assert!(!answer.more);
            Ok(())
        },
    );
}
