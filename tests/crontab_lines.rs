//! Crontabs line by line: what comes out, and what is said about the rest.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use tlo::cli::crontab::{Crontab, CrontabEntry, CrontabKind, LocalZone, name_apart};
use tlo::cli::jobs::{CommandInput, Host, Invocation};
use tlo::cli::source::{Level, Source};
use tlo::schedule::{Misfire, Overlap};

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
fn every_bad_line_is_reported_where_it_is_wrong() {
    use CrontabKind::{Own, System};
    for (kind, line, column, message, help) in [
        (Own, "60 * * * * x", 1, "60", "nearest valid form"),
        (Own, "0 25 * * * x", 3, "25", "nearest valid form"),
        (Own, "0 3 * * fry x", 9, "fry", "nearest valid form"),
        (Own, "*/0 * * * * x", 3, "a step of 0", "*/1"),
        (Own, "0 0 31 2 * x", 5, "no date", "L 2"),
        (
            Own,
            "0 3 * * *",
            10,
            "the command is missing",
            "follows the time fields",
        ),
        (
            Own,
            "0 3 * * * %input",
            11,
            "nothing stands before the %",
            "\\%",
        ),
        (
            Own,
            "0 3 * *",
            1,
            "five time fields and a command; this one has 4 words",
            "0 3 * * * /usr/local/bin/backup",
        ),
        (Own, "hello", 1, "this one has 1 word", "write it as"),
        (
            Own,
            "@dayly x",
            1,
            "there is no nickname @dayly",
            "did you mean @daily?",
        ),
        (
            Own,
            "@every 5m x",
            1,
            "there is no nickname @every",
            "no intervals",
        ),
        (Own, "@reboot", 8, "the command is missing", ""),
        (Own, "0 3\u{a0}* * * * x", 4, "U+00A0", "put a space"),
        (Own, "A=\"b", 3, "never closed", "A=\"value\""),
        (Own, "A=\"b\" c", 7, "nothing may follow", "A=\"value\""),
        (
            Own,
            "RANDOM_DELAY=soon",
            14,
            "no number of minutes",
            "RANDOM_DELAY=45",
        ),
        (Own, "CRON_TZ=Mars", 9, "\"Mars\"", ""),
        (
            System,
            "0 3 * * *",
            10,
            "the user and the command are missing",
            "root COMMAND",
        ),
        (
            System,
            "0 3 * * * root",
            15,
            "nothing follows the user \"root\"",
            "root COMMAND",
        ),
        (
            System,
            "0 3 * * * /bin/x y",
            11,
            "\"/bin/x\" cannot be the name of a user",
            "root COMMAND",
        ),
        (
            System,
            "0 3 * * * root %x",
            16,
            "nothing stands before the %",
            "",
        ),
    ] {
        let crontab = read(
            &format!("* * * * * root good\n{line}\n@daily root good\n"),
            kind,
        );
        let errors: Vec<_> = crontab
            .mistakes
            .iter()
            .filter(|m| m.level == Level::Error)
            .collect();
        let [mistake] = errors.as_slice() else {
            panic!("{line:?}: {}", crontab.mistakes);
        };
        let place = mistake.place();
        assert_eq!(
            (place.line, place.column),
            (2, column),
            "{line:?}: {mistake}"
        );
        assert!(mistake.message.contains(message), "{line:?}: {mistake}");
        assert!(
            mistake.help.as_deref().unwrap_or_default().contains(help),
            "{line:?}: {mistake}"
        );
        let expected = if line.starts_with("CRON_TZ") { 1 } else { 2 };
        assert_eq!(
            crontab.entries.len(),
            expected,
            "the good lines of {line:?} come out"
        );
    }
}

#[test]
fn a_report_as_people_see_it() {
    let text =
        "MAILTO=ops\n0 3 * * * root\t/bin/true\n*/75 * * * * root /bin/false\n0 3 * * *\tmail\tx";
    let crontab = Crontab::parse(
        &Source::new("/etc/cron.d/x", text),
        CrontabKind::System,
        &zone("UTC"),
    );
    assert_eq!(crontab.entries.len(), 2);
    assert_eq!(
        crontab.mistakes.to_string(),
        "\
note: no mail is sent: the output of each run is kept with its record
 --> /etc/cron.d/x:1:1
  |
1 | MAILTO=ops
  | ^^^^^^^^^^
  = help: read it with tlo inspect

error: cron expression: the step 75 is longer than the minute field, which ends at 59
 --> /etc/cron.d/x:3:1
  |
3 | */75 * * * * root /bin/false
  | ^^^^
  = help: nearest valid form: 0 * * * *

warning: the last line has no line end; cron would not read it
 --> /etc/cron.d/x:4:17
  |
4 | 0 3 * * *    mail    x
  |                       ^
  = help: it is read here; end it with a new line for cron

1 error, 1 warning"
    );
}

