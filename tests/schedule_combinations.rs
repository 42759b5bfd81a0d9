//! Combined schedules against plain set operations on the slots of a window.
//!
//! `TLO_PROOF=full` runs 2,000 cases, otherwise a twentieth. `TLO_SEED` repeats a run; the seed is printed.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(
    clippy::print_stdout,
    reason = "counts and seeds are part of the result"
)]

mod schedule_model;

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;
use schedule_model::cases::{check, instant, policy};
use schedule_model::{ZONES, expression, moment};
use tlo::Timestamp;
use tlo::schedule::Schedule;

/// All slots after an instant up to another.
fn slots_within(
    schedule: &Schedule,
    anchor: Timestamp,
    from: Timestamp,
    until: Timestamp,
) -> Vec<Timestamp> {
    let mut slots = Vec::new();
    let mut last = from;
    while let Some(slot) = schedule.next(anchor, last).filter(|slot| *slot <= until) {
        slots.push(slot);
        last = slot;
    }
    slots
}

/// Two schedules that often have slots in common: on the same clocks, or intervals of the same anchor.
fn related() -> impl Strategy<Value = (Schedule, Schedule)> {
    let other = prop_oneof![
        3 => expression(false).prop_map(|expression| Some((expression.text, 0))),
        1 => (1_u64..5).prop_map(|factor| Some((String::new(), factor))),
        1 => Just(None),
    ];
    (
        expression(false),
        other,
        proptest::sample::select(&ZONES[..]),
        policy(),
    )
        .prop_map(|(expression, other, zone, dst)| {
            let first = expression.schedule(zone).dst(dst);
            let minutes = |count| Schedule::every(Duration::from_secs(count * 60)).unwrap();
            match other {
                Some((text, 0)) => (first, Schedule::cron_in(&text, zone).unwrap().dst(dst)),
                Some((_, factor)) => (minutes(6), minutes(factor)),
                // Every minute of the same days: all of the first are slots of the second.
                None => {
                    let days: Vec<&str> = expression.text.split(' ').skip(2).collect();
                    let all = format!("* * {}", days.join(" "));
                    (first, Schedule::cron_in(&all, zone).unwrap().dst(dst))
                }
            }
        })
}

#[test]
fn combinations_are_set_operations() {
    let strategy = (related(), moment(), 0_i64..100_000, any::<bool>());
    check(
        "combinations",
        2_000,
        &strategy,
        |((first, second), (_, start), length, windowed)| {
            let (from, until) = (instant(start), instant(start + 130_000));
            let second = if windowed {
                second.between(
                    Some(instant(start + 30_000)),
                    Some(instant(start + 30_000 + length)),
                )
            } else {
                second
            };
            let (left, right) = (
                slots_within(&first, from, from, until),
                slots_within(&second, from, from, until),
            );
            let in_right: HashSet<Timestamp> = right.iter().copied().collect();
            let (both, only_left): (Vec<_>, Vec<_>) = left
                .iter()
                .copied()
                .partition(|slot| in_right.contains(slot));
            let mut either: Vec<_> = left.into_iter().chain(right).collect();
            either.sort_unstable();
            either.dedup();
            let (a, b) = (&first, &second);
            prop_assert_eq!(
                slots_within(&a.clone().and(b.clone()), from, from, until),
                both
            );
            prop_assert_eq!(
                slots_within(&a.clone().or(b.clone()), from, from, until),
                either
            );
            prop_assert_eq!(
                slots_within(&a.clone().except(b.clone()), from, from, until),
                only_left
            );
            Ok(())
        },
    );
}
