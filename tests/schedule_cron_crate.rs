//! The measured faults of the bare `cron` crate, as regressions: the fault is shown to be there still (so that this file
//! is looked at when a new release mends it), and that our slots are right.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::str::FromStr;

use tlo::Timestamp;
use tlo::schedule::Schedule;

fn slots(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::cron_in(expression, zone).unwrap();
    let mut last: Timestamp = after.parse().unwrap();
    let mut found = Vec::new();
    while found.len() < count
        && let Some(slot) = schedule.next(Timestamp::UNIX_EPOCH, last)
    {
        found.push(slot.to_string());
        last = slot;
    }
    found
}

fn crate_accepts(expression: &str) -> bool {
    cron::Schedule::from_str(expression).is_ok()
}

#[test]
fn a_day_in_the_spring_gap_is_not_skipped() {
    assert_eq!(
        slots("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2),
        ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]
    );
    assert_eq!(
        slots(
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            1
        ),
        ["2026-10-03T15:30:00Z"]
    );
    // Santiago goes forward at midnight, 6 September 2026.
    assert_eq!(
        slots("0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", 2),
        ["2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"]
    );
}

#[test]
fn a_daily_run_in_the_autumn_fold_comes_once() {
    assert_eq!(
        slots("30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", 2),
        ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]
    );
}

#[test]
fn times_never_go_backwards_in_the_fold() {
    assert_eq!(
        slots(
            "*/30 * * * *",
            "America/New_York",
            "2026-11-01T04:59:00Z",
            4
        ),
        [
            "2026-11-01T05:00:00Z",
            "2026-11-01T05:30:00Z",
            "2026-11-01T06:00:00Z",
            "2026-11-01T06:30:00Z"
        ]
    );
    assert_eq!(
        slots("0 * * * *", "America/New_York", "2026-11-01T04:59:00Z", 3),
        [
            "2026-11-01T05:00:00Z",
            "2026-11-01T06:00:00Z",
            "2026-11-01T07:00:00Z"
        ]
    );
    assert_eq!(
        slots("0 * * * *", "America/New_York", "2026-03-08T05:59:00Z", 3),
        [
            "2026-03-08T06:00:00Z",
            "2026-03-08T07:00:00Z",
            "2026-03-08T08:00:00Z"
        ]
    );
    // London, the days around 29 March 2026.
    assert_eq!(
        slots("0 0 * * *", "Europe/London", "2026-03-28T12:00:00Z", 2),
        ["2026-03-29T00:00:00Z", "2026-03-29T23:00:00Z"]
    );
}

#[test]
fn five_fields_and_sunday_as_zero_are_unix() {
    assert!(!crate_accepts("30 2 * * *"));
    assert!(!crate_accepts("0 0 0 * * 0"));
    // 22 November 2026 is a Sunday.
    for sunday in ["0", "7", "SUN", "sun"] {
        assert_eq!(
            slots(
                &format!("0 0 * * {sunday}"),
                "UTC",
                "2026-11-20T00:00:00Z",
                1
            ),
            ["2026-11-22T00:00:00Z"],
            "{sunday}"
        );
    }
    assert_eq!(
        slots("0 0 * * 1", "UTC", "2026-11-20T00:00:00Z", 1),
        ["2026-11-23T00:00:00Z"]
    );
    let quartz = Schedule::quartz("0 0 0 ? * 1", "UTC").unwrap();
    let after = "2026-11-20T00:00:00Z".parse().unwrap();
    assert_eq!(
        quartz.next(after, after).unwrap().to_string(),
        "2026-11-22T00:00:00Z"
    );
}

#[test]
fn either_day_field_matches_when_both_are_restricted() {
    // Friday the 20th, Friday the 27th, Friday 4 December, Friday the 11th, Sunday the 13th.
    assert_eq!(
        slots("0 0 13 * 5", "UTC", "2026-11-14T00:00:00Z", 5),
        [
            "2026-11-20T00:00:00Z",
            "2026-11-27T00:00:00Z",
            "2026-12-04T00:00:00Z",
            "2026-12-11T00:00:00Z",
            "2026-12-13T00:00:00Z"
        ]
    );
    // A field that begins with a star restricts nothing: Mondays on odd days.
    assert_eq!(
        slots("0 0 */2 * 1", "UTC", "2026-11-01T00:00:00Z", 3),
        [
            "2026-11-09T00:00:00Z",
            "2026-11-23T00:00:00Z",
            "2026-12-07T00:00:00Z"
        ]
    );
}

