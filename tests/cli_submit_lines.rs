//! `tlo submit --stdin`: a task for each line, all of them or none.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod operator;

use std::io::Write;
use std::process::Stdio;

use operator::{Answer, Operator, code, text};
use serde_json::{Value, json};

const JOBS: &str = "[[tasks]]\nname = \"greet\"\nshell = \"cat\"\nargs = { name = \"you\" }\n\
    [[tasks]]\nname = \"user\"\nexclusive = \"{user}\"\nshell = \"cat\"\n";

fn submit(operator: &Operator, input: &[u8], args: &[&str]) -> Answer {
    let mut command = operator.command(&[&["submit", "--stdin"], args].concat());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    Answer {
        code: code(output.status),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn each_line_is_a_task() {
    let operator = Operator::with_jobs(JOBS);
    let input = concat!(
        r#"{"name": "greet"}"#,
        "\n\n",
        r#"{"name": "greet", "args": {"b": 1.50, "a": "ä"}, "queue": "slow", "priority": 9, "tags": ["x", "y"]}"#,
        "\r\n",
        r#"{"name": "user", "args": {"user": 7}, "key": "k", "in": "1h"}"#,
        "\n",
        r#"{"name": "greet", "id": "mine", "at": "2099-01-01T00:00:00Z", "args": null}"#,
    );
    let answer = submit(&operator, input.as_bytes(), &[]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    let ids: Vec<&str> = answer.out.lines().collect();
    assert_eq!((ids.len(), ids[3]), (4, "mine"));
    let records: Vec<Value> = ids
        .iter()
        .map(|id| operator.json(&["inspect", id, "--json"]))
        .collect();
    assert_eq!(
        records[0]["args"],
        json!({"name": "you"}),
        "as the jobs file says"
    );
    assert_eq!(
        (text(&records[1], "queue"), &records[1]["priority"]),
        ("slow", &9.into())
    );
    assert_eq!(records[1]["tags"], json!(["x", "y"]));
    assert_eq!(records[2]["gates"][0]["key"], "exclusive/user/7");
    assert_eq!(text(&records[2]["unique"], "key"), "k");
    assert_eq!(
        (text(&records[3], "run_at"), &records[3]["args"]),
        ("2099-01-01T00:00:00Z", &Value::Null)
    );
    // The args are kept byte for byte.
    assert!(
        operator
            .ok(&["inspect", ids[1]])
            .contains(r#"{"b": 1.50, "a": "ä"}"#)
    );

    // The same again: what has an id or a key of its own is there already.
    let again = submit(&operator, input.as_bytes(), &["--json"]);
    let told: Value = serde_json::from_str(&again.out).unwrap();
    let existing: Vec<_> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["existing"].as_bool().unwrap())
        .collect();
    assert_eq!(existing, [false, false, true, true]);
    assert_eq!(operator.list(&[]).len(), 6);
    let again = submit(&operator, input.as_bytes(), &[]);
    assert_eq!(
        again.err,
        "2 tasks of these keys or ids were there already\n"
    );
}

#[test]
fn one_bad_line_keeps_all_from_being_submitted_and_each_is_told() {
    let operator = Operator::with_jobs(JOBS);
    let lines = [
        r#"{"name": "greet"}"#,
        r#"{"name": "gret"}"#,
        r#"{"name": "greet", "args": {}"#,
        r#"{"name": "greet", "prio": 3}"#,
        r#"{"args": 1}"#,
        r#"{"name": "user", "args": {}}"#,
        r#"{"name": "greet", "in": "soon"}"#,
        r#"{"name": "greet", "in": 5, "at": "2099-01-01T00:00:00Z"}"#,
        r#"{"name": "greet", "priority": 256}"#,
        r#"["greet"]"#,
        r#"{"name": "greet", "in": true}"#,
    ];
    let answer = submit(&operator, lines.join("\n").as_bytes(), &[]);
    assert_eq!((answer.code, answer.out.as_str()), (3, ""), "{answer:?}");
    assert!(
        answer
            .err
            .starts_with("error: nothing was submitted: 10 lines cannot be\n"),
        "{answer:?}"
    );
    for (line, said) in [
        (2, "no task is named \"gret\"; did you mean \"greet\"?"),
        (3, "at character"),
        (4, "unknown field `prio`"),
        (5, "missing field `name`"),
        (6, "the args have no field \"user\""),
        (7, "soon"),
        (8, "\"in\" and \"at\" both say when"),
        (9, "256"),
        (10, "a line is a JSON object"),
        (11, "expected \"in\" as a text such as \"5m\""),
    ] {
        let start = format!("  line {line}: ");
        let told = answer.err.lines().find(|told| told.starts_with(&start));
        assert!(
            told.is_some_and(|told| told.contains(said)),
            "{start}{said}: {answer:?}"
        );
    }
    let answer = submit(&operator, lines.join("\n").as_bytes(), &["--json"]);
    let told: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(
        (told.as_array().unwrap().len(), &told[0]["line"]),
        (10, &2.into())
    );
    assert!(operator.list(&[]).is_empty());

    // What only the store can refuse is told by its line, too.
    operator.ok(&["limit", "queue", "default", "--max-depth", "2"]);
    let answer = submit(
        &operator,
        "{\"name\":\"greet\"}\n".repeat(3).as_bytes(),
        &[],
    );
    assert_eq!(answer.code, 4, "{answer:?}");
    assert!(answer.err.contains("line 3: "), "{answer:?}");
    assert!(operator.list(&[]).is_empty());
}

#[test]
fn what_is_no_input_is_told() {
    let operator = Operator::with_jobs(JOBS);
    let empty = submit(&operator, b"\n \n", &[]);
    assert!(
        empty.code == 2 && empty.err.contains("one JSON object a line"),
        "{empty:?}"
    );
    let latin = submit(
        &operator,
        b"{\"name\":\"greet\"}\n{\"name\":\"gr\xfcn\"}\n",
        &[],
    );
    assert!(
        latin.code == 2 && latin.err.contains("line 2 is not UTF-8"),
        "{latin:?}"
    );
    let unknown = submit(&operator, b"{\"name\":\"elsewhere\"}", &["--allow-unknown"]);
    assert_eq!(unknown.code, 0, "{unknown:?}");
    for args in [
        &["submit", "--stdin", "greet"][..],
        &["submit", "--stdin", "--wait"],
        &["submit"],
    ] {
        operator.fails(2, args);
    }
    assert_eq!(operator.list(&[]).len(), 1);
}

#[test]
fn thousands_of_lines_are_one_write() {
    let operator = Operator::with_jobs(JOBS);
    let lines: String = (0..5_000)
        .map(|n| format!("{{\"name\":\"greet\",\"args\":{n}}}\n"))
        .collect();
    let answer = submit(&operator, lines.as_bytes(), &[]);
    assert_eq!((answer.code, answer.out.lines().count()), (0, 5_000));
    let newest = operator.json(&["list", "--limit", "1", "--json"]);
    assert_eq!(newest[0]["args"], 4_999);
}
