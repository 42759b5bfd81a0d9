//! What was run, read from outside: list, inspect, stats, submit.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod operator;

use operator::{Answer, Operator, text, until};
use serde_json::{Value, json};

const JOBS: &str = r#"
[[tasks]]
name = "echo"
shell = "cat; echo; echo aside >&2"
args = { who = "ada" }

[[tasks]]
name = "fail"
shell = "echo 'no such row 17' >&2; exit 3"
max_attempts = 2
retry = { base = "10ms", factor = 1, cap = "10ms", jitter = 0 }
tags = ["nightly"]

[[tasks]]
name = "hostile"
shell = '''printf '\033[31mred\033[0m\none\ttwo\r\n\342\200\256bidi\n' >&2; exit 1'''
max_attempts = 1

[[tasks]]
name = "later"
shell = "true"
queue = "side"
"#;

/// Every field that a record has in JSON, whether it is set or not.
const FIELDS: [&str; 41] = [
    "id",
    "kind",
    "name",
    "version",
    "queue",
    "priority",
    "status",
    "phase",
    "args",
    "run_at",
    "expires_at",
    "created_at",
    "created_by",
    "started_at",
    "finished_at",
    "attempt",
    "max_attempts",
    "lost",
    "max_lost",
    "leases",
    "retry",
    "timeout",
    "lease",
    "cancel_requested",
    "gates",
    "unique",
    "schedule",
    "slot",
    "parent",
    "tags",
    "headers",
    "progress",
    "state",
    "result",
    "error",
    "error_group",
    "attempts",
    "prefer",
    "revision",
    "schema_version",
    "parked",
];

/// A store in which one task of each sort has ended and one waits.
fn history() -> Operator {
    let operator = Operator::with_jobs(JOBS);
    let running = operator.run(&[]);
    operator.ok(&["submit", "echo", "--wait"]);
    operator.fails(7, &["submit", "fail", "--wait"]);
    let said = operator.fails(7, &["submit", "hostile", "--wait"]);
    assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
    operator.ok(&["submit", "later", "--in", "1h"]);
    running.stop();
    operator
}

