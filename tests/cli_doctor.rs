//! `tlo doctor`: which tasks wait, and for whom.

#![cfg(all(unix, feature = "cli"))]

mod operator;

use operator::{Operator, until};

fn jobs(version: &str) -> String {
    format!(
        "task_state_store = \"sqlite:t.db\"\n[[tasks]]\nname = \"greet\"\nversion = \"{version}\"\nshell = \"true\"\n"
    )
}

#[test]
fn what_is_due_is_found_behind_any_number_that_is_not() {
    let operator = Operator::new();
    operator.write("tlo.toml", &jobs("1"));
    for _ in 0..101 {
        operator.ok(&["submit", "greet", "--in", "1h"]);
    }
    let healthy = operator.ok(&["doctor"]);
    assert!(!healthy.contains("has been due"), "{healthy}");
    let due = operator.ok(&["submit", "greet", "--at", "2020-01-01T00:00:00Z"]);
    for args in [&["doctor"][..], &["doctor", "--quick"]] {
        let report = operator.ok(args);
        let said = format!(
            "WARNING      no worker is running, and \"{}\" has been due for ",
            due.trim()
        );
        assert!(report.contains(&said), "{report}");
    }
}

#[test]
fn a_version_that_is_gone_is_told_of() {
    let operator = Operator::new();
    operator.write("tlo.toml", &jobs("1"));
    operator.ok(&["submit", "greet", "--in", "1h"]);
    let report = operator.ok(&["doctor"]);
    assert!(!report.contains("WARNING"), "{report}");
    operator.write("tlo.toml", &jobs("2"));
    operator.ok(&["submit", "greet", "--in", "1h"]);
    let report = operator.ok(&["doctor"]);
    assert!(
        report.contains("1 × \"greet\" waits for a worker that has its version \"1\"\n"),
        "{report}"
    );
    assert_eq!(report.matches("WARNING").count(), 1, "{report}");

    // A live worker of that version, started with another file, is who it waits for.
    let old = jobs("1").replace(
        "sqlite:t.db",
        &format!("sqlite:{}", operator.path("t.db").display()),
    );
    operator.write("old.toml", &old);
    let running = operator.run(&["--config", "old.toml"]);
    until("the worker is seen", || {
        !operator.ok(&["doctor"]).contains("WARNING")
    });
    running.stop();
}

#[cfg(all(feature = "lmdb", feature = "jsonl"))]
#[test]
fn what_an_embedded_store_promises_is_read_back_and_said() {
    let operator = Operator::new();
    for (store, wanted) in [
        (
            "lmdb:t",
            &[
                "what was answered survives a power failure",
                "flags 0x200000 read back",
                "slots taken",
                "no limit",
            ][..],
        ),
        (
            "jsonl:t.jsonl",
            &[
                "what was answered survives a power failure",
                "the disk at each group of commits",
                "held by this process alone",
            ],
        ),
    ] {
        let jobs = jobs("1").replace("sqlite:t.db", store);
        operator.write("tlo.toml", &jobs);
        operator.ok(&["submit", "greet", "--in", "1h"]);
        let report = operator.ok(&["doctor"]);
        for part in wanted {
            assert!(report.contains(part), "no {part:?} in\n{report}");
        }
    }
    // While a process has the log, another one is told which.
    operator.write(
        "tlo.toml",
        &jobs("1").replace("sqlite:t.db", "jsonl:t.jsonl"),
    );
    let running = operator.run(&[]);
    until("the log is held", || {
        let refused = operator.tlo(&["list"]);
        refused.code != 0 && refused.err.contains("is open in process ")
    });
    running.stop();
    operator.ok(&["list"]);
}
