//! A program with its own handlers and the commands of `tlo`.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::process::ExitCode;

use tlo::TloContext;
use tlo::prelude::*;

fn program() -> tlo::TloContextBuilder {
    let double = |_: TaskContext, n: i64| async move { TaskResult::Ok(n * 2) };
    TloContext::builder().task(task("double").run(double))
}

async fn code(context: tlo::TloContextBuilder, args: &[&str]) -> String {
    format!("{:?}", tlo::cli::run(context, args.iter().copied()).await)
}

fn exits(code: u8) -> String {
    format!("{:?}", ExitCode::from(code))
}

#[tokio::test]
async fn its_own_tasks_run_beside_those_of_the_jobs_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tlo.toml");
    let config = file.to_str().unwrap();
    std::fs::write(&file, "[[tasks]]\nname = \"listed\"\nshell = \"true\"\n").unwrap();
    let args = |rest: &[&'static str]| [&["mine", "--config", config][..], rest].concat();

    assert_eq!(code(program(), &args(&["check"])).await, exits(0));
    // Without the program's own handlers the name is not known.
    assert_eq!(
        code(TloContext::builder(), &args(&["submit", "double"])).await,
        exits(3)
    );
    let waiting = args(&["submit", "double", "--args", "21", "--wait"]);
    let submitting = code(program(), &waiting);
    let running = args(&["run", "--for", "10m"]);
    let submitted = tokio::select! {
        submitted = submitting => submitted,
        ran = code(program(), &running) => panic!("it stopped by itself: {ran}"),
    };
    assert_eq!(submitted, exits(0));
    let ran = code(program(), &args(&["run", "--for", "100ms"])).await;
    assert_eq!(ran, exits(0));
    assert_eq!(
        code(program(), &args(&["submit", "listed"])).await,
        exits(0)
    );
    assert_eq!(
        code(program(), &args(&["submit", "nobody"])).await,
        exits(3)
    );
}

#[tokio::test]
async fn a_name_belongs_to_the_program_or_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tlo.toml");
    let config = file.to_str().unwrap();
    std::fs::write(&file, "[[tasks]]\nname = \"double\"\nshell = \"true\"\n").unwrap();
    for command in ["check", "run"] {
        assert_eq!(
            code(program(), &["mine", command, "--config", config]).await,
            exits(1)
        );
    }
    assert!(!folder.path().join("tlo.db").exists());
}

#[tokio::test]
async fn what_the_program_sets_stands_above_file_and_variables() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tlo.toml");
    std::fs::write(&file, "task_state_store = \"sqlite:t.db\"\n").unwrap();
    let context = program().set("task_state_store", "memory");
    let args = ["mine", "--config", file.to_str().unwrap(), "doctor"];
    assert_eq!(code(context, &args).await, exits(0));
    assert!(!folder.path().join("t.db").exists());
}
