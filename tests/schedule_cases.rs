//! The acceptance cases about schedules: T07, T08, T10, T11, T13.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use tlo::schedule::Schedule;
use tlo::{ErrorKind, Timestamp};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(expression: &str) -> Schedule {
    Schedule::cron(expression).unwrap_or_else(|error| panic!("{error}"))
}

fn next(schedule: &Schedule, after: &str) -> String {
    let slot = schedule.next(Timestamp::UNIX_EPOCH, at(after));
    slot.map_or_else(|| "never".to_owned(), |slot| slot.to_string())
}

#[test]
fn t07_the_next_slot_follows_the_last() {
    let ten_minutes = Schedule::every(Duration::from_secs(600)).unwrap();
    let noon = at("2026-11-20T12:00:00Z");
    assert_eq!(
        ten_minutes.next(noon, noon),
        Some(at("2026-11-20T12:10:00Z"))
    );
    for (expression, last, expected) in [
        ("* * * * *", "2026-11-20T12:00:00Z", "2026-11-20T12:01:00Z"),
        (
            "30 12 * * *",
            "2026-11-20T10:00:00Z",
            "2026-11-20T12:30:00Z",
        ),
        (
            "30 12 * * *",
            "2026-11-20T12:30:00Z",
            "2026-11-21T12:30:00Z",
        ),
        (
            "30 12 * * *",
            "2026-11-20T12:29:59.999999Z",
            "2026-11-20T12:30:00Z",
        ),
    ] {
        assert_eq!(
            next(&cron(expression), last),
            expected,
            "{expression} after {last}"
        );
    }
}

#[test]
fn t08_the_search_goes_into_the_next_month() {
    assert_eq!(
        next(&cron("5 4 1 * *"), "2026-01-20T00:00:00Z"),
        "2026-02-01T04:05:00Z"
    );
}

#[test]
fn t10_impossible_dates_are_refused_and_rare_ones_found() {
    for expression in [
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "0 0 0 29 2 * 2097-2103",
        "0 0 L-30 2 *",
    ] {
        let error = Schedule::cron(expression).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(expression), "{error}");
    }
    assert_eq!(
        next(&cron("0 0 29 2 *"), "2097-01-01T00:00:00Z"),
        "2104-02-29T00:00:00Z"
    );
    assert_eq!(
        next(&cron("0 0 0 1 1 * 9000"), "2026-01-01T00:00:00Z"),
        "9000-01-01T00:00:00Z"
    );
    assert_eq!(
        next(&cron("0 0 0 1 1 * 2020"), "2026-01-01T00:00:00Z"),
        "never"
    );
}

#[test]
fn t11_fields_are_exact_sets() {
    // Every field is seen through the slots: those of one day, one year, …
    let slots = |expression: &str, from: &str, until: &str| {
        let schedule = cron(expression);
        let mut slots = Vec::new();
        let mut last = Timestamp::from_micros(at(from).as_micros() - 1);
        while let Some(slot) = schedule.next(Timestamp::UNIX_EPOCH, last) {
            if slot > at(until) {
                break;
            }
            slots.push(slot.to_string());
            last = slot;
        }
        slots
    };
    let hours = slots(
        "*/15 0-12/6 * * *",
        "2026-01-01T00:00:00Z",
        "2026-01-01T23:59:59Z",
    );
    let minutes: Vec<&str> = hours.iter().map(|slot| &slot[11..16]).collect();
    assert_eq!(
        minutes,
        [
            "00:00", "00:15", "00:30", "00:45", "06:00", "06:15", "06:30", "06:45", "12:00",
            "12:15", "12:30", "12:45"
        ]
    );
    let days = slots(
        "0 0 1,15 1-3 *",
        "2026-01-01T00:00:00Z",
        "2026-12-31T23:59:59Z",
    );
    let dates: Vec<&str> = days.iter().map(|slot| &slot[5..10]).collect();
    assert_eq!(
        dates,
        ["01-01", "01-15", "02-01", "02-15", "03-01", "03-15"]
    );
    // 1 November 2026 is a Sunday.
    let weekdays = slots(
        "0 0 * * 1-5/2",
        "2026-11-01T00:00:00Z",
        "2026-11-07T23:59:59Z",
    );
    let dates: Vec<&str> = weekdays.iter().map(|slot| &slot[8..10]).collect();
    assert_eq!(dates, ["02", "04", "06"]);
    let mixed = slots(
        "5,10-20/5 8,20 10-12 4,6-8 0,2-4",
        "2026-04-01T00:00:00Z",
        "2026-04-10T23:59:59Z",
    );
    let times: Vec<&str> = mixed.iter().map(|slot| &slot[11..16]).take(8).collect();
    assert_eq!(
        times,
        [
            "08:05", "08:10", "08:15", "08:20", "20:05", "20:10", "20:15", "20:20"
        ]
    );
    let mut dates: Vec<&str> = mixed.iter().map(|slot| &slot[8..10]).collect();
    dates.dedup();
    // 1 April 2026 is a Wednesday: Sunday the 5th, Tuesday to Thursday, and the 10th.
    assert_eq!(dates, ["01", "02", "05", "07", "08", "09", "10"]);
}