#[test]
fn records_have_every_field_and_instants_in_utc() {
    let operator = history();
    let records = operator.list(&[]);
    assert_eq!(records.len(), 4);
    for record in &records {
        for field in FIELDS {
            assert!(
                record.get(field).is_some(),
                "{field} is missing in {record}"
            );
        }
        for field in ["run_at", "created_at", "started_at", "finished_at"] {
            if let Some(at) = record[field].as_str() {
                assert!(at.ends_with('Z') && at.contains('T'), "{field} = {at}");
                at.parse::<jiff::Timestamp>().unwrap();
            }
        }
        assert!(record["tags"].is_array() && record["gates"].is_array());
        assert!(record["attempts"].is_array());
    }
    let of = |name: &str| {
        records
            .iter()
            .find(|record| record["name"] == name)
            .unwrap()
    };
    assert_eq!(of("echo")["status"], "succeeded");
    assert_eq!(of("echo")["args"], json!({"who": "ada"}));
    assert_eq!(of("echo")["result"]["stdout"], "{\"who\":\"ada\"}\n");
    assert_eq!(of("echo")["result"]["stderr"], "aside\n");
    assert_eq!(of("echo")["result"]["exit_code"], 0);
    assert_eq!(of("fail")["status"], "failed");
    assert_eq!(of("fail")["error"], "exit code 3: no such row 17");
    assert_eq!(of("fail")["error_group"], "exit code #: no such row #");
    assert_eq!(of("fail")["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(of("later")["status"], "pending");
    assert_eq!(of("later")["started_at"], Value::Null);
    // What `inspect` says of one is what `list` says of it.
    let id = text(of("fail"), "id");
    assert_eq!(&operator.json(&["inspect", "--json", id]), of("fail"));
}

#[test]
fn list_filters_and_pages() {
    let operator = history();
    let names = |args: &[&str]| -> Vec<String> {
        let records = operator.list(args);
        records.iter().map(|r| text(r, "name").to_owned()).collect()
    };
    assert_eq!(names(&[]), ["later", "hostile", "fail", "echo"]);
    assert_eq!(names(&["--oldest"]), ["echo", "fail", "hostile", "later"]);
    for word in ["FAILED", "failed", "Failed", "dead"] {
        assert_eq!(names(&["--status", word]), ["hostile", "fail"], "{word}");
    }
    assert_eq!(names(&["--status", "done,QUEUED"]), ["later", "echo"]);
    assert_eq!(
        names(&["--status", "done", "--status", "queued"]),
        ["later", "echo"]
    );
    assert_eq!(names(&["--name", "fail"]), ["fail"]);
    assert_eq!(names(&["--queue", "side"]), ["later"]);
    assert_eq!(names(&["--tag", "nightly"]), ["fail"]);
    assert_eq!(names(&["--prefix", "tsk_"]).len(), 4);
    assert!(names(&["--schedule", "echo"]).is_empty());
    assert!(names(&["--name", "nobody"]).is_empty());

    // Page by page the same tasks come in the same order, each once.
    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut args = vec!["list", "--limit", "1"];
        args.extend(after.iter().flat_map(|after| ["--after", after.as_str()]));
        let answer = operator.tlo(&args);
        seen.extend(
            answer
                .out
                .lines()
                .nth(1)
                .map(|line| line.split('\t').nth(1).unwrap().to_owned()),
        );
        after = answer
            .err
            .trim()
            .strip_prefix("there are more: --after ")
            .map(str::to_owned);
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["later", "hostile", "fail", "echo"]);
    for format in ["--json", "--jsonl"] {
        let answer = operator.tlo(&["list", "--limit", "2", format]);
        assert!(
            answer.err.starts_with("there are more: --after "),
            "{answer:?}"
        );
        let whole = operator.tlo(&["list", "--limit", "4", format]);
        assert_eq!((whole.code, whole.err.as_str()), (0, ""));
    }

    for (args, part) in [
        (
            &["list", "--status", "lost"][..],
            "use pending, running, succeeded, failed or cancelled",
        ),
        (&["list", "--limit", "0"], "--limit"),
        (
            &["list", "--after", "x"],
            "a cursor is the number that the last page printed",
        ),
    ] {
        let said = operator.fails(2, args);
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn tables_in_a_pipe_have_one_line_for_each_task_whatever_it_said() {
    let operator = history();
    let table = operator.ok(&["list"]);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(
        rows[0],
        [
            "ID", "NAME", "QUEUE", "STATUS", "ATTEMPT", "DUE", "STARTED", "TOOK", "ERROR"
        ]
    );
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row.len() == 9), "{rows:?}");
    let hostile = rows.iter().find(|row| row[1] == "hostile").unwrap();
    assert!(hostile[8].contains(r"\u{202e}bidi"), "{hostile:?}");
    let id = hostile[0];
    for shown in [
        table.clone(),
        operator.ok(&["inspect", id]),
        operator.ok(&["stats"]),
    ] {
        let obeyed = |c: char| (c.is_control() && !"\n\t".contains(c)) || c == '\u{202e}';
        assert!(!shown.contains(obeyed), "{shown:?}");
    }
}

#[test]
fn inspect_shows_the_output_of_a_command_as_it_looked() {
    let operator = history();
    let table = operator.ok(&[
        "inspect",
        text(&operator.list(&["--name", "echo"])[0], "id"),
    ]);
    for line in [
        "status        succeeded",
        "exit code     0",
        r#"stdout        {"who":"ada"}"#,
        "stderr        aside",
    ] {
        assert!(
            table.lines().any(|other| other == line),
            "{line} is not in {table}"
        );
    }
    let hostile = operator.list(&["--name", "hostile"]);
    let table = operator.ok(&["inspect", text(&hostile[0], "id")]);
    assert!(
        table.contains(
            "error\n    exit code 1: \\u{202e}bidi\n    \\u{1b}[31mred\\u{1b}[0m\n    one    two\n"
        ),
        "{table}"
    );
}

#[test]
fn ids_may_be_given_by_their_beginning() {
    let operator = history();
    let id = text(&operator.list(&["--name", "echo"])[0], "id").to_owned();
    let short = &id[..id.len() - 1];
    assert_eq!(
        operator.json(&["inspect", "--json", short])["id"],
        id.as_str()
    );
    let said = operator.fails(4, &["inspect", "tsk_"]);
    assert!(
        said.contains("several ids start with \"tsk_\"") && said.contains(&id),
        "{said}"
    );
    let said = operator.fails(3, &["inspect", "nobody"]);
    assert!(said.contains("no task has the id \"nobody\""), "{said}");
    operator.fails(2, &["inspect", ""]);
}

#[test]
fn stats_count_by_status_queue_name_and_error() {
    let operator = history();
    let stats = operator.json(&["stats", "--json"]);
    assert_eq!(
        stats["statuses"]["groups"],
        json!({"failed": 2, "pending": 1, "succeeded": 1})
    );
    assert_eq!(stats["queues"]["groups"], json!({"side": 1}));
    assert_eq!(
        stats["names"]["groups"],
        json!({"echo": 1, "fail": 1, "hostile": 1, "later": 1})
    );
    assert_eq!(
        stats["error_groups"]["groups"]["exit code #: no such row #"],
        1
    );
    let table = operator.ok(&["stats"]);
    assert!(
        table.contains("2\tfailed\n") && table.contains("0\tcancelled\n"),
        "{table}"
    );
    assert!(table.contains("1\texit code #: no such row #\n"), "{table}");
}

#[test]
fn submit_says_what_became_of_it() {
    let operator = Operator::with_jobs(JOBS);
    // Nobody runs anything: an id, and a wait that ends.
    let id = operator.ok(&[
        "submit",
        "later",
        "--priority",
        "9",
        "--queue",
        "q",
        "--at",
        "2030-01-01T00:00:00+01:00",
    ]);
    let record = operator.json(&["inspect", "--json", id.trim()]);
    assert_eq!(
        (&record["priority"], &record["queue"]),
        (&json!(9), &json!("q"))
    );
    assert_eq!(record["run_at"], "2029-12-31T23:00:00Z");
    let said = operator.fails(6, &["submit", "echo", "--wait", "--wait-for", "50ms"]);
    assert!(said.contains("has not ended within 50ms"), "{said}");

    let first = operator.json(&["submit", "echo", "--key", "k", "--json"]);
    let again = operator.tlo(&["submit", "echo", "--key", "k", "--json"]);
    assert!(again.err.contains("nothing was submitted"), "{again:?}");
    let again: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(again, json!({"id": first["id"], "existing": true}));

    let said = operator.fails(3, &["submit", "ehco"]);
    assert!(
        said.contains("no task is named \"ehco\"; did you mean \"echo\"?"),
        "{said}"
    );
    operator.ok(&["submit", "ehco", "--allow-unknown", "--in", "1h"]);
    for (args, part) in [
        (&["submit", "echo", "--args", "{x"][..], "not JSON"),
        (&["submit", "echo", "--in", "5"], "has no unit"),
        (&["submit", "echo", "--at", "tomorrow"], "is not an instant"),
        (
            &[
                "submit",
                "echo",
                "--in",
                "1s",
                "--at",
                "2030-01-01T00:00:00Z",
            ],
            "cannot be used with",
        ),
        (&["submit", "echo", "--priority", "256"], "256"),
        (&["submit"], "<NAME>"),
    ] {
        let said = operator.fails(2, args);
        assert!(said.contains(part), "{args:?}: {said}");
    }

    let running = operator.run(&[]);
    let result = operator.json(&[
        "submit",
        "echo",
        "--args",
        r#"{"b":1,"a":[1e400,"\u0000"]}"#,
        "--wait",
    ]);
    assert_eq!(result["stdout"], "{\"b\":1,\"a\":[1e400,\"\\u0000\"]}\n");
    let failed = operator.tlo(&["submit", "fail", "--wait", "--json"]);
    assert_eq!(failed.code, 7);
    assert!(
        failed.err.contains("failed: exit code 3: no such row 17"),
        "{failed:?}"
    );
    let record: Value = serde_json::from_str(&failed.out).unwrap();
    assert_eq!(record["status"], "failed");
    running.stop();
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let operator = history();
    for args in [
        "list",
        "list --json",
        "stats",
        "config show",
        "completions bash",
        "--help",
        "explain '@daily' --count 10000",
    ] {
        let line = format!("set -o pipefail; \"$TLO\" {args} | head -c 1 >/dev/null");
        let mut shell = std::process::Command::new("bash");
        shell
            .args(["-c", &line])
            .env("TLO", env!("CARGO_BIN_EXE_tlo"))
            .current_dir(operator.path("."));
        let answer = Answer::of(&mut shell);
        assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{args}");
    }
    // A disk that is full is one, and says so.
    for args in [&["list"][..], &["completions", "zsh"], &["stats", "--json"]] {
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let mut command = operator.command(args);
        let output = command
            .stdout(full)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let output = output.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("standard output cannot be written"), "{said}");
    }
}

