//! Acceptance cases seen from outside, through the binary: F01, T44, P15, P21, P22.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod operator;

use std::collections::BTreeSet;

use operator::{Operator, text, until};
use tlo::prelude::*;
use tlo::settings::SettingsSource;

const SLOW: &str = "[[tasks]]\nname = \"slow\"\nshell = \"echo begun; sleep 1; echo done\"\n";

#[test]
fn t44_the_log_level_decides_what_is_said() {
    let operator = Operator::with_jobs(
        "[[tasks]]\nname = \"good\"\nevery = \"1s\"\nrun_at_start = true\nshell = \"true\"\n",
    );
    let said = |level: &str| {
        let answer = operator.tlo_with(&[("TLO_LOG_LEVEL", level)], &["run", "--for", "1500ms"]);
        (answer.code, answer.err)
    };
    let line = |text: &str, level: &str| {
        text.lines()
            .any(|line| line.split_whitespace().nth(1) == Some(level))
    };
    let (code, err) = said("DEBUG");
    assert!(
        code == 0 && line(&err, "INFO") && line(&err, "DEBUG"),
        "{err}"
    );
    let (code, err) = said("info");
    assert!(
        code == 0 && line(&err, "INFO") && !line(&err, "DEBUG"),
        "{err}"
    );
    let (code, err) = said("error");
    assert!(code == 0 && !line(&err, "INFO"), "{err}");
    let (code, err) = said("LOUD");
    assert!(
        code == 1 && err.contains("TLO_LOG_LEVEL") && err.contains("one of off, error, warn"),
        "{err}"
    );
}

/// Four processes on one file, and tasks that came from a fifth.
#[test]
fn p15_four_processes_run_each_task_once() {
    const TASKS: usize = 1_000;
    let operator = Operator::with_jobs(
        "concurrency = 4\n[[tasks]]\nname = \"t\"\nshell = 'echo \"$TLO_TASK_ID\" >> runs.txt'\n",
    );
    let workers: Vec<_> = (0..4).map(|_| operator.run(&[])).collect();
    let store = format!("sqlite:{}", operator.path("t.db").display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let source = SettingsSource::empty().set("task_state_store", store);
        let builder = TloContext::builder().settings(source);
        let tlo = builder.task(task("t").declare()).build().await.unwrap();
        let submits = (0..TASKS).map(|_| tokio::spawn(tlo.client().task("t").submit()));
        for submit in submits.collect::<Vec<_>>() {
            submit.await.unwrap().unwrap();
        }
    });
    until("all have run", || {
        operator.list(&["--status", "succeeded"]).len() == TASKS
    });
    let records = operator.list(&[]);
    assert_eq!(records.len(), TASKS);
    let mut by = BTreeSet::new();
    for record in &records {
        assert_eq!(record["leases"], 1, "{record}");
        by.insert(text(&record["attempts"][0], "worker").to_owned());
    }
    assert_eq!(by.len(), 4, "{by:?}");
    let runs = operator.read("runs.txt");
    let ids: BTreeSet<&str> = runs.lines().collect();
    assert_eq!((runs.lines().count(), ids.len()), (TASKS, TASKS));
    for worker in workers {
        worker.stop();
    }
}

#[test]
fn p21_the_text_of_a_result_shows_id_outcome_attempt_duration_value_and_error() {
    let operator = Operator::with_jobs(
        "[[tasks]]\nname = \"flaky\"\nmax_attempts = 3\nretry = { base = \"10ms\", jitter = 0 }\n\
         shell = 'echo \"try $TLO_ATTEMPT\"; [ \"$TLO_ATTEMPT\" -ge 2 ]'\n",
    );
    let running = operator.run(&[]);
    let id = operator.ok(&["submit", "flaky"]).trim().to_owned();
    until("it has ended", || {
        !operator.list(&["--status", "succeeded"]).is_empty()
    });
    running.stop();
    let shown = operator.ok(&["inspect", &id[..12]]);
    for part in [
        id.as_str(),
        "succeeded",
        "2 of 3",
        "exit code 1",
        "try 1",
        "try 2",
        "ms",
    ] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    let listed = operator.ok(&["list"]);
    assert!(listed.contains("\tsucceeded\t2/3\t"), "{listed}");
}

#[test]
fn p22_a_worker_says_what_it_is_finishes_what_runs_and_refuses_a_bad_file() {
    let operator = Operator::with_jobs(SLOW);
    let running = operator.run(&["--concurrency", "3"]);
    let pid = running.pid();
    let log = running.log();
    for part in [
        format!(
            "tlo {} · pid {pid} · 3 tasks at once",
            env!("CARGO_PKG_VERSION")
        ),
        "store sqlite: in the file ".to_owned(),
        "\n  slow  when submitted".to_owned(),
    ] {
        assert!(log.contains(&part), "{part:?} is not in {log}");
    }
    operator.ok(&["submit", "slow"]);
    until("it runs", || {
        !operator.list(&["--status", "running"]).is_empty()
    });
    running.signal("INT");
    assert_eq!(running.ended(), 0);
    assert_eq!(operator.list(&["--status", "succeeded"]).len(), 1);

    operator.write("bad.toml", "[[tasks]]\nname = \"slow\"\n");
    let said = operator.fails(1, &["run", "--config", "bad.toml"]);
    assert!(said.contains("this task runs nothing"), "{said}");
}

/// The machine's zone must not decide when something runs.
#[test]
fn f01_a_submitted_command_waits_with_the_defaults_and_runs_at_once_in_any_zone() {
    for zone in [
        "UTC",
        "America/Los_Angeles",
        "Asia/Tokyo",
        "Pacific/Kiritimati",
    ] {
        let operator = Operator::with_jobs("[[tasks]]\nname = \"say\"\nshell = \"echo hello\"\n");
        let here = [("TZ", zone)];
        let submitted = operator.tlo_with(&here, &["submit", "say"]).ok("submit");
        let id = submitted.trim();
        assert!(id.starts_with("tsk_"), "{id}");
        let waiting = operator.json(&["inspect", id, "--json"]);
        assert_eq!(
            (
                text(&waiting, "id"),
                text(&waiting, "name"),
                text(&waiting, "status")
            ),
            (id, "say", "pending")
        );
        let number = |field: &str| waiting[field].as_u64();
        assert_eq!(
            (
                number("priority"),
                number("attempt"),
                number("max_attempts")
            ),
            (Some(5), Some(0), Some(5))
        );
        let due: tlo::Timestamp = text(&waiting, "run_at").parse().unwrap();
        let created: tlo::Timestamp = text(&waiting, "created_at").parse().unwrap();
        assert_eq!(due, created);
        assert!(text(&waiting, "run_at").ends_with('Z'));
        let mut command = operator.command(&["run", "--for", operator::LONGEST]);
        let folder = operator.path("");
        let running = operator::Running::of(command.envs(here), &folder);
        until("it has run", || {
            operator.list(&["--status", "succeeded"]).len() == 1
        });
        let done = operator.json(&["inspect", id, "--json"]);
        let started: tlo::Timestamp = text(&done, "started_at").parse().unwrap();
        let finished: tlo::Timestamp = text(&done, "finished_at").parse().unwrap();
        assert!(finished.since(started) < secs(1), "{done}");
        assert_eq!(done["result"]["stdout"], "hello\n");
        running.stop();
    }
}