#[test]
fn t13_bad_expressions_are_refused_with_the_place_and_a_valid_form() {
    for (expression, under, valid) in [
        ("0 0", "", "0 0 * * *"),
        ("60 * * * *", "60", "0 * * * *"),
        ("* 24 * * *", "24", "* 0 * * *"),
        ("* -1 * * *", "-1", "* 0 * * *"),
        ("* * 32 * *", "32", "* * 31 * *"),
        ("* * * 13 *", "13", "* * * 12 *"),
        ("* * * JANUARY *", "JANUARY", "* * * JAN *"),
        ("* * * * MONDAY", "MONDAY", "* * * * MON"),
        ("* * * * 8", "8", "* * * * 7"),
        ("*/0 * * * *", "0", "*/1 * * * *"),
        ("*/65 * * * *", "*/65", "0 * * * *"),
        ("5/65 * * * *", "5/65", "5 * * * *"),
        ("10-5 * * * *", "10-5", "10-59,0-5 * * * *"),
        ("* * * * FRI-MON", "FRI-MON", "* * * * FRI-7,0-MON"),
        ("1,,2 * * * *", "1,,2", "1,2 * * * *"),
        (", * * * *", ",", "* * * * *"),
        ("1-2-3 * * * *", "1-2-3", "1-3 * * * *"),
        ("", "", "* * * * *"),
        ("* * * * * * * *", "*", "* * * * * * *"),
        ("? * * * *", "?", "* * * * *"),
        ("0 0 30 2 *", "30 2", "0 0 L 2 *"),
        ("x * * * *", "x", "* * * * *"),
        ("4294967296 * * * *", "4294967296", "59 * * * *"),
        ("0 0 * * 5#6", "6", "0 0 * * 5#1"),
        ("0 0 40W * *", "40W", "0 0 15W * *"),
        ("0 0 L-31 * *", "L-31", "0 0 L * *"),
        ("0 0 * * L", "L", "0 0 * * 5L"),
        ("@dayly", "@dayly", "@daily"),
        ("0 0 0 1 1 * 10000", "10000", "0 0 0 1 1 * 9999"),
        ("0 0 0 1 1 * 1969", "1969", "0 0 0 1 1 * 1970"),
        ("H(5-70) * * * *", "H(5-70)", "H * * * *"),
        ("5-* * * * *", "5-*", "5-59 * * * *"),
        ("5- * * * *", "5-", "5-59 * * * *"),
        ("*/ * * * *", "", "*/1 * * * *"),
        ("/5 * * * *", "", "*/5 * * * *"),
        (
            "0 5 * * 1 tar -czf /home.tgz /home",
            "tar -czf /home.tgz /home",
            "0 5 * * 1",
        ),
        ("60 24 32 13 8", "60", "0 0 31 12 7"),
    ] {
        let error = Schedule::cron(expression).expect_err(expression);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{expression}");
        let message = error.to_string();
        assert!(message.contains(&format!("\"{expression}\"")), "{message}");
        let lines: Vec<&str> = message.lines().collect();
        assert_eq!(lines[1].strip_prefix("  "), Some(expression), "{message}");
        let caret = lines[2].strip_prefix("  ").unwrap();
        let start = caret.find('^').unwrap_or_else(|| panic!("{message}"));
        let end = start + caret.matches('^').count();
        if !under.is_empty() {
            assert_eq!(&expression[start..end], under, "{message}");
        }
        assert_eq!(
            lines[3],
            format!("  nearest valid form: {valid}"),
            "{message}"
        );
        assert!(Schedule::cron(valid).is_ok(), "{valid}");
    }
    for valid in [
        "0 * * * * *",
        "0 0 12 1 1 * 2027",
        "0 0 12 1 1 * 2027-2030/2,2040",
    ] {
        assert!(Schedule::cron(valid).is_ok(), "{valid}");
    }
}
