//! Crontabs line by line: what comes out, and what is said about the rest.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use tlo::cli::crontab::{Crontab, CrontabEntry, CrontabKind, LocalZone, name_apart};
use tlo::cli::source::Source;

fn zone(name: &str) -> LocalZone {
    LocalZone::new(name, "the test").unwrap()
}

fn read(text: &str, kind: CrontabKind) -> Crontab {
    Crontab::parse(
        &Source::new("jobs.cron", text),
        kind,
        &zone("Europe/Berlin"),
    )
}

fn own(text: &str) -> Crontab {
    read(text, CrontabKind::Own)
}

fn only(text: &str, kind: CrontabKind) -> CrontabEntry {
    let crontab = read(text, kind);
    assert!(
        !crontab.mistakes.has_errors(),
        "{text:?}:\n{}",
        crontab.mistakes
    );
    let [entry] = crontab.entries.as_slice() else {
        panic!("{text:?} gives {} entries", crontab.entries.len());
    };
    entry.clone()
}

#[test]
fn time_fields_and_commands() {
    for (line, schedule, command) in [
        ("0 3 * * * /bin/backup", "0 3 * * *", "/bin/backup"),
        (
            "  0\t3  * *\t* \t/bin/backup --all  x",
            "0 3 * * *",
            "/bin/backup --all  x",
        ),
        ("*/15 9-17 * * mon-fri x", "*/15 9-17 * * mon-fri", "x"),
        ("-*/15 * * * * x", "*/15 * * * *", "x"),
        ("09,39 * * * 7 x", "09,39 * * * 7", "x"),
        (
            "5-55/10 * 1,15 jan,Feb 0 x",
            "5-55/10 * 1,15 jan,Feb 0",
            "x",
        ),
        ("@daily x", "@daily", "x"),
        ("@reboot sleep 10; x", "@reboot", "sleep 10; x"),
        ("@Annually x", "@Annually", "x"),
        ("@midnight\tx", "@midnight", "x"),
        (
            "* * * * * A=b x # part of the command",
            "* * * * *",
            "A=b x # part of the command",
        ),
        (
            "* * * * * echo \"ünïcode\"",
            "* * * * *",
            "echo \"ünïcode\"",
        ),
    ] {
        let entry = only(&format!("{line}\n"), CrontabKind::Own);
        assert_eq!(
            (entry.schedule_text.as_str(), entry.command.as_str()),
            (schedule, command),
            "{line}"
        );
        assert_eq!(
            (entry.user, entry.line, entry.zone.as_str()),
            (None, 1, "Europe/Berlin"),
            "{line}"
        );
    }
}

#[test]
fn reboot_is_no_time() {
    assert!(only("@reboot x\n", CrontabKind::Own).schedule.is_reboot());
    assert!(!only("@daily x\n", CrontabKind::Own).schedule.is_reboot());
}

#[test]
fn blank_lines_and_comments_say_nothing() {
    let crontab = own("\n   \n# 0 3 * * * x\n\t # y\n");
    assert!(crontab.entries.is_empty() && crontab.mistakes.is_empty());
    assert!(own("").mistakes.is_empty());
}

#[test]
fn variables_hold_for_the_lines_below() {
    for (line, name, value) in [
        ("A=b", "A", "b"),
        ("A = b", "A", "b"),
        ("A=b c  ", "A", "b c"),
        ("A=\"  b  \"  ", "A", "  b  "),
        ("A = 'it is \"b\"'", "A", "it is \"b\""),
        ("\"A\"=b", "A", "b"),
        ("A=", "A", ""),
        ("A=\"\"", "A", ""),
        ("PATH=/usr/bin:/bin", "PATH", "/usr/bin:/bin"),
        ("A=b=c", "A", "b=c"),
    ] {
        let entry = only(&format!("{line}\n* * * * * x\n"), CrontabKind::Own);
        assert_eq!(entry.env, [(name.to_owned(), value.to_owned())], "{line}");
    }
    let crontab = own("A=1\n* * * * * x\nA=2\nB=3\n* * * * * y\n");
    let pairs = |index: usize| -> Vec<String> {
        crontab.entries[index]
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    };
    assert_eq!(pairs(0), ["A=1"]);
    assert_eq!(pairs(1), ["A=2", "B=3"]);
}

