//! Hand-checked instants at the clock changes of twelve zones, for every policy.
//!
//! The instants were worked out on paper from the published rules of each zone, not with the code under test.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use tlo::Timestamp;
use tlo::schedule::{Dst, Schedule};

const ALL: [Dst; 6] = [
    Dst::Vixie,
    Dst::First,
    Dst::Second,
    Dst::Both,
    Dst::Real,
    Dst::Skip,
];

/// The slots after an instant, as text without seconds (`2026-03-29T01:00`).
fn slots(expression: &str, zone: &str, dst: Dst, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::cron_in(expression, zone).unwrap().dst(dst);
    let mut last: Timestamp = format!("{after}:00Z").parse().unwrap();
    let mut found = Vec::new();
    for _ in 0..count {
        let Some(slot) = schedule.next(Timestamp::UNIX_EPOCH, last) else {
            break;
        };
        assert!(
            slot > last,
            "{expression} {zone} {dst:?}: {slot} after {last}"
        );
        found.push(slot.to_string().replace(":00Z", ""));
        last = slot;
    }
    found
}

/// A daily job whose time is missing on one day: zone, expression, the slot before, the instant after the gap, and
/// the two slots that follow it.
#[rustfmt::skip]
const GAPS: [(&str, &str, [&str; 4]); 14] = [
    // 29 March 2026, 02:00 CET -> 03:00 CEST.
    ("Europe/Berlin", "30 2 * * *", ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30", "2026-03-31T00:30"]),
    ("Europe/Berlin", "0 2 * * *", ["2026-03-28T01:00", "2026-03-29T01:00", "2026-03-30T00:00", "2026-03-31T00:00"]),
    // 8 March 2026, 02:00 EST -> 03:00 EDT.
    ("America/New_York", "30 2 * * *", ["2026-03-07T07:30", "2026-03-08T07:00", "2026-03-09T06:30", "2026-03-10T06:30"]),
    // 29 March 2026, 01:00 GMT -> 02:00 IST (whose winter time is the "daylight" one).
    ("Europe/Dublin", "30 1 * * *", ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-30T00:30", "2026-03-31T00:30"]),
    // 4 October 2026, 02:00 +10:30 -> 02:30 +11.
    ("Australia/Lord_Howe", "15 2 * * *", ["2026-10-02T15:45", "2026-10-03T15:30", "2026-10-04T15:15", "2026-10-05T15:15"]),
    // 4 November 2018, 00:00 -03 -> 01:00 -02: midnight is missing.
    ("America/Sao_Paulo", "0 0 * * *", ["2018-11-03T03:00", "2018-11-04T03:00", "2018-11-05T02:00", "2018-11-06T02:00"]),
    // 25 April 2025, 00:00 +02 -> 01:00 +03.
    ("Africa/Cairo", "30 0 * * *", ["2025-04-23T22:30", "2025-04-24T22:00", "2025-04-25T21:30", "2025-04-26T21:30"]),
    // 6 April 2025, the end of Ramadan: 02:00 +00 -> 03:00 +01.
    ("Africa/Casablanca", "30 2 * * *", ["2025-04-05T02:30", "2025-04-06T02:00", "2025-04-07T01:30", "2025-04-08T01:30"]),
    // 30 December 2011 does not exist: -10 -> +14.
    ("Pacific/Apia", "30 12 * * *", ["2011-12-29T22:30", "2011-12-30T10:00", "2011-12-30T22:30", "2011-12-31T22:30"]),
    // 1 January 1986, 00:00 +05:30 -> 00:15 +05:45.
    ("Asia/Kathmandu", "10 0 * * *", ["1985-12-30T18:40", "1985-12-31T18:30", "1986-01-01T18:25", "1986-01-02T18:25"]),
    // 29 March 2026, 01:00 +00 -> 03:00 +02: two hours.
    ("Antarctica/Troll", "30 1 * * *", ["2026-03-28T01:30", "2026-03-29T01:00", "2026-03-29T23:30", "2026-03-30T23:30"]),
    ("Antarctica/Troll", "30 2 * * *", ["2026-03-28T02:30", "2026-03-29T01:00", "2026-03-30T00:30", "2026-03-31T00:30"]),
    // 8 March 2026, 02:00 -03:30 -> 03:00 -02:30.
    ("America/St_Johns", "30 2 * * *", ["2026-03-07T06:00", "2026-03-08T05:30", "2026-03-09T05:00", "2026-03-10T05:00"]),
    // 14 March 2010, 00:01 -03:30 -> 01:01 -02:30.
    ("America/St_Johns", "30 0 * * *", ["2010-03-13T04:00", "2010-03-14T03:31", "2010-03-15T03:00", "2010-03-16T03:00"]),
];

#[test]
fn a_missing_time_runs_after_the_gap_or_not_at_all() {
    for (zone, expression, [before, after_gap, next, then]) in GAPS {
        let from = minute_before(before);
        for dst in ALL {
            let expected = match dst {
                Dst::Real | Dst::Skip => [before, next, then],
                _ => [before, after_gap, next],
            };
            assert_eq!(
                slots(expression, zone, dst, &from, 3),
                expected,
                "{expression} in {zone} with {dst:?}"
            );
        }
    }
}

/// A daily job whose time comes twice on one day: the slot before, the first, the second, the slot after.
#[rustfmt::skip]
const FOLDS: [(&str, &str, [&str; 4]); 13] = [
    ("Europe/Berlin", "30 2 * * *", ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-25T01:30", "2026-10-26T01:30"]),
    ("Europe/Berlin", "0 2 * * *", ["2026-10-24T00:00", "2026-10-25T00:00", "2026-10-25T01:00", "2026-10-26T01:00"]),
    ("America/New_York", "30 1 * * *", ["2026-10-31T05:30", "2026-11-01T05:30", "2026-11-01T06:30", "2026-11-02T06:30"]),
    ("Europe/Dublin", "30 1 * * *", ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-25T01:30", "2026-10-26T01:30"]),
    // 5 April 2026, 02:00 +11 -> 01:30 +10:30.
    ("Australia/Lord_Howe", "45 1 * * *", ["2026-04-03T14:45", "2026-04-04T14:45", "2026-04-04T15:15", "2026-04-05T15:15"]),
    // 18 February 2018, 00:00 -02 -> 17 February, 23:00 -03.
    ("America/Sao_Paulo", "30 23 * * *", ["2018-02-17T01:30", "2018-02-18T01:30", "2018-02-18T02:30", "2018-02-19T02:30"]),
    // 31 October 2025, 00:00 +03 -> 30 October, 23:00 +02.
    ("Africa/Cairo", "30 23 * * *", ["2025-10-29T20:30", "2025-10-30T20:30", "2025-10-30T21:30", "2025-10-31T21:30"]),
    // 23 February 2025, before Ramadan: 03:00 +01 -> 02:00 +00.
    ("Africa/Casablanca", "30 2 * * *", ["2025-02-22T01:30", "2025-02-23T01:30", "2025-02-23T02:30", "2025-02-24T02:30"]),
    // 25 October 2026, 03:00 +02 -> 01:00 +00: two hours.
    ("Antarctica/Troll", "30 2 * * *", ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-25T02:30", "2026-10-26T02:30"]),
    ("Antarctica/Troll", "30 1 * * *", ["2026-10-23T23:30", "2026-10-24T23:30", "2026-10-25T01:30", "2026-10-26T01:30"]),
    ("America/St_Johns", "30 1 * * *", ["2026-10-31T04:00", "2026-11-01T04:00", "2026-11-01T05:00", "2026-11-02T05:00"]),
    // 7 November 2010, 00:01 -02:30 -> 6 November, 23:01 -03:30: the date goes back.
    ("America/St_Johns", "30 23 * * *", ["2010-11-06T02:00", "2010-11-07T02:00", "2010-11-07T03:00", "2010-11-08T03:00"]),
    ("America/St_Johns", "0 0 * * *", ["2010-11-06T02:30", "2010-11-07T02:30", "2010-11-07T03:30", "2010-11-08T03:30"]),
];

#[test]
fn a_repeated_time_runs_once_or_twice() {
    for (zone, expression, [before, first, second, after]) in FOLDS {
        let from = minute_before(before);
        for dst in ALL {
            let expected: &[&str] = match dst {
                Dst::Second => &[before, second, after],
                Dst::Both | Dst::Real => &[before, first, second, after],
                _ => &[before, first, after],
            };
            assert_eq!(
                slots(expression, zone, dst, &from, expected.len()),
                expected,
                "{expression} in {zone} with {dst:?}"
            );
        }
    }
}

#[test]
fn other_expressions_and_policies_at_a_change() {
    #[rustfmt::skip]
    let rows: [(&str, &str, Dst, &str, &[&str]); 21] = [
        // A step runs at every real instant: nothing in the gap, both hours of the fold, in order.
        ("*/30 * * * *", "Europe/Berlin", Dst::Vixie, "2026-03-29T00:29", &["2026-03-29T00:30", "2026-03-29T01:00", "2026-03-29T01:30"]),
        ("*/30 * * * *", "Europe/Berlin", Dst::Vixie, "2026-10-24T23:59", &["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30", "2026-10-25T02:00"]),
        ("*/30 * * * *", "Europe/Berlin", Dst::First, "2026-10-24T23:59", &["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-25T02:00"]),
        ("*/30 * * * *", "Europe/Berlin", Dst::Second, "2026-10-24T23:59", &["2026-10-25T01:00", "2026-10-25T01:30", "2026-10-25T02:00"]),
        ("15 * * * *", "Europe/Berlin", Dst::Vixie, "2026-03-29T00:00", &["2026-03-29T00:15", "2026-03-29T01:15"]),
        ("15 * * * *", "Europe/Berlin", Dst::First, "2026-03-29T00:00", &["2026-03-29T00:15", "2026-03-29T01:00", "2026-03-29T01:15"]),
        // A range of hours is no wall-clock job either.
        ("30 1-3 * * *", "Europe/Berlin", Dst::Vixie, "2026-03-28T23:00", &["2026-03-29T00:30", "2026-03-29T01:30", "2026-03-29T23:30"]),
        // Several missing times are one run, and one that coincides with a real time is none more.
        ("0,30 2 * * *", "Europe/Berlin", Dst::Vixie, "2026-03-29T00:00", &["2026-03-29T01:00", "2026-03-30T00:00", "2026-03-30T00:30"]),
        ("0 2,3 * * *", "Europe/Berlin", Dst::Vixie, "2026-03-29T00:00", &["2026-03-29T01:00", "2026-03-30T00:00", "2026-03-30T01:00"]),
        ("30 1,2 * * *", "Antarctica/Troll", Dst::Vixie, "2026-10-24T12:00", &["2026-10-24T23:30", "2026-10-25T00:30", "2026-10-26T01:30", "2026-10-26T02:30"]),
        ("30 1,2 * * *", "Antarctica/Troll", Dst::Both, "2026-10-24T12:00", &["2026-10-24T23:30", "2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"]),
        ("30 1 25 10 *", "Antarctica/Troll", Dst::Both, "2026-10-24T12:00", &["2026-10-24T23:30", "2026-10-25T01:30"]),
        ("0 0 * * *", "Pacific/Apia", Dst::Vixie, "2011-12-29T09:59", &["2011-12-29T10:00", "2011-12-30T10:00", "2011-12-31T10:00"]),
        ("0 0 30 12 *", "Pacific/Apia", Dst::Vixie, "2011-12-01T00:00", &["2011-12-30T10:00", "2012-12-29T10:00"]),
        ("0 0 30 12 *", "Pacific/Apia", Dst::Skip, "2011-12-01T00:00", &["2012-12-29T10:00"]),
        ("0 */6 * * *", "Pacific/Apia", Dst::Vixie, "2011-12-30T00:00", &["2011-12-30T04:00", "2011-12-30T10:00", "2011-12-30T16:00"]),
        // No clock changes here.
        ("30 2 * * *", "UTC", Dst::Vixie, "2026-03-28T12:00", &["2026-03-29T02:30", "2026-03-30T02:30"]),
        ("30 2 * * *", "Asia/Kathmandu", Dst::Vixie, "2026-03-28T12:00", &["2026-03-28T20:45", "2026-03-29T20:45"]),
        // The last run of all is in the second hour of the fold.
        ("0 30 2 25 10 * 2026", "Europe/Berlin", Dst::Both, "2026-10-25T00:45", &["2026-10-25T01:30"]),
        ("0 30 2 25 10 * 2026", "Europe/Berlin", Dst::First, "2026-10-25T00:45", &[]),
        // Once a year, always in the gap: never under `skip`.
        ("0 30 2 29 3 * 2026", "Europe/Berlin", Dst::Skip, "2026-01-01T00:00", &[]),
    ];
    for (expression, zone, dst, from, expected) in rows {
        let found = slots(expression, zone, dst, from, expected.len().max(1));
        assert_eq!(found, expected, "{expression} in {zone} with {dst:?}");
    }
}

#[test]
fn asked_within_a_fold_the_answer_goes_on_from_there() {
    // 25 October 2026 in Berlin, 02:50 of the first pass: the second pass is still to come.
    assert_eq!(
        slots(
            "*/20 * * * *",
            "Europe/Berlin",
            Dst::Vixie,
            "2026-10-25T00:50",
            2
        ),
        ["2026-10-25T01:00", "2026-10-25T01:20"]
    );
    // Within the second pass, with the first one only: the pass is over at 03:00.
    assert_eq!(
        slots(
            "*/20 * * * *",
            "Europe/Berlin",
            Dst::Skip,
            "2026-10-25T01:10",
            2
        ),
        ["2026-10-25T02:00", "2026-10-25T02:20"]
    );
}

#[test]
fn intervals_count_elapsed_time_through_a_change() {
    let daily = Schedule::parse("every 1d", Some("Europe/Berlin")).unwrap();
    let anchor: Timestamp = "2026-03-28T01:30:00Z".parse().unwrap();
    let next = daily.next(anchor, anchor).unwrap();
    assert_eq!(next.to_string(), "2026-03-29T01:30:00Z");
}

fn minute_before(slot: &str) -> String {
    let at: Timestamp = format!("{slot}:00Z").parse().unwrap();
    let before = at.saturating_sub(std::time::Duration::from_secs(60));
    before.to_string().replace(":00Z", "")
}
