//! Limits in the jobs file: of tasks and of queues, from the file to what runs.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod operator;

use std::time::Duration;

use operator::{Operator, text, until};

/// Each run writes when it begins and when it ends.
const TRACE: &str =
    "shell = 'read args; echo \"begin $args\" >> trace; sleep 0.2; echo \"end $args\" >> trace'\n";

/// The most that ran at once of those whose lines contain a text.
fn at_once(trace: &str, of: &str) -> i32 {
    let (mut now, mut most) = (0, 0);
    for line in trace.lines().filter(|line| line.contains(of)) {
        now += if line.starts_with("begin") { 1 } else { -1 };
        most = most.max(now);
    }
    most
}

fn run_all(operator: &Operator, submits: &[(&str, &str)]) -> String {
    for (name, args) in submits {
        operator.ok(&["submit", name, "--args", args]);
    }
    let running = operator.run(&[]);
    until("all have run", || {
        operator.list(&["--status", "succeeded"]).len() == submits.len()
    });
    running.stop();
    operator.read("trace")
}

#[test]
fn exclusive_and_limit_bound_what_runs_at_once() {
    let job = |name: &str, line: &str| format!("[[tasks]]\nname = \"{name}\"\n{line}\n{TRACE}");
    let operator = Operator::with_jobs(&format!(
        "{}{}{}",
        job("user", "exclusive = \"{user}\""),
        job("two", "limit = 2"),
        job("key", "limit = { key = \"{disk}\", max = 1 }"),
    ));
    let mut submits = Vec::new();
    for _ in 0..3 {
        submits.push(("user", r#"{"user": 123}"#));
        submits.push(("user", r#"{"user": 7}"#));
        submits.push(("two", r#"{"n": 2}"#));
        submits.push(("two", r#"{"n": 2}"#));
        submits.push(("key", r#"{"disk": "sda"}"#));
    }
    let trace = run_all(&operator, &submits);
    assert_eq!(at_once(&trace, "123"), 1, "{trace}");
    assert_eq!(at_once(&trace, "7}"), 1, "{trace}");
    assert!(at_once(&trace, "user") <= 2, "{trace}");
    assert!((1..=2).contains(&at_once(&trace, "\"n\"")), "{trace}");
    assert_eq!(at_once(&trace, "sda"), 1, "{trace}");
    assert!(
        at_once(&trace, "") > 2,
        "others may run beside them: {trace}"
    );
    let said = operator.fails(2, &["submit", "user", "--args", "{}"]);
    assert!(said.contains("the args have no field \"user\""), "{said}");
}

#[test]
fn queues_have_limits_and_are_served() {
    let operator = Operator::with_jobs(&format!(
        "[queues.mail]\nlimit = 1\nmax_depth = 3\n[[tasks]]\nname = \"mail\"\nqueue = \"mail\"\n{TRACE}\
         [[tasks]]\nname = \"other\"\n{TRACE}[[tasks]]\nname = \"rare\"\nrate = \"1/1h\"\nshell = \"true\"\n"
    ));
    let checked = operator.tlo(&["check"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(
        checked
            .err
            .contains("queue \"mail\": 1 at once, at most 3 waiting"),
        "{checked:?}"
    );
    assert!(
        checked.err.contains("task \"rare\": 1 per 1h"),
        "{checked:?}"
    );
    let submits: Vec<_> = [("mail", "1"); 3]
        .into_iter()
        .chain([("other", "2"); 3])
        .collect();
    let trace = run_all(&operator, &submits);
    assert_eq!(at_once(&trace, " 1"), 1, "{trace}");
    assert!(at_once(&trace, " 2") > 1, "{trace}");

    let ids: Vec<_> = (0..2).map(|_| operator.ok(&["submit", "rare"])).collect();
    for _ in 0..3 {
        operator.ok(&["submit", "mail", "--in", "1h"]);
    }
    assert!(
        operator
            .fails(4, &["submit", "mail"])
            .contains("holds 3 waiting tasks, its limit")
    );
    let running = operator.run(&[]);
    let status =
        |id: &String| text(&operator.json(&["inspect", id.trim(), "--json"]), "status").to_owned();
    until("the first has run", || status(&ids[0]) == "succeeded");
    // What comes later has passed it by: it waits for its rate, not for a worker.
    operator.ok(&["submit", "other", "--args", "3", "--wait"]);
    assert_eq!(status(&ids[1]), "pending");
    operator.ok(&["limit", "task", "rare", "--clear"]);
    until("the second has run", || status(&ids[1]) == "succeeded");
    running.stop();
}

#[test]
fn what_the_file_says_holds_until_somebody_says_otherwise() {
    let operator = Operator::new();
    let jobs = |queues: &str| {
        operator.write("tlo.toml", &format!("task_state_store = \"sqlite:t.db\"\n{queues}[[tasks]]\nname = \"t\"\nshell = \"true\"\n"));
    };
    let run = || operator.tlo(&["run", "--for", "100ms"]);
    let limits = || operator.json(&["limit", "--json"]);
    jobs("[queues.mail]\nlimit = 1\n");
    assert_eq!(run().code, 0);
    assert_eq!(limits()[0]["max"], 1);
    assert!(text(&limits()[0], "declared_by").ends_with("tlo.toml"));
    jobs("[queues.mail]\nlimit = 2\n");
    run();
    assert_eq!(limits()[0]["max"], 2);
    operator.ok(&["limit", "queue", "mail", "--max", "9"]);
    let said = run().err;
    assert!(
        said.contains("the limits that somebody set for the queue \"mail\" hold"),
        "{said}"
    );
    assert_eq!(limits()[0]["max"], 9);
    operator.ok(&["limit", "queue", "mail", "--clear"]);
    run();
    assert_eq!(limits()[0]["max"], 2);
    jobs("");
    run();
    assert_eq!(limits().as_array().unwrap().len(), 0);
}

#[test]
fn mistakes_in_the_table_of_a_queue_are_shown_where_they_are() {
    for (lines, line, message) in [
        (
            "[queues.mail]\nlimt = 3",
            2,
            "did you mean queues.mail.limit",
        ),
        ("[queues.mail]\nlimit = 0", 2, "from 1 to"),
        ("[queues.mail]\nrate = \"fast\"", 2, "is no rate"),
        ("[queues.mail]\nrate = 5", 2, "a text such as \"10/1m\""),
        ("[queues]\nmail = 3", 2, "the table of a queue"),
    ] {
        let operator = Operator::new();
        operator.write(
            "tlo.toml",
            &format!("{lines}\n[[tasks]]\nname = \"t\"\nshell = \"true\"\n"),
        );
        let answer = operator.tlo(&["check", "--json"]);
        assert_eq!(answer.code, 1, "{answer:?}");
        let mistakes: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
        let all = mistakes.as_array().unwrap();
        assert_eq!(all.len(), 1, "{answer:?}");
        assert_eq!(all[0]["line"], line, "{answer:?}");
        let told = format!("{}; {}", text(&all[0], "message"), all[0]["help"]);
        assert!(told.contains(message), "{answer:?}");
    }
}

#[test]
fn a_lease_and_max_lost_of_the_file_reach_the_record() {
    let operator = Operator::with_jobs(
        "[[tasks]]\nname = \"once\"\nlease = \"300ms\"\nmax_lost = 0\nshell = \"echo begun >> trace; sleep 60\"\n",
    );
    let running = operator.run(&[]);
    let id = operator.ok(&["submit", "once"]);
    until("it runs", || operator.read("trace").contains("begun"));
    // The first heartbeat gives it the lease of its own.
    let at =
        |field: &serde_json::Value| -> tlo::Timestamp { field.as_str().unwrap().parse().unwrap() };
    until("its lease is short", || {
        let record = operator.json(&["inspect", id.trim(), "--json"]);
        assert_eq!(record["max_lost"], 0);
        at(&record["lease"]["until"]).since(at(&record["started_at"])) < Duration::from_secs(10)
    });
    running.kill_9();
    let running = operator.run(&[]);
    until("it counts as lost", || {
        text(&operator.json(&["inspect", id.trim(), "--json"]), "status") == "failed"
    });
    running.stop();
    assert_eq!(
        operator.read("trace").lines().count(),
        1,
        "it ran once at most"
    );
}

#[test]
fn a_bulk_that_all_refuse_fails() {
    let operator = Operator::with_jobs("[[tasks]]\nname = \"greet\"\nshell = \"true\"\n");
    for _ in 0..3 {
        operator.ok(&["submit", "greet", "--in", "1h"]);
    }
    operator.ok(&["submit", "greet", "--queue", "mail", "--in", "1h"]);
    operator.ok(&["limit", "queue", "mail", "--max-depth", "1"]);
    let answer = operator.tlo(&["move", "--queue", "default", "--to", "mail"]);
    assert_eq!(
        (answer.code, answer.out.as_str()),
        (4, "0 tasks moved to \"mail\"\n")
    );
    assert!(answer.err.contains("3 refused it"), "{}", answer.err);
}
