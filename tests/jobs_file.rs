//! Jobs files: what comes out, and each mistake with its line and column.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use tlo::cli::jobs::{CommandInput, Host, INIT, Invocation, Job, JobsFile};
use tlo::cli::source::Source;
use tlo::schedule::{Dst, Misfire, Overlap, Schedule};
use tlo::settings::{SettingsSource, TloSettings};
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
    let policy = task("every = \"1m\"\nmisfire = \"skip\"\ngrace = \"1h\"\noverlap = \"replace\"\njitter = \"30s\"\nmax_runs = 7\nrun_at_start = true").def.policy.clone();
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
    assert_eq!(def.retry.delays, [1.0, 60.0]);
    assert_eq!(def.retry.jitter, 0.0);
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
    let (comments, queue) = comments.split_once("# And about a queue").unwrap();
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
    assert_eq!(tried, 23);
    let lines = queue.lines().filter_map(|line| line.strip_prefix("# "));
    let file = read(&lines.clone().collect::<Vec<_>>().join("\n"));
    assert!(file.mistakes.is_empty(), "{}", file.mistakes);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tlo.toml");
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let settings = TloSettings::load(&SettingsSource::empty().file(path)).unwrap();
    let limits = settings.queue_limits()["mail"].to_string();
    assert_eq!(limits, "3 at once, 100 per 1h, at most 10000 waiting");
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
