//! The rarest slots are found, and what finding them costs is printed (run with `--release -- --nocapture` to read it).

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(
    clippy::print_stdout,
    reason = "counts and seeds are part of the result"
)]

use std::time::Duration;

use tlo::schedule::{Dst, Misfire, Schedule, SchedulePolicy, missed};
use tlo::{Clock, SystemClock, Timestamp};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// How long one call takes, from many.
fn cost<T>(calls: u32, mut call: impl FnMut() -> T) -> Duration {
    let start = SystemClock.steady().at;
    for _ in 0..calls {
        std::hint::black_box(call());
    }
    (SystemClock.steady().at - start) / calls
}

#[test]
fn rare_slots_are_found() {
    let from = "2026-11-20T12:34:56Z";
    for (expression, zone, dst, expected) in [
        (
            "*/5 * * * *",
            "UTC",
            Dst::Vixie,
            Some("2026-11-20T12:35:00Z"),
        ),
        (
            "*/5 * * * *",
            "Europe/Berlin",
            Dst::Vixie,
            Some("2026-11-20T12:35:00Z"),
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            Dst::Vixie,
            Some("2026-11-21T01:30:00Z"),
        ),
        (
            "0 9 * * MON-FRI",
            "America/New_York",
            Dst::Vixie,
            Some("2026-11-20T14:00:00Z"),
        ),
        (
            "0 0 L * *",
            "Europe/Berlin",
            Dst::Vixie,
            Some("2026-11-29T23:00:00Z"),
        ),
        (
            "* * * * * *",
            "Europe/Berlin",
            Dst::Vixie,
            Some("2026-11-20T12:34:57Z"),
        ),
        (
            "0 0 29 2 *",
            "Europe/Berlin",
            Dst::Vixie,
            Some("2028-02-28T23:00:00Z"),
        ),
        // A leap day that is a Monday, the fifth of its month; one in the year 9996.
        (
            "0 0 ? 2 1#5",
            "Europe/Berlin",
            Dst::Vixie,
            Some("2044-02-28T23:00:00Z"),
        ),
        (
            "0 0 0 29 2 * 9996",
            "Europe/Berlin",
            Dst::Vixie,
            Some("9996-02-28T23:00:00Z"),
        ),
        // 02:30 on the last Sunday of March, where the clocks of Berlin go forward every year.
        (
            "30 2 25-31 3 *",
            "UTC",
            Dst::Skip,
            Some("2027-03-25T02:30:00Z"),
        ),
        ("30 2 * 3 7L", "Europe/Berlin", Dst::Skip, None),
    ] {
        let schedule = Schedule::cron_in(expression, zone).unwrap().dst(dst);
        let found = schedule.next(Timestamp::UNIX_EPOCH, at(from));
        assert_eq!(found, expected.map(at), "{expression} in {zone}");
        let calls = if expected.is_some() { 2_000 } else { 20 };
        let each = cost(calls, || schedule.next(Timestamp::UNIX_EPOCH, at(from)));
        println!("next   {expression:20} {zone:18} {each:?}");
    }
    let each = cost(2_000, || Schedule::cron("*/5 9-17 * * MON-FRI"));
    println!("parse  */5 9-17 * * MON-FRI                   {each:?}");
}

#[test]
fn a_year_of_missed_seconds_is_decided_at_once() {
    let (last, now) = (at("2025-11-20T00:00:00Z"), at("2026-11-20T00:00:00Z"));
    let policy = SchedulePolicy {
        misfire: Misfire::All { max: 3 },
        ..SchedulePolicy::default()
    };
    let seconds = 365 * 86_400;
    for (schedule, counted, at_least) in [
        (
            Schedule::every(Duration::from_secs(1)).unwrap(),
            seconds - 3,
            false,
        ),
        (Schedule::cron("* * * * * *").unwrap(), 10_000, true),
        (
            Schedule::cron_in("* * * * * *", "Europe/Berlin").unwrap(),
            10_000,
            true,
        ),
        (
            Schedule::every(Duration::from_secs(1))
                .unwrap()
                .between(Some(last), None),
            seconds - 3,
            false,
        ),
        (
            Schedule::cron("* * * * * *")
                .unwrap()
                .or(Schedule::cron("@daily").unwrap()),
            10_000,
            true,
        ),
    ] {
        let answer = missed(&schedule, &policy, last, last, now);
        let newest: Vec<String> = answer.fire.iter().map(ToString::to_string).collect();
        assert_eq!(
            newest,
            [
                "2026-11-19T23:59:58Z",
                "2026-11-19T23:59:59Z",
                "2026-11-20T00:00:00Z"
            ],
            "{schedule}"
        );
        assert_eq!(answer.cursor, now);
        let [skipped] = answer.skipped.as_slice() else {
            panic!("{schedule}: {:?}", answer.skipped);
        };
        assert_eq!(
            (skipped.count, skipped.at_least),
            (counted, at_least),
            "{schedule}"
        );
        assert_eq!(skipped.from.to_string(), "2025-11-20T00:00:01Z");
        assert_eq!(skipped.to.to_string(), "2026-11-19T23:59:57Z");
        let each = cost(5, || missed(&schedule, &policy, last, last, now));
        println!("missed {schedule} {each:?}");
    }
    // A burst long ago and silence since: January in seconds, asked in December.
    let burst = Schedule::cron("* * * 5 1 *").unwrap();
    let answer = missed(&burst, &policy, last, last, now);
    let newest: Vec<String> = answer.fire.iter().map(ToString::to_string).collect();
    assert_eq!(
        newest,
        [
            "2026-01-05T23:59:57Z",
            "2026-01-05T23:59:58Z",
            "2026-01-05T23:59:59Z"
        ]
    );
    println!(
        "missed {burst} {:?}",
        cost(5, || missed(&burst, &policy, last, last, now))
    );
}

#[test]
fn more_than_one_answer_holds_is_given_in_parts() {
    let (last, now) = (at("2026-11-20T00:00:00Z"), at("2026-11-20T01:00:00Z"));
    let schedule = Schedule::every(Duration::from_secs(1)).unwrap();
    let policy = SchedulePolicy {
        misfire: Misfire::All { max: 2_500 },
        ..SchedulePolicy::default()
    };
    let (mut fired, mut cursor, mut skipped) = (Vec::new(), last, 0);
    for more in [true, true, false] {
        let answer = missed(&schedule, &policy, last, cursor, now);
        assert_eq!(answer.more, more);
        skipped += answer.skipped.iter().map(|range| range.count).sum::<u64>();
        fired.extend(answer.fire);
        cursor = answer.cursor;
    }
    assert_eq!((fired.len(), skipped, cursor), (2_500, 1_100, now));
    assert!(
        fired
            .windows(2)
            .all(|pair| pair[1].since(pair[0]) == Duration::from_secs(1))
    );
}
