//! What people type and read: parsing, stored form, previews, `H`, combinations.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use tlo::Timestamp;
use tlo::schedule::preview::ChangeKind;
use tlo::schedule::{Dst, Schedule, SchedulePolicy, jitter_offset};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn slots(schedule: &Schedule, anchor: &str, after: &str, count: usize) -> Vec<String> {
    let mut last = at(after);
    let mut found = Vec::new();
    while found.len() < count
        && let Some(slot) = schedule.next(at(anchor), last)
    {
        found.push(slot.to_string());
        last = slot;
    }
    found
}

#[test]
fn what_people_type() {
    for (text, expected) in [
        ("every 5m", "every 5m"),
        ("Every 5 minutes", "every 5m"),
        ("@every 1h30m", "every 1h30m"),
        ("every hour", "every 1h"),
        ("after 10m", "after 10m"),
        ("in 90 seconds", "after 1m30s"),
        ("@daily", "@daily (Europe/Berlin)"),
        ("  */5  * * * * ", "*/5 * * * * (Europe/Berlin)"),
        (
            "quartz 0 0 12 ? * MON-FRI",
            "quartz 0 0 12 ? * MON-FRI (Europe/Berlin)",
        ),
        ("2026-11-20T10:00:00Z", "at 2026-11-20T10:00:00Z"),
        ("at 2026-11-20T10:00:00+01:00", "at 2026-11-20T09:00:00Z"),
        ("2026-11-20 10:00", "at 2026-11-20T09:00:00Z"),
        ("@reboot", "@reboot"),
    ] {
        let schedule = Schedule::parse(text, Some("europe/berlin"))
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(schedule.to_string(), expected, "{text}");
    }
    for (text, hint) in [
        ("every 0s", "never gets on"),
        ("every month", "no fixed length"),
        ("every 5", "no unit"),
        ("sometimes", "every 5m"),
        ("2026-11-20 10:00", "offset"),
        ("2026-13-20T10:00:00Z", "2026-13-20"),
        ("61 * * * *", "outside 0 to 59"),
        ("", "every 5m"),
    ] {
        let error = Schedule::parse(text, None).unwrap_err().to_string();
        assert!(error.contains(hint), "{text}: {error}");
    }
    let error = Schedule::parse("@daily", Some("Europe/Berln"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("Europe/Berlin"), "{error}");
}

#[test]
fn the_stored_form_stays_as_it_is() {
    let cron = Schedule::cron_in("0 3 * * *", "Europe/Berlin").unwrap();
    for (schedule, stored) in [
        (
            Schedule::every(Duration::from_secs(300)).unwrap(),
            r#"{"every":"5m"}"#,
        ),
        (
            cron.clone(),
            r#"{"cron":{"expression":"0 3 * * *","zone":"Europe/Berlin"}}"#,
        ),
        (
            Schedule::quartz("0 0 3 ? * *", "UTC")
                .unwrap()
                .dst(Dst::Skip),
            r#"{"cron":{"expression":"0 0 3 ? * *","dialect":"quartz","zone":"UTC","dst":"skip"}}"#,
        ),
        (
            Schedule::cron("H H * * *")
                .unwrap()
                .seeded("backup")
                .unwrap(),
            r#"{"cron":{"expression":"H H * * *","zone":"UTC","seed":"backup"}}"#,
        ),
        (
            Schedule::at(at("2026-11-20T10:00:00Z")),
            r#"{"at":"2026-11-20T10:00:00Z"}"#,
        ),
        (
            Schedule::after(Duration::from_millis(1_500)),
            r#"{"after":"1s500ms"}"#,
        ),
        (Schedule::reboot(), r#""reboot""#),
        (
            Schedule::reboot().or(Schedule::after(Duration::ZERO)),
            r#"{"or":["reboot",{"after":"0s"}]}"#,
        ),
        (
            Schedule::after(Duration::ZERO).between(None, Some(at("2026-11-20T10:00:00Z"))),
            r#"{"between":{"of":{"after":"0s"},"end":"2026-11-20T10:00:00Z"}}"#,
        ),
    ] {
        assert_eq!(serde_json::to_string(&schedule).unwrap(), stored);
        assert_eq!(serde_json::from_str::<Schedule>(stored).unwrap(), schedule);
    }
    // The hash decides whether a schedule counts as changed at the next start: it must not move between releases.
    assert_eq!(
        cron.spec_hash(),
        tlo::stable_hash(br#"{"cron":{"expression":"0 3 * * *","zone":"Europe/Berlin"}}"#)
    );
    assert_eq!(
        cron.spec_hash(),
        Schedule::cron_in(" 0  3 * * * ", "europe/berlin")
            .unwrap()
            .spec_hash()
    );
    assert_ne!(
        cron.spec_hash(),
        Schedule::cron("0 3 * * *").unwrap().spec_hash()
    );
    for bad in [
        r#"{"every":"0s"}"#,
        r#"{"every":"5"}"#,
        r#"{"cron":{"expression":"60 * * * *"}}"#,
        r#"{"cron":{"expression":"* * * * *","zone":"Nowhere/Here"}}"#,
        r#"{"cron":{"expression":"* * * * *","zome":"UTC"}}"#,
        r#"{"sometimes":"5m"}"#,
    ] {
        assert!(serde_json::from_str::<Schedule>(bad).is_err(), "{bad}");
    }
}

#[test]
fn policies_have_a_readable_form_and_defaults() {
    let policy: SchedulePolicy =
        serde_json::from_str(r#"{"misfire":{"all":{"max":5}},"grace":"1h","overlap":"queue"}"#)
            .unwrap();
    let text = serde_json::to_string(&policy).unwrap();
    assert_eq!(
        text,
        r#"{"misfire":{"all":{"max":5}},"grace":"1h","overlap":"queue","run_at_start":false}"#
    );
    assert_eq!(
        serde_json::from_str::<SchedulePolicy>("{}").unwrap(),
        SchedulePolicy::default()
    );
    assert!(serde_json::from_str::<SchedulePolicy>(r#"{"graze":"1h"}"#).is_err());
}

#[test]
fn h_is_a_number_of_the_task() {
    let of = |name: &str, expression: &str| {
        let schedule = Schedule::cron(expression).unwrap().seeded(name).unwrap();
        slots(&schedule, "2026-11-20T00:00:00Z", "2026-11-20T00:00:00Z", 1)[0].clone()
    };
    assert_eq!(of("backup", "H H * * *"), of("backup", "H H * * *"));
    let times: std::collections::HashSet<String> = (0..200)
        .map(|number| of(&format!("task {number}"), "H H * * *"))
        .collect();
    assert!(times.len() > 150, "{} different times of 200", times.len());
    for number in 0..200 {
        let slot = of(&format!("task {number}"), "H(10-20) H(1-3) * * *");
        let (hour, minute): (u8, u8) =
            (slot[11..13].parse().unwrap(), slot[14..16].parse().unwrap());
        assert!(
            (1..=3).contains(&hour) && (10..=20).contains(&minute),
            "{slot}"
        );
    }
    let quarter = Schedule::cron("H/15 * * * *").unwrap().seeded("x").unwrap();
    let four = slots(&quarter, "2026-11-20T00:00:00Z", "2026-11-20T00:00:00Z", 5);
    assert_eq!(four[0][14..16], four[4][14..16]);
    // Without a seed it is computed from the expression, with one it stays.
    let alone = Schedule::cron("H * * * *").unwrap();
    assert_eq!(alone, Schedule::cron("H * * * *").unwrap());
    let seeded = alone.seeded("a").unwrap();
    assert_eq!(seeded.clone().seeded("b").unwrap(), seeded);
    // The H of a name is none.
    let thursday = Schedule::cron("0 0 * MAR THU").unwrap();
    assert_eq!(thursday.clone().seeded("a").unwrap(), thursday);
}

#[test]
fn jitter_is_even_and_always_the_same() {
    let max = Duration::from_secs(60);
    let offsets: Vec<Duration> = (0..1_000)
        .map(|minute| jitter_offset("backup", Timestamp::from_micros(minute * 60_000_000), max))
        .collect();
    let again: Vec<Duration> = (0..1_000)
        .map(|minute| jitter_offset("backup", Timestamp::from_micros(minute * 60_000_000), max))
        .collect();
    assert_eq!(offsets, again);
    assert!(offsets.iter().all(|offset| *offset < max));
    for quarter in 0..4 {
        let (from, to) = (max * quarter / 4, max * (quarter + 1) / 4);
        let inside = offsets
            .iter()
            .filter(|offset| (from..to).contains(offset))
            .count();
        assert!(
            (180..320).contains(&inside),
            "{inside} of 1,000 in quarter {quarter}"
        );
    }
    assert_eq!(
        jitter_offset("backup", Timestamp::UNIX_EPOCH, Duration::ZERO),
        Duration::ZERO
    );
}

#[test]
fn combinations() {
    let anchor = "2026-11-01T00:00:00Z";
    let fridays = Schedule::cron("0 12 * * 5").unwrap();
    let thirteenth = Schedule::cron("0 12 13 * *").unwrap();
    assert_eq!(
        slots(&fridays.clone().and(thirteenth.clone()), anchor, anchor, 2),
        ["2026-11-13T12:00:00Z", "2027-08-13T12:00:00Z"]
    );
    assert_eq!(
        slots(
            &fridays.clone().or(thirteenth.clone()),
            anchor,
            "2026-12-10T00:00:00Z",
            3
        ),
        [
            "2026-12-11T12:00:00Z",
            "2026-12-13T12:00:00Z",
            "2026-12-18T12:00:00Z"
        ]
    );
    assert_eq!(
        slots(&fridays.clone().except(thirteenth), anchor, anchor, 2),
        ["2026-11-06T12:00:00Z", "2026-11-20T12:00:00Z"]
    );
    let window = fridays.between(
        Some(at("2026-11-13T12:00:00Z")),
        Some(at("2026-11-20T12:00:00Z")),
    );
    assert_eq!(
        slots(&window, anchor, anchor, 9),
        ["2026-11-13T12:00:00Z", "2026-11-20T12:00:00Z"]
    );
    // A long exception does not end the schedule.
    let all_year = Schedule::cron("* * * * *").unwrap();
    let december = Schedule::cron("* * * 12 *").unwrap();
    let no_winter = all_year
        .clone()
        .except(december.clone().or(Schedule::cron("* * * 1,2 *").unwrap()));
    assert_eq!(
        slots(&no_winter, anchor, "2026-11-30T23:59:00Z", 1),
        ["2027-03-01T00:00:00Z"]
    );
    let no_december = all_year.except(december);
    assert_eq!(
        slots(&no_december, anchor, "2026-11-30T23:59:00Z", 1),
        ["2027-01-01T00:00:00Z"]
    );
    let second = Schedule::every(Duration::from_secs(1)).unwrap();
    let freeze = second.clone().between(
        Some(at("2026-12-01T00:00:00Z")),
        Some(at("2027-02-01T00:00:00Z")),
    );
    assert_eq!(
        slots(&second.except(freeze), anchor, "2026-11-30T23:59:59Z", 1),
        ["2027-02-01T00:00:01Z"]
    );
    // What never meets ends the search instead of going on for ever.
    let even = Schedule::cron("*/2 * * * *").unwrap();
    let odd = Schedule::cron("1-59/2 * * * *").unwrap();
    assert_eq!(
        slots(&even.clone().and(odd.clone()), anchor, anchor, 1),
        [""; 0]
    );
    assert_eq!(
        slots(&even.clone().except(even.clone()), anchor, anchor, 1),
        [""; 0]
    );
    // An endless search on one side of a union leaves the other side alone.
    let union = even.clone().and(odd).or(even);
    assert_eq!(slots(&union, anchor, anchor, 1), ["2026-11-01T00:02:00Z"]);
}

#[test]
fn the_slot_before() {
    for (text, expected) in [
        ("*/5 * * * *", Some("2026-11-20T12:30:00Z")),
        ("0 0 29 2 *", Some("2024-02-29T00:00:00Z")),
        ("0 0 0 1 1 * 1999", Some("1999-01-01T00:00:00Z")),
        ("0 0 0 1 1 * 2027", None),
        ("every 7m", Some("2026-11-20T12:28:00Z")),
        ("2026-11-20T12:34:56Z", Some("2026-11-20T12:34:56Z")),
        ("2026-11-20T12:34:57Z", None),
        ("@reboot", None),
    ] {
        let schedule = Schedule::parse(text, None).unwrap();
        let previous = schedule.previous(at("2026-11-20T12:00:00Z"), at("2026-11-20T12:34:56Z"));
        assert_eq!(previous, expected.map(at), "{text}");
    }
}

#[test]
fn a_preview_tells_the_next_slots_and_the_clock_changes() {
    let nightly = Schedule::cron_in("30 2 * * *", "Europe/Berlin").unwrap();
    let from = at("2026-03-28T12:00:00Z");
    let preview = nightly
        .preview(None, from, from, 2, at("2027-03-28T00:00:00Z"))
        .unwrap();
    assert_eq!(preview.next[0].at, at("2026-03-29T01:00:00Z"));
    assert_eq!(
        preview.next[0].local,
        "2026-03-29T03:00:00+02:00[Europe/Berlin]"
    );
    assert_eq!(
        preview.next[0].note.as_deref(),
        Some("02:30 does not exist on this day; moved to the first instant after the gap")
    );
    assert_eq!(preview.next[1].note, None);
    let changes: Vec<_> = preview
        .changes
        .iter()
        .map(|c| {
            (
                c.at.to_string(),
                c.kind,
                c.from.as_str(),
                c.to.as_str(),
                c.effect.as_str(),
            )
        })
        .collect();
    assert_eq!(
        changes,
        [
            (
                "2026-03-29T01:00:00Z".to_owned(),
                ChangeKind::Gap,
                "+01:00",
                "+02:00",
                "02:30 does not exist: runs at 03:00 instead"
            ),
            (
                "2026-10-25T01:00:00Z".to_owned(),
                ChangeKind::Fold,
                "+02:00",
                "+01:00",
                "02:30 comes twice: runs once, the first time"
            ),
        ]
    );
    let effects = |expression: &str, dst: Dst| -> Vec<String> {
        Schedule::cron_in(expression, "Europe/Berlin")
            .unwrap()
            .dst(dst)
            .preview(None, from, from, 0, at("2026-12-01T00:00:00Z"))
            .unwrap()
            .changes
            .into_iter()
            .map(|change| change.effect)
            .collect()
    };
    assert_eq!(
        effects("*/30 * * * *", Dst::Vixie),
        [
            "02:00 and 02:30 do not exist: these runs are skipped",
            "02:00 and 02:30 come twice: runs both times"
        ]
    );
    assert_eq!(
        effects("30 2 * * *", Dst::Skip)[0],
        "02:30 does not exist: this run is skipped"
    );
    assert_eq!(
        effects("0 12 * * *", Dst::Vixie),
        [
            "none: no run falls into the change",
            "none: no run falls into the change"
        ]
    );
    let interval = Schedule::every(Duration::from_secs(3_600)).unwrap();
    let preview = interval
        .preview(
            Some("Europe/Berlin"),
            from,
            from,
            1,
            at("2026-12-01T00:00:00Z"),
        )
        .unwrap();
    assert_eq!(
        preview.next[0].local,
        "2026-03-28T14:00:00+01:00[Europe/Berlin]"
    );
    assert_eq!(
        preview.changes[0].effect,
        "none: an interval counts elapsed time"
    );
}