#[test]
fn cron_tz_moves_the_lines_below_it() {
    let crontab = own("0 3 * * * a\nCRON_TZ=Asia/Tokyo\n0 3 * * * b\nCRON_TZ=\n0 3 * * * c\n");
    let zones: Vec<(&str, bool)> = crontab
        .entries
        .iter()
        .map(|entry| (entry.zone.as_str(), entry.zone_given))
        .collect();
    assert_eq!(
        zones,
        [
            ("Europe/Berlin", false),
            ("Asia/Tokyo", true),
            ("Europe/Berlin", false)
        ]
    );
    assert_eq!(crontab.entries[1].schedule.zone(), Some("Asia/Tokyo"));
    assert_eq!(
        crontab.summary(),
        "jobs.cron: 3 commands; times of Europe/Berlin, this machine's zone (the test); by CRON_TZ of Asia/Tokyo"
    );
}

#[test]
fn under_a_zone_that_does_not_exist_nothing_is_scheduled() {
    let crontab = own(
        "0 3 * * * a\nCRON_TZ=Asia/Tokio\n0 3 * * * b\n99 * * * * c\nCRON_TZ=UTC\n0 3 * * * d\n",
    );
    let commands: Vec<&str> = crontab
        .entries
        .iter()
        .map(|entry| entry.command.as_str())
        .collect();
    assert_eq!(commands, ["a", "d"]);
    let report = crontab.mistakes.to_string();
    assert!(
        report.contains("jobs.cron:2:9") && report.contains("did you mean Asia/Tokyo"),
        "{report}"
    );
    assert!(
        report.contains("jobs.cron:4:1") && report.ends_with("2 errors"),
        "{report}"
    );
}

#[test]
fn the_user_column_of_system_crontabs() {
    let entry = only(
        "17 * * * *\troot    cd / && run-parts --report /etc/cron.hourly\n",
        CrontabKind::System,
    );
    assert_eq!(entry.user.as_deref(), Some("root"));
    assert_eq!(entry.command, "cd / && run-parts --report /etc/cron.hourly");
    let entry = only("@hourly www-data x\n", CrontabKind::System);
    assert_eq!(entry.user.as_deref(), Some("www-data"));
    let entry = only("@hourly x\n", CrontabKind::Of("alice".to_owned()));
    assert_eq!(
        (entry.user.as_deref(), entry.command.as_str()),
        (Some("alice"), "x")
    );
}

#[test]
fn paths_tell_whose_a_crontab_is() {
    for (path, kind) in [
        ("/etc/crontab", CrontabKind::System),
        ("/tmp/tree/etc/crontab", CrontabKind::System),
        ("pkg/etc/cron.d/php", CrontabKind::System),
        ("/etc/cron.daily/x", CrontabKind::Own),
        ("crontab", CrontabKind::Own),
        ("/home/me/my.cron", CrontabKind::Own),
        (
            "/var/spool/cron/crontabs/alice",
            CrontabKind::Of("alice".to_owned()),
        ),
        ("/var/spool/cron/bob", CrontabKind::Of("bob".to_owned())),
    ] {
        assert_eq!(CrontabKind::of_path(Path::new(path)), kind, "{path}");
    }
}

#[test]
fn names_do_not_depend_on_other_lines() {
    let names = |text: &str| -> Vec<String> {
        own(text)
            .entries
            .into_iter()
            .map(|entry| entry.name)
            .collect()
    };
    let before =
        names("0 1 * * * /bin/a x\n0 2 * * * /bin/b\n0 3 * * * /bin/a x\n0 3 * * * /bin/a x\n");
    assert_eq!(before[..2], ["jobs:a-x", "jobs:b"]);
    let distinct: std::collections::HashSet<&String> = before.iter().collect();
    assert_eq!(distinct.len(), 4, "{before:?}");
    let after = names(
        "A=b\n@daily /bin/z\n0 1 * * * /bin/a x\n\n@daily y\n0 2 * * * /bin/b\n0 3 * * * /bin/a x\n0 3 * * * /bin/a x\n0 4 * * * /bin/b\n",
    );
    for name in &before {
        assert!(after.contains(name), "{name} is missing in {after:?}");
    }
}

#[test]
fn several_crontabs_share_no_name() {
    let parse = |path: &str| {
        Crontab::parse(
            &Source::new(path, "@daily /bin/x\n"),
            CrontabKind::Own,
            &zone("UTC"),
        )
    };
    let (mut a, mut b) = (parse("/a/jobs"), parse("/b/jobs"));
    assert_eq!(a.entries[0].name, b.entries[0].name);
    name_apart(&mut [&mut a, &mut b]);
    assert_eq!(a.entries[0].name, "jobs:x");
    assert!(
        b.entries[0].name.starts_with("jobs:x-"),
        "{}",
        b.entries[0].name
    );
}
