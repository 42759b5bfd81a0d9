//! `tlo logs`: what runs said, in a program with handlers of its own and for commands.
//!
//! A process has one subscriber, so this is the only test of its program.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::ExitCode;

use tlo::prelude::*;

/// Lets a test read what a command printed.
fn tlo(folder: &std::path::Path, args: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tlo"))
        .args(["--config", "tlo.toml"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn what_runs_say_is_printed_by_logs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tlo.toml");
    let config = file.to_str().unwrap();
    let jobs = "task_state_store = \"sqlite:t.db\"\n[[tasks]]\nname = \"listed\"\nshell = \"echo out; echo err >&2\"\n";
    std::fs::write(&file, jobs).unwrap();
    let program = || {
        let talk = |context: TaskContext, _: ()| async move {
            context.log("one\ntwo \u{1b}[31m");
            tracing::warn!(rows = 3, "from tracing");
            match context.attempt() {
                1 => Err(TaskError::retry_after(millis(1), "again")),
                _ => Ok(()),
            }
        };
        TloContext::builder().task(task("talk").run(talk))
    };
    for name in ["talk", "listed"] {
        let args = ["mine", "--config", config, "submit", name, "--wait"];
        let submitting = tlo::cli::run(program(), args);
        let running = ["mine", "--config", config, "run", "--for", "10m"];
        let submitted = tokio::select! {
            // The first that starts says what is logged.
            biased;
            ran = tlo::cli::run(program(), running) => panic!("it stopped by itself: {ran:?}"),
            submitted = submitting => submitted,
        };
        let fine = format!("{:?}", ExitCode::SUCCESS);
        assert_eq!(format!("{submitted:?}"), fine);
    }
    let ids: Vec<serde_json::Value> =
        serde_json::from_str(&tlo(folder.path(), &["list", "--json"])).unwrap();
    let id = |name: &str| {
        let of = ids.iter().find(|task| task["name"] == name).unwrap();
        of["id"].as_str().unwrap().to_owned()
    };
    let talked = tlo(folder.path(), &["logs", &id("talk")]);
    let lines: Vec<&str> = talked.lines().collect();
    assert_eq!((lines[0], lines[4]), ("attempt 1", "attempt 2"), "{talked}");
    assert!(lines[1].ends_with("Z one"), "{talked}");
    assert_eq!(lines[2], "    two \\u{1b}[31m");
    assert!(lines[3].ends_with("Z WARN from tracing rows=3"), "{talked}");
    let second = tlo(
        folder.path(),
        &["logs", &id("talk"), "--attempt", "2", "--jsonl"],
    );
    let first: serde_json::Value = serde_json::from_str(second.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["attempt"], &first["level"]),
        (&2.into(), &"info".into())
    );
    assert_eq!(tlo(folder.path(), &["logs", &id("listed")]), "out\nerr\n");
}
