//! Jobs files: what comes out, and each mistake with its line and column.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use tlo::cli::jobs::{CommandInput, Host, INIT, Invocation, Job, JobsFile};
use tlo::cli::source::Source;
use tlo::schedule::{Dst, Misfire, Overlap, Schedule};
use tlo::task::GateTemplate;
use tlo::{RetryPolicy, Timestamp};

fn read(text: &str) -> JobsFile {
    JobsFile::parse(&Source::new("/srv/tlo.toml", text))
}

/// The one task of a file with these lines below `[[tasks]]` and a name and a command.
fn task(lines: &str) -> Job {
    let file = read(&format!(
        "[[tasks]]\nname = \"t\"\ncommand = [\"x\"]\n{lines}\n"
    ));
    assert!(file.mistakes.is_empty(), "{lines}:\n{}", file.mistakes);
    file.jobs.into_iter().next().unwrap()
}

#[test]
fn the_example_of_the_readme() {
    let file = read(
        r#"task_state_store = "sqlite:tlo.db"
concurrency = 8

[[tasks]]
name = "backup"
cron = "0 3 * * *"            # or every = "5m"; without a schedule it can be submitted by name
zone = "Europe/Berlin"
command = ["pg_dump", "-f", "/var/backups/db.sql"]
timeout = "10m"
max_attempts = 3
retry = { base = "1s", factor = 8, cap = "10m" }
"#,
    );
    assert!(file.mistakes.is_empty(), "{}", file.mistakes);
    assert_eq!(file.settings.len(), 2);
    assert_eq!(
        file.settings["task_state_store"].as_str(),
        Some("sqlite:tlo.db")
    );
    let job = &file.jobs[0];
    assert_eq!(
        job.def.schedule,
        Some(Schedule::cron_in("0 3 * * *", "Europe/Berlin").unwrap())
    );
    assert_eq!(job.def.timeout, Some(Duration::from_secs(600)));
    assert_eq!(job.def.max_attempts, Some(3));
    assert_eq!(job.def.retry, RetryPolicy::default());
    assert_eq!(
        job.command.run.argv(),
        ["pg_dump", "-f", "/var/backups/db.sql"]
    );
    assert_eq!(
        (job.command.inherit_env, &job.command.stdin),
        (true, &CommandInput::Args)
    );
    let place = job.mistake("later").place();
    assert_eq!((place.line, place.column), (5, 9));
}

#[test]
fn schedules() {
    let utc = |text: &str| -> Timestamp { text.parse().unwrap() };
    for (lines, schedule) in [
        ("", None),
        (
            "every = \"5m\"",
            Schedule::every(Duration::from_secs(300)).ok(),
        ),
        ("every = 5", Schedule::every(Duration::from_secs(5)).ok()),
        (
            "every = 0.5",
            Schedule::every(Duration::from_millis(500)).ok(),
        ),
        ("cron = \"*/5 * * * *\"", Schedule::cron("*/5 * * * *").ok()),
        ("cron = '@reboot'", Some(Schedule::reboot())),
        (
            "cron = \"@every 5m\"",
            Schedule::every(Duration::from_secs(300)).ok(),
        ),
        (
            "cron = \"H 3 * * *\"",
            Schedule::cron("H 3 * * *").unwrap().seeded("t").ok(),
        ),
        (
            "cron = \"0 0 12 ? * MON-FRI\"\ndialect = \"quartz\"\nzone = \"Asia/Tokyo\"",
            Schedule::quartz("0 0 12 ? * MON-FRI", "Asia/Tokyo").ok(),
        ),
        (
            "cron = \"30 2 * * *\"\nzone = \"Europe/Berlin\"\ndst = \"skip\"",
            Schedule::cron_in("30 2 * * *", "Europe/Berlin")
                .ok()
                .map(|schedule| schedule.dst(Dst::Skip)),
        ),
        (
            "at = 2026-11-20T10:00:00Z",
            Some(Schedule::at(utc("2026-11-20T10:00:00Z"))),
        ),
        (
            "at = \"2026-11-20T10:00:00+02:00\"",
            Some(Schedule::at(utc("2026-11-20T08:00:00Z"))),
        ),
        (
            "at = 2026-07-20 10:00:00\nzone = \"Europe/Berlin\"",
            Some(Schedule::at(utc("2026-07-20T08:00:00Z"))),
        ),
        (
            "every = \"1h\"\nstart = 2026-01-01T00:00:00Z\nend = \"2026-02-01T00:00:00Z\"",
            Schedule::every(Duration::from_secs(3600))
                .ok()
                .map(|schedule| {
                    schedule.between(
                        Some(utc("2026-01-01T00:00:00Z")),
                        Some(utc("2026-02-01T00:00:00Z")),
                    )
                }),
        ),
        (
            "every = \"1h\"\nstart = 2026-01-01T00:00:00\nzone = \"Asia/Tokyo\"",
            Schedule::every(Duration::from_secs(3600))
                .ok()
                .map(|schedule| schedule.between(Some(utc("2025-12-31T15:00:00Z")), None)),
        ),
    ] {
        assert_eq!(task(lines).def.schedule, schedule, "{lines}");
    }
}

