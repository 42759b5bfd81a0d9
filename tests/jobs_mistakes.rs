//! Jobs files that are wrong: each mistake with its line and column, all at once.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use proptest::prelude::*;
use tlo::cli::jobs::JobsFile;
use tlo::cli::source::Source;

fn read(text: &str) -> JobsFile {
    JobsFile::parse(&Source::new("/srv/tlo.toml", text))
}

/// Line and column are those of the whole file; the added lines begin at line 4.
#[test]
fn every_mistake_is_reported_where_it_is() {
    let mut wrong: Vec<String> = Vec::new();
    for (lines, line, column, message, help) in [
        (
            "priorty = 3",
            4,
            1,
            "a task has no key \"priorty\"",
            "did you mean priority?",
        ),
        (
            "interval = \"5m\"",
            4,
            1,
            "no key \"interval\"",
            "did you mean every?",
        ),
        (
            "zzzz = 1",
            4,
            1,
            "no key \"zzzz\"",
            "there are name, description",
        ),
        ("cron = \"0 3 * *\"", 4, 16, "it has 4 fields", "0 3 * * *"),
        ("cron = \"0 25 * * *\"", 4, 11, "25", "0 23 * * *"),
        ("cron = '''\n0 25 * * *'''", 5, 3, "25", "0 23 * * *"),
        (
            "cron = \"0\\u0020\\u00325 * * *\"",
            4,
            8,
            "25",
            "0 23 * * *",
        ),
        (
            "cron = 5",
            4,
            8,
            "text with a cron expression; here it is a whole number",
            "0 3 * * *",
        ),
        (
            "every = \"5 parsecs\"",
            4,
            10,
            "\"parsecs\" is not a unit",
            "write it as 30s",
        ),
        ("every = \"0s\"", 4, 9, "0s never gets on", "1s"),
        ("every = [1]", 4, 9, "here it is a list", ""),
        ("every = -1", 4, 9, "a duration", ""),
        (
            "every = \"1s\"\ncron = \"* * * * *\"",
            5,
            1,
            "\"cron\" and \"every\" are 2 schedules",
            "keep one",
        ),
        (
            "cron = \"* * * * *\"\nzone = \"Europe/Berln\"",
            5,
            9,
            "no time zone \"Europe/Berln\"",
            "Europe/Berlin",
        ),
        (
            "cron = \"* * * * *\"\nzone = 1",
            5,
            8,
            "the name of a time zone",
            "Europe/Berlin",
        ),
        (
            "cron = \"* * * * *\"\ndialect = \"quarts\"",
            5,
            12,
            "no choice \"quarts\"",
            "\"quartz\"",
        ),
        (
            "cron = \"* * * * *\"\ndst = \"x\"",
            5,
            8,
            "no choice \"x\"",
            "\"vixie\"",
        ),
        (
            "zone = \"UTC\"",
            4,
            1,
            "\"zone\" means nothing without cron or at",
            "",
        ),
        (
            "every = 1\ndst = \"skip\"",
            5,
            1,
            "\"dst\" means nothing without cron",
            "leave it out, or give the task a cron expression",
        ),
        (
            "overlap = \"skip\"",
            4,
            1,
            "\"overlap\" means nothing without a schedule",
            "",
        ),
        (
            "every = 1\noverlap = \"skp\"",
            5,
            12,
            "no choice \"skp\"",
            "\"skip\"",
        ),
        (
            "every = 1\nmisfire = { al = 3 }",
            5,
            13,
            "a misfire table has no key \"al\"",
            "all",
        ),
        (
            "every = 1\nmisfire = { all = 0 }",
            5,
            19,
            "from 1 to 10000; here it is 0",
            "",
        ),
        ("every = 1\nmax_runs = 0", 5, 12, "from 1 to", ""),
        (
            "every = 1\nrun_at_start = \"yes\"",
            5,
            16,
            "true or false; here it is text",
            "",
        ),
        (
            "every = 1\nend = 2026-01-01T00:00:00Z\nstart = 2026-01-02T00:00:00Z",
            5,
            7,
            "\"end\" is before \"start\"",
            "",
        ),
        (
            "at = 2026-01-01T00:00:00",
            4,
            6,
            "no offset",
            "write it as 2026-01-01T00:00:00Z, or name a zone",
        ),
        (
            "at = \"tomorrow\"",
            4,
            6,
            "tomorrow",
            "2026-11-20T10:00:00Z",
        ),
        ("at = 7", 4, 6, "an instant; here it is a whole number", ""),
        (
            "priority = 256",
            4,
            12,
            "a whole number from 0 to 255; here it is 256",
            "",
        ),
        ("priority = \"high\"", 4, 12, "here it is text", ""),
        ("max_attempts = 0", 4, 16, "from 1 to", ""),
        ("max_lost = -1", 4, 12, "from 0 to", ""),
        (
            "timeout = \"0s\"",
            4,
            11,
            "\"timeout\" is 0",
            "leave the key out",
        ),
        ("timeout = \"soon\"", 4, 12, "not a duration", "30s"),
        ("lease = \"50ms\"", 4, 9, "shorter than 100ms", "30s"),
        (
            "retry = 5",
            4,
            9,
            "a table; here it is a whole number",
            "retry = {",
        ),
        (
            "retry = { base = \"1s\", facter = 2 }",
            4,
            24,
            "no key \"facter\"",
            "factor",
        ),
        (
            "retry = { factor = 0.5 }",
            4,
            20,
            "at least 1; here it is 0.5",
            "",
        ),
        ("retry = { jitter = 2 }", 4, 20, "between 0 and 1", ""),
        (
            "retry = { base = \"1h\" }",
            4,
            18,
            "longer than the longest",
            "cap",
        ),
        (
            "retry = { delays = [1] }",
            4,
            21,
            "a whole number in it",
            "quotes",
        ),
        ("retry = { delays = [\"x\"] }", 4, 22, "not a duration", ""),
        ("queue = \"\"", 4, 10, "a queue name is empty", ""),
        (
            "tags = \"a\"",
            4,
            8,
            "a list of texts; here it is text",
            "[\"one\", \"two\"]",
        ),
        (
            "env = { A = 1 }",
            4,
            13,
            "a variable, so text; here it is a whole number",
            "quotes",
        ),
        (
            "env = { \"A=B\" = \"\" }",
            4,
            9,
            "no variable can be called",
            "",
        ),
        ("cwd = \"\"", 4, 8, "\"cwd\" is empty", ""),
        ("user = 0", 4, 8, "the name of a user", ""),
        ("user = \"\"", 4, 9, "\"user\" is empty", ""),
        ("args = { x = nan }", 4, 8, "JSON has no number", ""),
        ("exclusive = \"{user\"", 4, 14, "not a key template", ""),
        (
            "every = 1\nexclusive = \"{user}\"",
            5,
            14,
            "the args have no field \"user\", which \"{user}\" needs",
            "put the field into args",
        ),
        (
            "every = 1\nlimit = { key = \"{user}\", max = 2 }\nargs = { id = 1 }",
            5,
            18,
            "the args have no field \"user\"",
            "put the field into args",
        ),
        (
            "every = 1\nexclusive = \"{user}\"\nargs = { user = [1] }",
            5,
            14,
            "neither text, a number nor a boolean",
            "put the field into args",
        ),
        ("exclusive = 1", 4, 13, "true, or a key", ""),
        ("limit = 0", 4, 9, "from 1 to", ""),
        ("limit = { max = 1 }", 4, 9, "no \"key\"", "limit = 3"),
        ("rate = \"5\"", 4, 9, "it has no \"/\"", ""),
        ("rate = { n = 5 }", 4, 8, "no \"per\"", "per = \"1m\""),
        ("rate = { n = 0, per = 1 }", 4, 14, "from 1 to", ""),
        (
            "shell = \"y\"",
            4,
            1,
            "both \"command\" and \"shell\"",
            "keep one",
        ),
        ("# caf\u{e9}\npriority = \u{e9}", 5, 12, "", ""),
    ] {
        let file = read(&format!(
            "[[tasks]]\nname = \"t\"\ncommand = [\"x\"]\n{lines}\n"
        ));
        let [mistake] = file.mistakes.iter().collect::<Vec<_>>()[..] else {
            panic!(
                "{lines:?}: {} mistakes\n{}",
                file.mistakes.len(),
                file.mistakes
            );
        };
        let place = mistake.place();
        let helps = mistake.help.as_deref().unwrap_or_default().contains(help);
        if (place.line, place.column) != (line, column)
            || !mistake.message.contains(message)
            || !helps
        {
            wrong.push(format!(
                "{lines:?} at {line}:{column} \"{message}\" \"{help}\":\n{mistake}"
            ));
        }
        assert!(file.jobs.is_empty(), "{lines:?} gives no task");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn names_and_commands_are_needed() {
    for (text, line, column, message) in [
        ("[[tasks]]\ncommand = [\"x\"]\n", 1, 1, "no name"),
        (
            "[[tasks]]\nname = \"\"\ncommand = [\"x\"]\n",
            2,
            9,
            "a task name is empty",
        ),
        (
            "[[tasks]]\nname = 5\ncommand = [\"x\"]\n",
            2,
            8,
            "\"name\" is text",
        ),
        (
            "[[tasks]]\nname = \"a\\u0007b\"\ncommand = [\"x\"]\n",
            2,
            8,
            "control character",
        ),
        ("[[tasks]]\nname = \"t\"\n", 1, 1, "runs nothing"),
        (
            "[[tasks]]\nname = \"t\"\ncommand = []\n",
            3,
            11,
            "the command is empty",
        ),
        (
            "[[tasks]]\nname = \"t\"\ncommand = [\"\"]\n",
            3,
            13,
            "the program, is empty",
        ),
        (
            "[[tasks]]\nname = \"t\"\ncommand = [\"echo hi\"]\n",
            3,
            13,
            "no program \"echo hi\"",
        ),
        (
            "[[tasks]]\nname = \"t\"\ncommand = \"echo hi\"\n",
            3,
            11,
            "a list of texts; here it is text",
        ),
        (
            "[[tasks]]\nname = \"t\"\ncommand = [\"x\", 1]\n",
            3,
            17,
            "here is a whole number in it",
        ),
        (
            "[[tasks]]\nname = \"t\"\nshell = \" \"\n",
            3,
            10,
            "the line for the shell is empty",
        ),
        (
            "[[tasks]]\nname = \"t\"\nshell = \"a\\u0000b\"\n",
            3,
            9,
            "NUL",
        ),
        ("[tasks]\nname = \"t\"\n", 1, 2, "a list of tables"),
        (
            "tasks = 5\n",
            1,
            1,
            "a list of tables, here it is a whole number",
        ),
        ("tasks = [5]\n", 1, 10, "a task is a table"),
        ("[[job]]\nname = \"t\"\n", 1, 3, "tasks stand in [[tasks]]"),
        (
            "[[tasks]]\nname = \"t\"\nshell = \"x\"\n[[tasks]]\nname = \"t\"\nshell = \"y\"\n",
            5,
            9,
            "taken by the task of line 2",
        ),
    ] {
        let file = read(text);
        let [mistake] = file.mistakes.iter().collect::<Vec<_>>()[..] else {
            panic!(
                "{text:?}: {} mistakes\n{}",
                file.mistakes.len(),
                file.mistakes
            );
        };
        let place = mistake.place();
        assert_eq!(
            (place.line, place.column),
            (line, column),
            "{text:?}: {mistake}"
        );
        assert!(mistake.message.contains(message), "{text:?}: {mistake}");
    }
}

#[test]
fn all_mistakes_come_at_once_and_good_tasks_still_come_out() {
    let file = read(
        "concurrency = 8\n\n[[tasks]]\nname = \"good\"\nshell = \"x\"\n\n[[tasks]]\nname = \"bad\"\ncron = \"61 * * * *\"\nzone = \"Mars\"\n\
         \n[[tasks]]\nname = \"torn\nshell = \"x\"\n\n[[tasks]]\nname = \"also good\"\nshell = \"y\"\n\n[[tasks]]\nname = = 5\n",
    );
    let names: Vec<&str> = file.jobs.iter().map(|job| &*job.def.name).collect();
    assert_eq!(names, ["good", "also good"]);
    let lines: Vec<usize> = file
        .mistakes
        .iter()
        .map(|mistake| mistake.place().line)
        .collect();
    assert_eq!(lines, [7, 9, 10, 13, 21], "{}", file.mistakes);
    assert_eq!(file.settings.len(), 1);
}

#[test]
fn a_report_as_people_see_it() {
    let file =
        read("[[tasks]]\nname = \"nightly\"\ncron = \"0 25 * * *\"\ncomand = [\"backup\"]\n");
    assert_eq!(
        file.mistakes.to_string(),
        r#"error: this task runs nothing
 --> /srv/tlo.toml:1:1
  |
1 | [[tasks]]
  | ^^^^^^^^^
  = help: write command = ["echo", "hello"], or shell = "echo hello"

error: cron expression: hour 25 is outside 0 to 23
 --> /srv/tlo.toml:3:11
  |
3 | cron = "0 25 * * *"
  |           ^^
  = help: nearest valid form: 0 23 * * *

error: a task has no key "comand"
 --> /srv/tlo.toml:4:1
  |
4 | comand = ["backup"]
  | ^^^^^^
  = help: did you mean command?

3 errors"#
    );
}

#[test]
fn text_that_is_no_utf8_is_shown() {
    let file = JobsFile::parse(&Source::from_bytes("x", b"a = 1\nb = \"caf\xe9\"\n"));
    let place = file.mistakes.iter().next().unwrap().place();
    assert_eq!((file.mistakes.len(), place.line, place.column), (1, 2, 9));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_text_is_read(text in "(\\PC|[\\n\\r\\t\\x00]){0,200}") {
        let file = read(&text);
        for mistake in &file.mistakes {
            prop_assert!(mistake.to_string().contains('^'));
        }
    }

    #[test]
    fn what_looks_like_a_jobs_file_is_read(lines in prop::collection::vec(prop::sample::select(vec![
        "[[tasks]]", "[tasks.env]", "[tasks]", "name = \"a\"", "name = \"b\"", "shell = \"x\"", "command = [\"x\"", "cron = \"* * * * *\"",
        "cron = \"é 1 * * *\"", "every = \"1s\"", "zone = \"x\"", "retry = {", "args.x = 1", "limit.max = 1", "x = '''", "\"\"\"", "A = 'é'", "a = [", "]", "tasks = []",
    ]), 0..14)) {
        let text = lines.join("\n");
        let file = read(&text);
        for mistake in &file.mistakes {
            prop_assert!(mistake.span.start <= mistake.span.end && mistake.span.end <= text.len(), "{mistake:?}");
            prop_assert!(text.is_char_boundary(mistake.span.start) && text.is_char_boundary(mistake.span.end), "{mistake:?}");
        }
        let names: std::collections::HashSet<&str> = file.jobs.iter().map(|job| &*job.def.name).collect();
        prop_assert_eq!(names.len(), file.jobs.len());
    }
}