#[test]
fn what_cron_would_do_differently_is_said() {
    for (text, level, says) in [
        ("* * * * * x", Level::Warning, "no line end"),
        ("* * * * * x\r\n", Level::Warning, "CR LF"),
        ("MAILTO=me\n", Level::Note, "no mail is sent"),
        ("TZ=Asia/Tokyo\n", Level::Note, "CRON_TZ"),
        ("LOGNAME=root\n", Level::Note, "the user they run as"),
        ("RANDOM_DELAY=45\n", Level::Note, "45 minutes late"),
        ("PATH=$PATH:/opt/bin\n", Level::Warning, "replaces nothing"),
        ("HOME=~/x\n", Level::Warning, "replaces nothing"),
        ("A=b # c\n", Level::Warning, "part of the value"),
        (
            "* * * * * root /bin/x\n",
            Level::Warning,
            "run as a command",
        ),
        ("0 */5 * * * * /bin/x\n", Level::Warning, "no seconds"),
        ("* * * * * x \\\n", Level::Warning, "does not join lines"),
    ] {
        let crontab = own(text);
        let [mistake] = crontab.mistakes.iter().collect::<Vec<_>>()[..] else {
            panic!("{text:?}: {}", crontab.mistakes);
        };
        assert_eq!(mistake.level, level, "{text:?}: {mistake}");
        assert!(mistake.to_string().contains(says), "{text:?}: {mistake}");
    }
    for text in [
        "MAILTO=\"\"\n",
        "A=\"b # c\"\n",
        "A=cost$\n",
        "* * * * * rooter\n",
    ] {
        assert!(
            own(text).mistakes.is_empty(),
            "{text:?}: {}",
            own(text).mistakes
        );
    }
}

#[test]
fn an_anacrontab_is_refused_once() {
    let source = Source::new(
        "/etc/anacrontab",
        "1 5 cron.daily run-parts /etc/cron.daily\n",
    );
    let crontab = Crontab::parse(&source, CrontabKind::System, &zone("UTC"));
    assert_eq!(
        (crontab.entries.len(), crontab.mistakes.count(Level::Error)),
        (0, 1)
    );
}

#[test]
fn bytes_that_are_no_text_spoil_only_their_line() {
    let source = Source::from_bytes(
        "x",
        b"\xef\xbb\xbf# caf\xe9\n* * * * * a\n* * * * * caf\xe9\n* * * * * \0\n",
    );
    let crontab = Crontab::parse(&source, CrontabKind::Own, &zone("UTC"));
    assert_eq!(crontab.entries.len(), 1);
    let places: Vec<(usize, usize)> = crontab
        .mistakes
        .iter()
        .map(|m| (m.place().line, m.place().column))
        .collect();
    assert_eq!(places, [(3, 14), (4, 11)]);
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

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/sh\nmail:x:8:8::/var/mail:/bin/sh\n";

fn host(uid: u32) -> Host {
    Host::new(uid, PASSWD, "mail:x:8:\nadm:x:4:mail\n", PathBuf::from("/"))
}

#[test]
fn commands_get_what_cron_gives_them() {
    let text = "SHELL=/bin/bash\nLOGNAME=nobody\nA=b\nRANDOM_DELAY=5\n0 3 * * * cat%hello%you\n@daily true\n";
    let crontab = own(text);
    let job = crontab.entries[0].to_job(&host(1000)).unwrap();
    let line = "cat".to_owned();
    assert_eq!(
        job.command.run,
        Invocation::Shell {
            shell: "/bin/bash".to_owned(),
            line
        }
    );
    assert_eq!(job.command.run.argv(), ["/bin/bash", "-c", "cat"]);
    assert_eq!(
        job.command.stdin,
        CommandInput::Text("hello\nyou\n".to_owned())
    );
    assert_eq!(job.command.cwd, Some(PathBuf::from("/home/alice")));
    assert_eq!(job.command.user, None);
    assert!(!job.command.inherit_env);
    let env: Vec<String> = job
        .command
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        env,
        [
            "A=b",
            "HOME=/home/alice",
            "LOGNAME=alice",
            "PATH=/usr/bin:/bin",
            "RANDOM_DELAY=5",
            "SHELL=/bin/bash",
            "USER=alice"
        ]
    );
    assert_eq!(job.def.policy.misfire, Misfire::Skip);
    assert_eq!(job.def.policy.overlap, Overlap::Allow);
    assert_eq!(job.def.policy.jitter, Some(Duration::from_secs(300)));
    assert_eq!(
        job.def.schedule.as_ref().unwrap().zone(),
        Some("Europe/Berlin")
    );
    assert_eq!(
        crontab.entries[1]
            .to_job(&host(1000))
            .unwrap()
            .command
            .stdin,
        CommandInput::Empty
    );
}