#[test]
fn special_days_are_understood() {
    for refused in [
        "0 0 0 L * *",
        "0 0 0 * * 5L",
        "0 0 0 * * TUE#2",
        "0 0 0 15W * *",
        "0 0 0 LW * *",
    ] {
        assert!(!crate_accepts(refused), "{refused}");
    }
    for (expression, expected) in [
        (
            "0 0 L * *",
            ["2026-11-30", "2026-12-31", "2027-01-31", "2027-02-28"],
        ),
        (
            "0 0 L-3 * *",
            ["2026-11-27", "2026-12-28", "2027-01-28", "2027-02-25"],
        ),
        (
            "0 0 * * 5L",
            ["2026-11-27", "2026-12-25", "2027-01-29", "2027-02-26"],
        ),
        (
            "0 0 * * TUE#2",
            ["2026-12-08", "2027-01-12", "2027-02-09", "2027-03-09"],
        ),
        (
            "0 0 * * 5#5",
            ["2027-01-29", "2027-04-30", "2027-07-30", "2027-10-29"],
        ),
        // 15 November 2026 and 15 August 2027 are Sundays, 15 May 2027 is a Saturday.
        (
            "0 0 15W 5,8,11 *",
            ["2027-05-14", "2027-08-16", "2027-11-15", "2028-05-15"],
        ),
        // 1 May 2027 is a Saturday: the nearest day of that month is Monday the 3rd.
        (
            "0 0 1W 5,6 *",
            ["2027-05-03", "2027-06-01", "2028-05-01", "2028-06-01"],
        ),
        (
            "0 0 LW * *",
            ["2026-11-30", "2026-12-31", "2027-01-29", "2027-02-26"],
        ),
        (
            "0 0 31W * *",
            ["2026-12-31", "2027-01-29", "2027-03-31", "2027-05-31"],
        ),
        (
            "0 0 ? * 1",
            ["2026-11-23", "2026-11-30", "2026-12-07", "2026-12-14"],
        ),
    ] {
        let found = slots(expression, "UTC", "2026-11-20T00:00:00Z", 4);
        let dates: Vec<&str> = found.iter().map(|slot| &slot[..10]).collect();
        assert_eq!(dates, expected, "{expression}");
    }
}

#[test]
fn years_go_on_after_2100() {
    assert!(!crate_accepts("0 0 0 1 1 * 2101"));
    assert_eq!(
        slots("0 0 0 1 1 * 2101/100", "UTC", "2026-11-20T00:00:00Z", 3),
        [
            "2101-01-01T00:00:00Z",
            "2201-01-01T00:00:00Z",
            "2301-01-01T00:00:00Z"
        ]
    );
    assert_eq!(
        slots("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", 1),
        ["2104-02-29T00:00:00Z"]
    );
}

#[test]
fn quartz_counts_weekdays_from_one_everywhere() {
    for (quartz, unix) in [
        ("0 0 9 ? * 2-6", "0 9 * * 1-5"),
        ("0 0 9 ? * 7/1", "0 9 * * 6"),
        ("0 0 9 ? * 6#2", "0 9 * * 5#2"),
        ("0 0 9 ? * 6L", "0 9 * * 5L"),
        ("0 0 9 ? * L", "0 9 * * 6"),
        ("0 0 9 ? * MON", "0 9 * * MON"),
        ("0 0 9 ? * H(2-2)", "0 9 * * 1"),
        ("0 0 9 1,15 * ?", "0 9 1,15 * *"),
        ("0 0 9 L-2 * ?", "0 9 L-2 * *"),
    ] {
        let (quartz, unix) = (
            Schedule::quartz(quartz, "UTC").unwrap(),
            Schedule::cron(unix).unwrap(),
        );
        let mut last = "2026-11-20T00:00:00Z".parse().unwrap();
        for _ in 0..20 {
            let slot = unix.next(last, last);
            assert_eq!(quartz.next(last, last), slot, "{quartz} and {unix}");
            last = slot.unwrap();
        }
    }
    for (refused, nearest) in [
        ("0 0 9 ? * 0", "0 0 9 ? * 1"),
        ("0 0 9 ? * 8", "0 0 9 ? * 7"),
        ("0 9 ? * 1", "0 0 9 ? * 1"),
        ("0 0 9 13 * 6", "0 0 9 13 * ?"),
    ] {
        let error = Schedule::quartz(refused, "UTC").unwrap_err().to_string();
        assert!(
            error.ends_with(&format!("nearest valid form: {nearest}")),
            "{error}"
        );
    }
}

#[test]
fn the_nicknames_are_known() {
    for (nickname, expression) in [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("@Daily", "0 0 * * *"),
    ] {
        let from = "2026-11-20T12:34:56Z";
        assert_eq!(
            slots(nickname, "Europe/Berlin", from, 5),
            slots(expression, "Europe/Berlin", from, 5),
            "{nickname}"
        );
    }
    assert!(Schedule::cron("@reboot").unwrap().is_reboot());
    let every = Schedule::cron("@every 5m").unwrap();
    assert_eq!(
        every,
        Schedule::every(std::time::Duration::from_secs(300)).unwrap()
    );
}
