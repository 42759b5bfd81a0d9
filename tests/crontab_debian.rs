//! Crontabs that nobody here wrote: those of Debian packages, unpacked by `scripts/debian-crontabs`.
//!
//! `TLO_TEST_CRONTABS` names the folder with the unpacked packages; without it there is nothing to read. `TLO_PROOF=full`
//! schedules each for a year, otherwise for a twentieth of it, around a clock change.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stdout, reason = "the figures are what it is run for")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tlo::Timestamp;
use tlo::cli::crontab::{Crontab, CrontabEntry, CrontabKind, LocalZone};
use tlo::cli::jobs::Host;

/// A zone with clock changes; what happens at them is left out of the comparison.
const ZONE: &str = "Europe/Berlin";

fn is_full() -> bool {
    std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full")
}

/// Which slots are compared: after the first instant, until the second.
fn span() -> (Timestamp, Timestamp) {
    let (from, until) = if is_full() {
        ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")
    } else {
        ("2026-03-20T00:00:00Z", "2026-04-07T00:00:00Z")
    };
    (from.parse().unwrap(), until.parse().unwrap())
}

/// The files below a folder that say by their path that they are system crontabs, and the anacrontabs.
fn find(folder: &Path, crontabs: &mut Vec<PathBuf>, others: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            find(&path, crontabs, others);
        } else if kind.is_file() && path.ends_with("etc/anacrontab") {
            others.push(path);
        } else if kind.is_file()
            && CrontabKind::of_path(&path) == CrontabKind::System
            && path.file_name().is_some_and(|name| name != ".placeholder")
        {
            crontabs.push(path);
        }
    }
}

/// Root of a machine that has all these users.
fn host(entries: &[CrontabEntry]) -> Host {
    let users: BTreeSet<&str> = entries
        .iter()
        .filter_map(|entry| entry.user.as_deref())
        .collect();
    let mut passwd = "root:x:0:0::/root:/bin/sh\n".to_owned();
    for (uid, user) in users.iter().filter(|user| **user != "root").enumerate() {
        writeln!(
            passwd,
            "{user}:x:{0}:{0}::/var/lib/{user}:/bin/sh",
            uid + 100
        )
        .unwrap();
    }
    Host::new(0, &passwd, "", PathBuf::from("/root"))
}

/// A line of the oracle's input, and how many slots it holds.
fn slots_of(entry: &CrontabEntry) -> (String, usize) {
    let (from, until) = span();
    let mut text = format!(
        "{}\t{}\t{}\t{}\t",
        entry.schedule_text,
        entry.zone,
        from.as_micros() / 1_000_000,
        until.as_micros() / 1_000_000
    );
    let (mut last, mut count) = (from, 0);
    while let Some(slot) = entry
        .schedule
        .next(from, last)
        .filter(|slot| *slot <= until)
    {
        write!(text, "{} ", slot.as_micros() / 1_000_000).unwrap();
        last = slot;
        count += 1;
    }
    text.push('\n');
    (text, count)
}

#[test]
fn crontabs_of_debian_packages() {
    let Some(folder) = std::env::var_os("TLO_TEST_CRONTABS") else {
        println!(
            "SKIPPED: TLO_TEST_CRONTABS names no folder; scripts/debian-crontabs downloads the packages"
        );
        return;
    };
    let (mut crontabs, mut others) = (Vec::new(), Vec::new());
    find(Path::new(&folder), &mut crontabs, &mut others);
    crontabs.sort();
    for path in &others {
        println!(
            "left out: {} (an anacrontab has another format: period, delay, name, command)",
            path.display()
        );
    }
    let zone = LocalZone::new(ZONE, "the test").unwrap();
    let mut entries: Vec<CrontabEntry> = Vec::new();
    for path in &crontabs {
        let crontab = Crontab::read(path, None, &zone).unwrap();
        assert!(!crontab.mistakes.has_errors(), "{}", crontab.mistakes);
        // Whatever is neither blank, a comment nor a variable has to come out.
        let lines = crontab.source.lines().filter(|line| {
            let text = line.text.trim_start();
            text.starts_with(|c: char| c.is_ascii_digit() || "*@-".contains(c))
        });
        assert_eq!(crontab.entries.len(), lines.count(), "{}", path.display());
        println!("{}", crontab.summary());
        entries.extend(crontab.entries);
    }
    assert!(
        entries.len() >= 20,
        "only {} commands were found",
        entries.len()
    );

    let host = host(&entries);
    let mut names = BTreeSet::new();
    let mut expressions: BTreeMap<String, String> = BTreeMap::new();
    let (mut slots, mut boots) = (0, 0);
    for entry in &entries {
        let job = entry
            .to_job(&host)
            .unwrap_or_else(|mistake| panic!("{mistake}"));
        let english = entry.schedule.describe();
        assert!(!english.is_empty());
        println!("  {:45} {:16} {english}", job.def.name, entry.schedule_text);
        names.insert(job.def.name.to_string());
        if entry.schedule.is_reboot() {
            boots += 1;
        } else if !expressions.contains_key(&entry.schedule_text) {
            let (line, count) = slots_of(entry);
            assert!(
                count > 0 || !is_full(),
                "{} has no slot in a year",
                entry.schedule_text
            );
            slots += count;
            expressions.insert(entry.schedule_text.clone(), line);
        }
    }
    assert_eq!(names.len(), entries.len(), "each has a name of its own");
    println!(
        "{} crontabs, {} commands, all accepted; {} different schedules with {slots} slots in {}, {boots} at boot",
        crontabs.len(),
        entries.len(),
        expressions.len(),
        if is_full() {
            "a year"
        } else {
            "a twentieth of a year"
        }
    );
    compare(&expressions.into_values().collect::<String>());
}

/// Asks croniter for the same slots.
fn compare(input: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/cron-oracle");
    let mut oracle = Command::new(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A script that ends before it has read everything says why in its answer.
    let sent = oracle.stdin.take().unwrap().write_all(input.as_bytes());
    let answer = oracle.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&answer.stdout);
    let complained = String::from_utf8_lossy(&answer.stderr);
    if answer.status.code() == Some(3) {
        println!("SKIPPED: croniter cannot be had here, the slots were not compared: {complained}");
        return;
    }
    print!("{said}");
    assert!(
        answer.status.success() && sent.is_ok(),
        "{said}{complained}"
    );
}
