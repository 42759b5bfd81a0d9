//! Acceptance cases about ids, priorities, keys, queues and control, seen from outside through the binary: T20, T23, T25, F01,
//! F03, F06, F07, F18, P22.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod operator;

use operator::{Operator, text, until};
use serde_json::Value;

const JOBS: &str = "concurrency = 1\n[[tasks]]\nname = \"note\"\nshell = 'cat >> trace; echo >> trace'\n\
    [[tasks]]\nname = \"urgent\"\nqueue = \"priority\"\nshell = \"true\"\n";

fn submit(operator: &Operator, args: &[&str]) -> String {
    let all = [&["submit"], args].concat();
    operator.ok(&all).trim().to_owned()
}

fn counts(operator: &Operator) -> Value {
    operator.json(&["stats", "--json"])["queues"]["groups"].clone()
}

#[test]
fn f01_an_id_starts_with_tsk_and_a_new_task_says_what_it_is() {
    let operator = Operator::with_jobs(JOBS);
    let id = submit(&operator, &["note", "--args", "1"]);
    assert!(id.starts_with("tsk_"), "{id}");
    let record = operator.json(&["inspect", &id, "--json"]);
    assert_eq!(text(&record, "id"), id);
    assert_eq!(
        (text(&record, "name"), text(&record, "status")),
        ("note", "pending")
    );
    assert_eq!(
        (&record["priority"], &record["attempt"]),
        (&5.into(), &0.into())
    );
    assert_eq!(record["max_attempts"], 5);
    let due = text(&record, "run_at");
    assert!(
        due.ends_with('Z') && due.parse::<tlo::Timestamp>().is_ok(),
        "{due}"
    );
    // West and east of UTC alike, it runs at once.
    for zone in ["America/Los_Angeles", "Asia/Tokyo"] {
        let mut command = operator.command(&["run", "--for", operator::LONGEST]);
        let running = operator::Running::of(command.env("TZ", zone), &operator.path(""));
        let id = submit(
            &operator,
            &[
                "note",
                "--args",
                "2",
                "--wait",
                "--wait-for",
                "20s",
                "--json",
            ],
        );
        let record: Value = serde_json::from_str(&id).unwrap();
        assert_eq!(text(&record, "status"), "succeeded");
        running.stop();
    }
}

#[test]
fn f03_larger_priorities_start_first_and_equal_ones_in_the_order_of_their_submits() {
    let operator = Operator::with_jobs(JOBS);
    for (args, priority) in [("1", "1"), ("9", "9"), ("5", "5"), ("51", "5"), ("52", "5")] {
        submit(&operator, &["note", "--args", args, "--priority", priority]);
    }
    let next = operator.json(&["peek", "--json"]);
    let args: Vec<_> = next
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["args"].to_string())
        .collect();
    assert_eq!(args, ["9", "5", "51", "52", "1"]);
    let running = operator.run(&[]);
    until("all have run", || {
        operator.list(&["--status", "succeeded"]).len() == 5
    });
    running.stop();
    let trace = operator.read("trace");
    assert_eq!(trace.split_whitespace().collect::<Vec<_>>(), args);
    assert_eq!(
        operator.tlo(&["peek"]).err,
        "nothing is ready in the queue \"default\"\n"
    );
    for wrong in ["256", "-1", "high"] {
        operator.fails(2, &["submit", "note", &format!("--priority={wrong}")]);
    }
}

#[test]
fn f06_one_key_is_one_task_with_the_first_payload() {
    let operator = Operator::with_jobs(JOBS);
    let first = submit(&operator, &["note", "--key", "k", "--args", "1"]);
    let again = operator.tlo(&["submit", "note", "--key", "k", "--args", "2"]);
    assert_eq!((again.code, again.out.trim()), (0, first.as_str()));
    assert!(again.err.contains("nothing was submitted"), "{again:?}");
    let all = operator.list(&[]);
    assert_eq!((all.len(), &all[0]["args"]), (1, &1.into()));
    // Who cancels it frees the key.
    operator.ok(&["cancel", &first]);
    assert_ne!(submit(&operator, &["note", "--key", "k"]), first);
    let said = operator.fails(4, &["revive", &first]);
    assert!(said.contains("the unique key \"k\" is owned by"), "{said}");
}