#[test]
fn policies() {
    let policy = task("every = \"1m\"\nmisfire = \"skip\"\ngrace = \"1h\"\noverlap = \"replace\"\njitter = \"30s\"\nmax_runs = 7\nrun_at_start = true").def.policy;
    assert_eq!(
        (policy.misfire, policy.overlap),
        (Misfire::Skip, Overlap::Replace)
    );
    assert_eq!(
        (policy.grace, policy.jitter),
        (
            Some(Duration::from_secs(3600)),
            Some(Duration::from_secs(30))
        )
    );
    assert_eq!((policy.max_runs, policy.run_at_start), (Some(7), true));
    for (text, misfire) in [
        ("\"once\"", Misfire::Once),
        ("\"All\"", Misfire::All { max: 10_000 }),
        ("{ all = 3 }", Misfire::All { max: 3 }),
    ] {
        assert_eq!(
            task(&format!("every = 1\nmisfire = {text}"))
                .def
                .policy
                .misfire,
            misfire
        );
    }
    assert_eq!(
        task("every = 1").def.policy,
        tlo::schedule::SchedulePolicy::default()
    );
}

#[test]
fn what_runs_and_where() {
    let job = task(
        "env = { A = \"b\", \"C D\" = '' }\ncwd = \"work\"\nkill_grace = \"3s\"\nargs = { to = [\"ada\"], n = 1, day = 2026-01-01, x = 1.5, ok = true }",
    );
    assert_eq!(
        job.command
            .env
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect::<Vec<_>>(),
        ["A=b", "C D="]
    );
    assert_eq!(job.command.cwd, Some(PathBuf::from("/srv/work")));
    assert_eq!(job.command.kill_grace, Some(Duration::from_secs(3)));
    let args: serde_json::Value = job.def.args.decode().unwrap();
    assert_eq!(
        args,
        serde_json::json!({"to": ["ada"], "n": 1, "day": "2026-01-01", "x": 1.5, "ok": true})
    );
    assert_eq!(
        task("cwd = \"/abs\"").command.cwd,
        Some(PathBuf::from("/abs"))
    );
    let file = read(
        "[[tasks]]\nname = \"t\"\nshell = \"\"\"\necho 1\necho 2\"\"\"\n[tasks.env]\nA = \"b\"\n[tasks.retry]\nbase = \"2s\"\n",
    );
    assert!(file.mistakes.is_empty(), "{}", file.mistakes);
    let (shell, line) = ("/bin/sh".to_owned(), "echo 1\necho 2".to_owned());
    assert_eq!(file.jobs[0].command.run, Invocation::Shell { shell, line });
    assert_eq!(
        (
            file.jobs[0].command.env["A"].as_str(),
            file.jobs[0].def.retry.base
        ),
        ("b", Duration::from_secs(2))
    );
}

#[test]
fn the_rest_of_a_definition() {
    let def = task("queue = \"slow\"\npriority = 255\nmax_lost = 0\nlease = \"1m\"\ntags = [\"a\", \"b\"]\ndescription = \"d\"\nversion = \"2\"\nretry = { delays = [\"1s\", \"1m\"], jitter = 0 }").def;
    assert_eq!((&*def.queue, def.priority, def.max_lost), ("slow", 255, 0));
    assert_eq!(
        (def.lease, def.tags.len(), def.description.as_deref()),
        (Some(Duration::from_secs(60)), 2, Some("d"))
    );
    assert_eq!((def.retry.delays, def.retry.jitter), (vec![1.0, 60.0], 0.0));
    let gate = |template: &str, limit| GateTemplate {
        template: template.to_owned(),
        limit,
    };
    for (lines, gates) in [
        (
            "exclusive = \"user/{id}\"",
            vec![gate("exclusive/t/user/{id}", 1)],
        ),
        ("exclusive = true", vec![gate("exclusive/t", 1)]),
        ("exclusive = false", vec![]),
        ("limit = 3", vec![gate("limit/t", 3)]),
        (
            "exclusive = \"{a}\"\nlimit = { key = \"{b}\", max = 2 }",
            vec![gate("exclusive/t/{a}", 1), gate("{b}", 2)],
        ),
    ] {
        assert_eq!(task(lines).def.gates, gates, "{lines}");
    }
}