#[test]
fn doctor_says_what_is_promised_and_what_is_wrong() {
    let operator = history();
    let report = operator.json(&["doctor", "--json"]);
    assert_eq!(report["store"]["name"], "sqlite");
    assert_eq!(report["store"]["durability"], "power");
    assert_eq!(report["store"]["facts"]["synchronous"], "FULL, read back");
    assert_eq!(report["machine"]["zones"], true);
    assert_eq!(report["warnings"], json!([]));
    assert_eq!(report["workers"], json!([]));
    assert_eq!(report["damage"], json!([]));
    let report = operator.ok(&["doctor"]);
    assert!(report.contains("nothing is wrong"), "{report}");
    let report = operator.ok(&["doctor", "--quick"]);
    assert!(report.contains("not looked at"), "{report}");

    operator.ok(&["submit", "stranger", "--allow-unknown"]);
    let report = operator.ok(&["doctor"]);
    assert!(
        report.contains("1 × \"stranger\" waits for a worker that knows the name"),
        "{report}"
    );
    assert!(report.contains("no worker is running"), "{report}");

    let running = operator.run(&[]);
    let mut report = Value::Null;
    until("the worker is seen", || {
        report = operator.json(&["doctor", "--json"]);
        report["workers"] != json!([])
    });
    assert_eq!(report["workers"][0]["info"]["pid"], running.pid());
    running.stop();

    let file = rusqlite::Connection::open(operator.path("t.db")).unwrap();
    let damaged = file.execute(
        "UPDATE rows SET v = x'7b' WHERE k = (SELECT max(k) FROM rows WHERE k BETWEEN x'74' AND x'75')",
        [],
    );
    assert_eq!(damaged.unwrap(), 1);
    let answer = operator.tlo(&["doctor", "--json"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    let report: Value = serde_json::from_str(&answer.out).unwrap();
    let damage = report["damage"].as_array().unwrap();
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert!(
        damage[0].as_str().unwrap().contains("cannot be read"),
        "{damage:?}"
    );
    let answer = operator.tlo(&["doctor"]);
    assert_eq!(answer.code, 1, "{answer:?}");
    assert!(answer.out.contains("DAMAGED: 1 fault"), "{answer:?}");
}