#[test]
fn f07_many_processes_with_one_key_get_one_id() {
    let operator = Operator::with_jobs(JOBS);
    operator.ok(&["list"]);
    let children: Vec<_> = (0..20)
        .map(|n| {
            let mut command =
                operator.command(&["submit", "note", "--key", "k", "--args", &n.to_string()]);
            command
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let ids: std::collections::BTreeSet<String> = children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    assert_eq!((ids.len(), operator.list(&[]).len()), (1, 1));
}

#[test]
fn t20_t23_tasks_are_counted_per_queue_moved_and_brought_forward() {
    let operator = Operator::with_jobs(JOBS);
    let far = submit(&operator, &["note", "--in", "30d"]);
    let note = submit(&operator, &["note"]);
    submit(&operator, &["urgent"]);
    assert_eq!(
        counts(&operator),
        serde_json::json!({"default": 2, "priority": 1})
    );
    let first = || text(&operator.json(&["peek", "--limit", "1", "--json"])[0], "id").to_owned();
    assert_eq!(first(), note);
    operator.ok(&["reschedule", &far, "--at", "2020-01-01T00:00:00Z"]);
    assert_eq!(first(), far);
    operator.ok(&["move", &far, "--to", "priority"]);
    assert_eq!(
        counts(&operator),
        serde_json::json!({"default": 1, "priority": 2})
    );
    operator.ok(&["cancel", &far]);
    operator.ok(&["purge", &note, "--reason", "a mistake"]);
    assert_eq!(counts(&operator), serde_json::json!({"priority": 1}));
}

#[test]
fn t25_a_queue_that_was_never_used_is_empty_and_stays_unknown() {
    let operator = Operator::with_jobs(JOBS);
    submit(&operator, &["urgent"]);
    let said = operator.fails(3, &["peek", "prioritty"]);
    assert_eq!(
        said,
        "error: no queue is named \"prioritty\"; did you mean \"priority\"?\n"
    );
    assert_eq!(operator.list(&["--queue", "prioritty"]).len(), 0);
    operator.fails(3, &["purge", "--queue", "prioritty"]);
    assert_eq!(counts(&operator), serde_json::json!({"priority": 1}));
}

#[test]
fn f18_a_paused_schedule_never_fires_and_its_next_slot_is_in_the_future_afterwards() {
    let operator =
        Operator::with_jobs("[[tasks]]\nname = \"tick\"\nevery = \"1s\"\nshell = \"true\"\n");
    operator.ok(&[
        "pause",
        "schedule",
        "tick",
        "--reason",
        "the source is away",
    ]);
    let running = operator.run(&["--for", "3500ms"]);
    assert!(
        running.log().contains("paused: the source is away"),
        "{}",
        running.log()
    );
    assert_eq!(running.ended(), 0);
    assert!(operator.list(&[]).is_empty());
    operator.ok(&["resume", "schedule", "tick"]);
    let running = operator.run(&["--for", "10m"]);
    until("it fires", || operator.list(&[]).len() >= 2);
    running.stop();
    let resumed = text(&operator.json(&["audit", "--json"])[0], "at")
        .parse::<tlo::Timestamp>()
        .unwrap();
    for record in operator.list(&[]) {
        let slot: tlo::Timestamp = text(&record, "slot").parse().unwrap();
        assert!(slot > resumed, "{record} was before {resumed}");
    }
}

#[test]
fn p22_a_worker_finishes_what_runs_and_says_what_it_is() {
    let operator = Operator::with_jobs(
        "[[tasks]]\nname = \"slow\"\nshell = \"echo begun > begun; sleep 1\"\n",
    );
    let mut command =
        operator.command(&["worker", "--for", operator::LONGEST, "--concurrency", "3"]);
    let worker = operator::Running::of(&mut command, &operator.path(""));
    submit(&operator, &["slow"]);
    until("it runs", || operator.read("begun").contains("begun"));
    worker.signal("INT");
    let log = worker.log();
    let version = env!("CARGO_PKG_VERSION");
    for part in [
        format!("tlo {version} · pid {} · 3 tasks", worker.pid()),
        "store sqlite: ".to_owned(),
        "1 handler: slow".to_owned(),
    ] {
        assert!(log.contains(&part), "{part:?} is not in {log}");
    }
    assert_eq!(worker.ended(), 0);
    assert_eq!(operator.list(&["--status", "succeeded"]).len(), 1);
    operator.write("bad.toml", "[[tasks]]\nname = \"slow\"\n");
    assert!(
        operator
            .fails(1, &["worker", "--config", "bad.toml"])
            .contains("this task runs nothing")
    );
}
