//! Crontabs that are wrong, or that cron would read differently.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use tlo::cli::crontab::{Crontab, CrontabKind, LocalZone};
use tlo::cli::source::{Level, Source};

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

#[test]
fn every_bad_line_is_reported_where_it_is_wrong() {
    use CrontabKind::{Own, System};
    for (kind, line, column, message, help) in [
        (Own, "60 * * * * x", 1, "60", "nearest valid form"),
        (Own, "0 25 * * * x", 3, "25", "nearest valid form"),
        (Own, "0 3 * * fry x", 9, "fry", "nearest valid form"),
        (
            Own,
            "0 3 * * /usr/bin/backup now",
            9,
            "does the command begin here?",
            "minute hour day month weekday",
        ),
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
