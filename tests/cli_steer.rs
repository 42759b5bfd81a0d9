//! Steering from the command line: tasks one by one and many at once, pauses, limits, errors in groups, the audit.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod operator;

use operator::{Operator, text, until};
use serde_json::Value;

const JOBS: &str = r#"
[[tasks]]
name = "greet"
shell = "echo hello"
[[tasks]]
name = "mail"
queue = "mail"
shell = "true"
[[tasks]]
name = "bad"
max_attempts = 1
shell = 'echo "row $(cat) is locked" >&2; exit 3'
[[tasks]]
name = "tick"
every = "1h"
shell = "true"
"#;

fn submit(operator: &Operator, args: &[&str]) -> String {
    let all = [&["submit"], args].concat();
    operator.ok(&all).trim().to_owned()
}

/// Three tasks that wait for an hour, and one in the queue mail.
fn waiting(operator: &Operator) -> Vec<String> {
    let mut ids: Vec<_> = (0..3)
        .map(|_| submit(operator, &["greet", "--in", "1h"]))
        .collect();
    ids.push(submit(operator, &["mail", "--in", "1h"]));
    ids
}

fn statuses(operator: &Operator, status: &str) -> usize {
    operator.list(&["--status", status]).len()
}

fn audit(operator: &Operator) -> Vec<Value> {
    operator
        .json(&["audit", "--json"])
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn tasks_are_steered_by_their_ids_or_the_beginnings_of_them() {
    let operator = Operator::with_jobs(JOBS);
    let ids = waiting(&operator);
    assert_eq!(
        operator.ok(&["cancel", &ids[0], "--dry-run"]),
        format!("{}\twould be cancelled\n", ids[0])
    );
    assert_eq!(statuses(&operator, "cancelled"), 0);
    let said = operator.ok(&["cancel", &ids[0], &ids[1], "--reason", "not today"]);
    assert_eq!(
        said,
        format!("{}\tcancelled\n{}\tcancelled\n", ids[0], ids[1])
    );
    let record = operator.json(&["inspect", &ids[0], "--json"]);
    assert_eq!(text(&record, "error"), "not today");
    operator.ok(&["revive", &ids[0], "--in", "2h"]);
    operator.ok(&["move", &ids[0], "--to", "mail"]);
    operator.ok(&["reprioritise", &ids[0], "--to", "9"]);
    operator.ok(&["reschedule", &ids[0], "--at", "2099-01-01T00:00:00Z"]);
    let record = operator.json(&["inspect", &ids[0], "--json"]);
    assert_eq!(
        (text(&record, "queue"), text(&record, "status")),
        ("mail", "pending")
    );
    assert_eq!(
        (&record["priority"], text(&record, "run_at")),
        (&9.into(), "2099-01-01T00:00:00Z")
    );
    operator.ok(&["purge", &ids[1]]);
    operator.fails(3, &["inspect", &ids[1]]);

    let dry = operator.fails(4, &["revive", &ids[2], "--dry-run"]);
    assert!(dry.contains("`revive` does not apply to it"), "{dry}");
    assert!(
        operator
            .fails(4, &["revive", &ids[2]])
            .contains("cannot be revived")
    );
    assert!(
        operator
            .fails(3, &["cancel", "nosuch"])
            .contains("no task has the id \"nosuch\"")
    );
    assert!(
        operator
            .fails(4, &["cancel", "tsk_"])
            .contains("several ids start with")
    );
    // One that fails does not keep the others from being done; the exit code tells.
    let answer = operator.tlo(&["cancel", "nosuch", &ids[2], "--json"]);
    let report: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(
        (answer.code, &report["done"], &report["refused"]),
        (3, &1.into(), &1.into())
    );
    assert_eq!(text(&report["refusals"][0], "id"), "nosuch");

    let told: Vec<String> = audit(&operator)
        .iter()
        .rev()
        .map(|event| text(event, "action").to_owned())
        .collect();
    let wanted = [
        "cancel",
        "cancel",
        "revive",
        "move",
        "reprioritise",
        "reschedule",
        "purge",
        "cancel",
    ];
    assert_eq!(told, wanted);
}

#[test]
fn bulk_commands_need_a_filter_or_all() {
    let operator = Operator::with_jobs(JOBS);
    waiting(&operator);
    for command in [
        &["cancel"][..],
        &["revive"],
        &["purge"],
        &["move", "--to", "x"],
        &["reprioritise", "--to", "1"],
        &["reschedule", "--now"],
    ] {
        let said = operator.fails(2, command);
        assert!(said.contains("say which tasks"), "{said}");
    }
    assert!(
        operator
            .fails(2, &["cancel", "tsk_1", "--all"])
            .contains("not both")
    );
    assert!(
        operator
            .fails(2, &["cancel", "tsk_1", "--queue", "mail"])
            .contains("not both")
    );
    assert!(
        operator
            .fails(2, &["reschedule", "--all"])
            .contains("say when")
    );
    assert!(
        operator
            .fails(2, &["cancel", "--status", "succeeded"])
            .contains("pending and running")
    );

    // A variable of a script that is not set means nothing, not everything.
    for filter in ["--prefix", "--name", "--queue", "--group"] {
        let said = operator.fails(2, &["cancel", filter, ""]);
        assert!(said.contains("value"), "{said}");
    }
    operator.fails(2, &["dead", "--revive", ""]);
    let said = operator.fails(2, &["dead", "--status", "pending"]);
    assert!(said.contains("leave --status out"), "{said}");
    for dropped in [
        &["limit", "--max", "3"][..],
        &["limit", "--clear"],
        &["pause", "--reason", "why"],
        &["submit", "--stdin", "--wait-for", "1s"],
    ] {
        operator.fails(2, dropped);
    }

    assert_eq!(
        operator.ok(&["cancel", "--queue", "mail", "--dry-run"]),
        "1 task would be cancelled\n"
    );
    let dry = operator.json(&["cancel", "--all", "--dry-run", "--json"]);
    assert_eq!(
        dry,
        serde_json::json!({
            "action": "cancel", "done": 4, "refused": 0, "refusals": [], "run": null, "stopped": false, "dry_run": true,
        })
    );
    assert_eq!(statuses(&operator, "pending"), 4);
    assert_eq!(
        operator.ok(&["move", "--name", "greet", "--to", "slow", "--allow-unknown"]),
        "3 tasks moved to \"slow\"\n"
    );
    assert_eq!(
        operator.ok(&["cancel", "--queue", "slow"]),
        "3 tasks cancelled\n"
    );
    let report = operator.json(&["cancel", "--all", "--json"]);
    assert_eq!(
        (&report["done"], &report["refused"]),
        (&1.into(), &0.into())
    );
    let answer = operator.tlo(&["cancel", "--all"]);
    assert_eq!((answer.code, answer.out.as_str()), (0, ""));
    assert_eq!(answer.err, "no tasks match that have not ended\n");
    assert_eq!(
        operator.tlo(&["revive", "--all"]).err,
        "no failed tasks match; --status cancelled revives cancelled ones\n"
    );
    assert_eq!(
        operator.ok(&[
            "revive",
            "--status",
            "cancelled",
            "--queue",
            "mail",
            "--in",
            "1h"
        ]),
        "1 task revived for 1h from now\n"
    );
    assert!(
        operator
            .tlo(&["purge", "--queue", "mail"])
            .err
            .contains("--status pending removes those that wait")
    );
    assert_eq!(operator.ok(&["purge", "--all"]), "3 tasks removed\n");
    assert_eq!(
        operator.ok(&["purge", "--status", "pending"]),
        "1 task removed\n"
    );
    assert!(operator.list(&[]).is_empty());
}

#[test]
fn what_is_misspelt_is_told_apart_from_what_is_empty() {
    let operator = Operator::with_jobs(JOBS);
    waiting(&operator);
    let wrong = "error: no queue is named \"mial\"; did you mean \"mail\"?\n";
    assert_eq!(operator.fails(3, &["cancel", "--queue", "mial"]), wrong);
    assert_eq!(operator.fails(3, &["pause", "queue", "mial"]), wrong);
    assert_eq!(
        operator.fails(3, &["limit", "queue", "mial", "--max", "1"]),
        wrong
    );
    assert_eq!(operator.fails(3, &["move", "--all", "--to", "mial"]), wrong);
    let said = operator.fails(3, &["purge", "--name", "gret"]);
    assert_eq!(
        said,
        "error: no task is named \"gret\"; did you mean \"greet\"?\n"
    );
    let said = operator.fails(3, &["pause", "schedule", "tik"]);
    assert_eq!(
        said,
        "error: there is no schedule \"tik\"; did you mean \"tick\"?\n"
    );
    let said = operator.fails(3, &["trigger", "greet"]);
    assert_eq!(
        said,
        "error: there is no schedule \"greet\"; there are \"tick\"\n"
    );
    operator.ok(&["pause", "queue", "mial", "--allow-unknown"]);
    let answer = operator.tlo(&["list", "--queue", "mael"]);
    assert_eq!((answer.code, answer.out.as_str()), (0, ""));
    assert!(
        answer
            .err
            .contains("no queue is named \"mael\"; did you mean \"mail\"?"),
        "{}",
        answer.err
    );
    assert!(
        operator
            .fails(2, &["pause", "mail"])
            .contains("possible values: queue, task, schedule, key")
    );
    assert!(
        operator
            .fails(2, &["resume"])
            .contains("`tlo pause` lists what is paused")
    );
}

#[test]
fn a_paused_queue_waits_until_it_is_resumed() {
    let operator = Operator::with_jobs(JOBS);
    assert_eq!(
        operator.ok(&["pause", "queue", "mail", "--reason", "relay down"]),
        "queue \"mail\" is paused\n"
    );
    let running = operator.run(&[]);
    let paused = submit(&operator, &["mail"]);
    operator.ok(&["submit", "greet", "--wait"]);
    assert_eq!(
        text(&operator.json(&["inspect", &paused, "--json"]), "status"),
        "pending"
    );
    let listed = operator.json(&["pause", "--json"]);
    assert_eq!(
        (text(&listed[0], "kind"), text(&listed[0], "name")),
        ("queue", "mail")
    );
    assert_eq!(text(&listed[0], "reason"), "relay down");
    assert!(operator.ok(&["pause"]).contains("relay down"));
    assert_eq!(
        operator.ok(&["resume", "--all"]),
        "queue \"mail\" goes on\n"
    );
    assert_eq!(
        operator.ok(&["resume", "queue", "mail"]),
        "queue \"mail\" was not paused\n"
    );
    until("it has run", || statuses(&operator, "succeeded") == 2);
    running.stop();
    assert_eq!(operator.tlo(&["pause"]).err, "nothing is paused\n");
    assert_eq!(text(&audit(&operator)[1], "why"), "relay down");
}

#[test]
fn limits_are_shown_changed_and_cleared() {
    let operator = Operator::with_jobs(JOBS);
    let set = [
        "limit",
        "queue",
        "mail",
        "--max",
        "3",
        "--rate",
        "10/1m/20",
        "--max-depth",
        "2",
    ];
    let shown = "queue \"mail\": 3 at once, 10 per 1m in bursts of 20, at most 2 waiting\n";
    assert_eq!(operator.ok(&set), shown);
    assert_eq!(operator.ok(&["limit", "queue", "mail"]), shown);
    waiting(&operator);
    submit(&operator, &["mail", "--in", "1h"]);
    assert!(
        operator
            .fails(4, &["submit", "mail"])
            .contains("holds 2 waiting tasks, its limit")
    );
    let now = operator.json(&["limit", "queue", "mail", "--rate", "none", "--json"]);
    assert_eq!(now["limits"]["rate"], Value::Null);
    assert_eq!(now["limits"]["max"], 3);
    let listed = operator.json(&["limit", "--json"]);
    assert_eq!(text(&listed[0], "name"), "mail");
    assert!(
        operator
            .fails(2, &["limit", "queue", "mail", "--max", "0"])
            .contains("pause it instead")
    );
    assert!(
        operator
            .fails(2, &["limit", "queue", "mail", "--rate", "10"])
            .contains("write 10/1m")
    );
    assert!(
        operator
            .fails(2, &["limit", "task", "greet", "--max-depth", "1"])
            .contains("only a queue")
    );
    assert_eq!(
        operator.ok(&["limit", "queue", "mail", "--clear"]),
        "queue \"mail\": no limit\n"
    );
    assert!(
        operator
            .tlo(&["limit"])
            .err
            .starts_with("nothing has a limit")
    );
}

#[test]
fn failures_are_grouped_and_revived_together() {
    let operator = Operator::with_jobs(JOBS);
    for n in ["1", "22", "333"] {
        submit(&operator, &["bad", "--args", n]);
    }
    let running = operator.run(&[]);
    until("they have failed", || statuses(&operator, "failed") == 3);
    let groups = operator.json(&["dead", "--json"]);
    assert_eq!(groups.as_array().unwrap().len(), 1);
    let group = "exit code #: row # is locked";
    assert_eq!(
        (text(&groups[0], "group"), &groups[0]["count"]),
        (group, &3.into())
    );
    assert_eq!(groups[0]["names"][0], "bad");
    operator.ok(&["inspect", text(&groups[0], "example")]);
    assert!(operator.ok(&["dead"]).contains(group));
    assert_eq!(
        operator.ok(&["dead", "--revive", group, "--dry-run"]),
        "3 tasks would be revived\n"
    );
    assert!(
        operator
            .fails(3, &["dead", "--revive", "exit cod #: row # is locked"])
            .contains("did you mean")
    );
    assert_eq!(
        operator.ok(&["dead", "--revive", "exit code", "--reason", "unlocked"]),
        "3 tasks revived\n"
    );
    until("they have failed again", || {
        let failed = operator.list(&["--status", "failed"]);
        failed.len() == 3
            && failed
                .iter()
                .all(|record| record["attempts"].as_array().unwrap().len() == 2)
    });
    running.stop();
    assert_eq!(
        operator.ok(&["purge", "--group", group]),
        "3 tasks removed\n"
    );
    assert_eq!(operator.tlo(&["dead"]).err, "nothing has failed\n");
}

#[test]
fn a_worker_runs_tasks_and_fires_no_schedules() {
    let operator = Operator::with_jobs(
        "[[tasks]]\nname = \"tick\"\nevery = \"1s\"\nrun_at_start = true\nshell = \"true\"\n\
         [[tasks]]\nname = \"greet\"\nshell = \"echo hello\"\n[[tasks]]\nname = \"mail\"\nqueue = \"mail\"\nshell = \"true\"\n",
    );
    let mut command =
        operator.command(&["worker", "--for", operator::LONGEST, "--queue", "default"]);
    let worker = operator::Running::of(&mut command, &operator.path(""));
    until("it has started", || worker.log().contains("worker started"));
    let log = worker.log();
    for part in [
        format!("pid {}", worker.pid()),
        "16 tasks at once · queues default · ".to_owned(),
        "3 handlers: greet, mail, tick".to_owned(),
        "it fires no schedules".to_owned(),
    ] {
        assert!(log.contains(&part), "{part:?} is not in {log}");
    }
    operator.ok(&["submit", "mail"]);
    operator.ok(&["submit", "greet", "--in", "1500ms", "--wait"]);
    assert_eq!(operator.list(&["--schedule", "tick"]).len(), 0);
    assert_eq!(
        statuses(&operator, "pending"),
        1,
        "the other queue is not served"
    );
    // A run of a schedule that somebody else asks for is run.
    let id = operator.ok(&["trigger", "tick", "--reason", "to see"]);
    until("it has run", || {
        text(&operator.json(&["inspect", id.trim(), "--json"]), "status") == "succeeded"
    });
    worker.stop();
}

#[test]
fn lists_are_filtered_by_error_and_by_age() {
    let operator = Operator::with_jobs(JOBS);
    let ids = waiting(&operator);
    assert_eq!(operator.list(&["--since", "1h"]).len(), 4);
    assert_eq!(operator.list(&["--until", "1h"]).len(), 0);
    assert_eq!(operator.list(&["--until", "2099-01-01T00:00:00Z"]).len(), 4);
    assert_eq!(operator.list(&["--group", "nothing"]).len(), 0);
    assert_eq!(operator.list(&["--parent", &ids[0]]).len(), 0);
    assert!(
        operator
            .fails(2, &["list", "--since", "yesterday"])
            .contains("such as 2h")
    );
}

#[test]
fn a_benchmark_measures_and_leaves_nothing_behind() {
    let operator = Operator::new();
    let folder = operator.path("");
    let folder = folder.to_str().unwrap();
    let figures = operator.json(&["bench", "--tasks", "50", "--dir", folder, "--json"]);
    for (at, store) in ["memory", "sqlite"].into_iter().enumerate() {
        assert_eq!(text(&figures[at], "store"), store);
        for figure in [
            "submits_per_second",
            "runs_per_second",
            "start_p50_ms",
            "end_p99_ms",
        ] {
            assert!(figures[at][figure].as_f64().unwrap() > 0.0, "{figures}");
        }
    }
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
    operator.fails(5, &["bench", "--store", "sqlite", "--dir", "/nowhere"]);
}