#[test]
fn a_crontab_sets_home_and_path_itself() {
    let job = own("HOME=/srv\nPATH=/opt/bin\n@daily x\n").entries[0]
        .to_job(&host(1000))
        .unwrap();
    assert_eq!(job.command.cwd, Some(PathBuf::from("/srv")));
    assert_eq!(job.command.env["PATH"], "/opt/bin");
}

#[test]
fn root_runs_lines_as_their_user_and_others_are_refused_by_line() {
    let crontab = read(
        "@daily mail x\n\n@daily ghost x\n@daily root x\n",
        CrontabKind::System,
    );
    let root = host(0);
    let user = crontab.entries[0]
        .to_job(&root)
        .unwrap()
        .command
        .user
        .unwrap();
    assert_eq!((user.uid, user.gid, user.groups), (8, 8, vec![4, 8]));
    let job = crontab.entries[0].to_job(&root).unwrap();
    assert_eq!(
        (
            job.command.env["LOGNAME"].as_str(),
            job.command.env["HOME"].as_str()
        ),
        ("mail", "/var/mail")
    );
    assert_eq!(crontab.entries[2].to_job(&root).unwrap().command.user, None);
    let missing = crontab.entries[1].to_job(&root).unwrap_err();
    assert_eq!((missing.place().line, missing.place().column), (3, 8));
    assert!(missing.message.contains("no user \"ghost\""), "{missing}");

    let alice = host(1000);
    let refused = crontab.entries[0].to_job(&alice).unwrap_err();
    assert_eq!((refused.place().line, refused.place().column), (1, 8));
    assert!(
        refused.to_string().contains("only root can start"),
        "{refused}"
    );
    let spool = read("@daily x\n", CrontabKind::Of("alice".to_owned()));
    assert_eq!(spool.entries[0].to_job(&alice).unwrap().command.user, None);
    assert_eq!(
        spool.entries[0]
            .to_job(&root)
            .unwrap()
            .command
            .user
            .unwrap()
            .uid,
        1000
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_read(text in "(\\PC|[\\n\\r\\t\\x00]){0,200}") {
        for kind in [CrontabKind::Own, CrontabKind::System] {
            let crontab = read(&text, kind);
            prop_assert!(crontab.entries.len() <= text.lines().count());
            // A report can always be shown.
            prop_assert!(crontab.mistakes.is_empty() || !crontab.mistakes.to_string().is_empty());
        }
    }

    #[test]
    fn what_looks_like_a_crontab_is_read(
        lines in prop::collection::vec("[-@*/,0-9A-Za-z=\"'% \\t\\\\#:_é]{0,40}", 0..8),
        ending in prop::sample::select(vec!["\n", "\r\n", ""]),
    ) {
        let text = lines.iter().map(|line| format!("{line}{ending}")).collect::<String>();
        let bytes = Source::from_bytes("x", text.as_bytes());
        let crontab = Crontab::parse(&bytes, CrontabKind::System, &zone("UTC"));
        for mistake in &crontab.mistakes {
            prop_assert!(mistake.span.end <= text.len() && mistake.span.start <= mistake.span.end, "{mistake:?}");
            prop_assert!(text.is_char_boundary(mistake.span.start) && text.is_char_boundary(mistake.span.end));
            prop_assert!(mistake.to_string().contains('^'));
        }
        let names: std::collections::HashSet<&str> = crontab.entries.iter().map(|entry| entry.name.as_str()).collect();
        prop_assert_eq!(names.len(), crontab.entries.len());
    }

    #[test]
    fn good_lines_come_out_whatever_surrounds_them(noise in prop::collection::vec("[^\\n]{0,30}", 0..6), at in 0_usize..6) {
        let mut lines: Vec<String> = noise;
        let at = at.min(lines.len());
        lines.insert(at, "7 7 7 7 * the-good-one".to_owned());
        let crontab = own(&(lines.join("\n") + "\n"));
        let zone_is_hidden = lines[..at].iter().any(|line| line.contains("CRON_TZ"));
        prop_assert!(zone_is_hidden || crontab.entries.iter().any(|entry| entry.command == "the-good-one"));
    }
}