#[test]
fn inline_tables_are_tasks_too() {
    let file =
        read("tasks = [{ name = \"a\", command = [\"x\"] }, { name = \"b\", shell = \"y\" }]\n");
    assert!(file.mistakes.is_empty(), "{}", file.mistakes);
    assert_eq!(file.jobs.len(), 2);
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
            "",
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
            "give the task a zone",
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
            2,
            9,
            "no field \"user\"",
            "",
        ),
        ("exclusive = 1", 4, 13, "true, or a key", ""),
        ("limit = 0", 4, 9, "from 1 to", ""),
        ("limit = { max = 1 }", 4, 9, "no \"key\"", "limit = 3"),
        ("rate = \"5/s\"", 4, 1, "\"rate\" is reserved", ""),
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

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/sh\n";

#[test]
fn users_are_found_on_the_machine() {
    let job = |user: &str| task(&format!("user = \"{user}\"\nenv = {{ HOME = \"/kept\" }}"));
    let root = Host::new(0, PASSWD, "", PathBuf::from("/"));
    let alice = Host::new(1000, PASSWD, "", PathBuf::from("/"));
    let found = job("alice").on(&root).unwrap();
    assert_eq!(found.command.user.as_ref().map(|user| user.uid), Some(1000));
    assert_eq!(
        (
            found.command.env["HOME"].as_str(),
            found.command.env["USER"].as_str()
        ),
        ("/kept", "alice")
    );
    assert_eq!(job("alice").on(&alice).unwrap().command.user, None);
    assert_eq!(task("").on(&alice).unwrap(), task(""));
    for (host, user, says) in [
        (&alice, "root", "only root can start"),
        (&root, "ghost", "no user \"ghost\""),
    ] {
        let mistake = job(user).on(host).unwrap_err();
        assert_eq!(
            (mistake.place().line, mistake.place().column),
            (4, 9),
            "{mistake}"
        );
        assert!(mistake.message.contains(says), "{mistake}");
    }
}

#[test]
fn what_init_writes_is_a_good_jobs_file() {
    let file = read(INIT);
    assert!(file.mistakes.is_empty(), "{}", file.mistakes);
    let names: Vec<&str> = file.jobs.iter().map(|job| &*job.def.name).collect();
    assert_eq!(names, ["hello", "report", "greet"]);
}

/// Each commented key of the init file is a good one: they are tried by themselves below a task.
#[test]
fn the_comments_of_the_init_file_are_true() {
    let (_, comments) = INIT.split_once("# What else a task may say:").unwrap();
    let mut tried = 0;
    for line in comments.lines().filter_map(|line| line.strip_prefix("# ")) {
        let key = line.split(' ').next().unwrap();
        let schedule = match key {
            "at" | "exclusive" | "limit" => "",
            _ => "cron = \"0 0 12 ? * *\"\n",
        };
        let job = task(&format!("{schedule}{line}"));
        assert_eq!(&*job.def.name, "t");
        tried += 1;
    }
    assert_eq!(tried, 22);
}

#[test]
fn the_sample_jobs_are_good() {
    let file = JobsFile::read(Path::new("examples/jobs.toml")).unwrap();
    assert!(file.mistakes.is_empty(), "{}", file.mistakes);
    let names: Vec<&str> = file.jobs.iter().map(|job| &*job.def.name).collect();
    assert_eq!(names, ["tick", "load", "flaky", "midnight", "greet"]);
    assert!(
        file.settings["task_state_store"]
            .as_str()
            .unwrap()
            .starts_with("sqlite:")
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = JobsFile::read(Path::new("no/such.toml")).unwrap_err();
    assert_eq!(error.kind(), tlo::ErrorKind::NotFound);
    assert!(error.to_string().contains("\"no/such.toml\""), "{error}");
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
