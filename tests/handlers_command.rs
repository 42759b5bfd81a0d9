//! Commands as tasks: real processes, their groups, their output and their end.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![cfg(all(unix, feature = "command"))]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};
use tlo::handler::builtin::{CommandHandler, RunAs, Stdin};
use tlo::handler::layers::standard;
use tlo::handler::{IntoHandler, TaskContextBuilder};
use tlo::prelude::*;
use tlo::task::{Ended, Outcome, TaskStateRecord};

fn sh(line: &str) -> CommandHandler {
    CommandHandler::shell(line)
}

async fn run_in(command: CommandHandler, context: TaskContext, args: &str) -> Ended {
    standard(command.into_handler())
        .run(context, Payload::parse(args).unwrap())
        .await
}

async fn run(command: CommandHandler, args: &str) -> Ended {
    run_in(command, TaskContext::for_test("job"), args).await
}

fn report(ended: Ended) -> serde_json::Value {
    match ended {
        Ended::Returned(Outcome::Success(payload)) => payload.decode().unwrap(),
        other => panic!("no success: {other:?}"),
    }
}

fn error(ended: Ended) -> TaskError {
    match ended {
        Ended::Returned(Outcome::Error(error)) => error,
        other => panic!("no error: {other:?}"),
    }
}

/// Waits until a file has a whole line, and gives it.
async fn line_of(file: &Path) -> String {
    eventually("a line in the file", || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.strip_suffix('\n').map(str::to_owned)
    })
    .await
}

/// Waits until the process runs no more. A zombie of ours, one that we did not wait for, does not count as gone; an
/// orphan is removed by process 1, in its own time.
async fn gone(pid: Pid) {
    let what = format!("the process {pid:?} to be gone");
    let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let own = format!(" Z {} ", std::process::id());
    eventually(&what, || {
        let stat = std::fs::read_to_string(&stat).unwrap_or_default();
        let orphaned_zombie = stat.contains(") Z ") && !stat.contains(&own);
        (orphaned_zombie || test_kill_process(pid).is_err()).then_some(())
    })
    .await;
}

async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let clock = tlo::SystemClock::shared();
    let start = clock.steady().at;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            clock.steady().at - start < Duration::from_secs(20),
            "waited for {what}"
        );
        clock.sleep(Duration::from_millis(5)).await;
    }
}

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

#[tokio::test]
async fn it_reads_args_and_environment_and_its_output_is_the_result() {
    let slot: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
    let context = TaskContextBuilder::new("job").attempt(2).slot(slot).build();
    let line = r#"cat; echo "$TLO_TASK_ID $TLO_TASK_NAME $TLO_ATTEMPT $TLO_SLOT $GREETING"; echo warned >&2"#;
    let ended = run_in(sh(line).env("GREETING", "hello"), context, r#"{"a":  1}"#).await;
    assert_eq!(
        report(ended),
        serde_json::json!({
            "exit_code": 0, "signal": null, "truncated": false,
            "stdout": "{\"a\":  1}test job 2 2026-11-20T10:00:00Z hello\n",
            "stderr": "warned\n",
        })
    );
}

#[tokio::test]
async fn no_shell_reads_the_arguments() {
    let ended = run(CommandHandler::new(["printf", "%s", "$HOME; `id`"]), "null").await;
    assert_eq!(report(ended)["stdout"], "$HOME; `id`");
}

#[tokio::test]
async fn a_run_without_a_slot_has_no_slot_variable() {
    let ended = run(
        sh("echo ${TLO_SLOT-none}").env("TLO_SLOT", "of an outer task"),
        "null",
    )
    .await;
    assert_eq!(report(ended)["stdout"], "none\n");
}

#[tokio::test]
async fn input_directory_and_environment_are_as_asked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let command = CommandHandler::shell("pwd; cat; echo \"${HOME-none}\"")
        .cwd(&path)
        .clear_env()
        .stdin(Stdin::Text("typed".to_owned()));
    let ended = run(command, "null").await;
    assert_eq!(
        report(ended)["stdout"],
        format!("{}\ntypednone\n", path.display())
    );
    let nothing = run(sh("cat | wc -c").stdin(Stdin::Null), "null").await;
    assert_eq!(report(nothing)["stdout"].as_str().unwrap().trim(), "0");
}

#[tokio::test]
async fn closing_its_input_early_is_no_failure() {
    let large = format!("\"{}\"", "x".repeat(900_000));
    let ended = run(sh("exec <&-; echo done"), &large).await;
    assert_eq!(report(ended)["stdout"], "done\n");
}

#[tokio::test]
async fn large_input_and_output_at_once_do_not_deadlock() {
    let large = format!("\"{}\"", "x".repeat(900_000));
    let ended = run(sh("cat; cat /dev/null >&2").output_cap(10), &large).await;
    let report = report(ended);
    assert_eq!(report["truncated"], true);
    assert_eq!(
        report["stdout"],
        "\"xxxx\n… 899992 bytes left out …\nxxxx\""
    );
}

#[tokio::test]
async fn an_exit_code_is_an_error_with_the_end_of_what_it_said() {
    let ended = run(
        sh("echo progress; echo 'first line' >&2; echo 'no such table: users' >&2; exit 3"),
        "null",
    )
    .await;
    let error = error(ended);
    assert_eq!(
        error,
        TaskError::retry("exit code 3: no such table: users\nfirst line\nno such table: users")
    );
    assert_eq!(
        tlo::error_group(error.message()),
        "exit code #: no such table: users"
    );
    let silent = run(sh("exit 7"), "null").await;
    assert_eq!(self::error(silent), TaskError::retry("exit code 7"));
    let only_stdout = run(sh("echo 'said here'; exit 1"), "null").await;
    assert_eq!(self::error(only_stdout).message(), "exit code 1: said here");
}

#[tokio::test]
async fn a_signal_is_named() {
    let ended = run(sh("kill -9 $$"), "null").await;
    assert_eq!(
        error(ended),
        TaskError::retry("killed by signal 9 (SIGKILL)")
    );
}

#[tokio::test]
async fn a_long_error_keeps_its_end() {
    let ended = run(
        sh("i=0; while [ $i -lt 2000 ]; do echo \"line $i\"; i=$((i+1)); done >&2; exit 1"),
        "null",
    )
    .await;
    let error = error(ended);
    assert!(error.message().starts_with("exit code 1: line 1999\n"));
    assert!(error.message().ends_with("line 1999") && error.message().len() < 2_200);
}

#[tokio::test]
async fn what_cannot_start_fails_for_good_and_says_why() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let plain = file.path().display().to_string();
    let table: Vec<(CommandHandler, Vec<&str>)> = vec![
        (
            CommandHandler::new(["no-such-program-here"]),
            vec!["no-such-program-here", "PATH"],
        ),
        (CommandHandler::new([&plain]), vec![&plain, "executable"]),
        (
            CommandHandler::new(Vec::<String>::new()),
            vec!["command is empty"],
        ),
        (
            sh("true").cwd("/no/such/directory"),
            vec!["/no/such/directory", "working directory"],
        ),
        (CommandHandler::new(["printf", "a\0b"]), vec!["NUL"]),
    ];
    for (command, said) in table {
        let error = error(run(command, "null").await);
        assert_eq!(error, TaskError::fail(error.message()));
        for word in said {
            assert!(error.message().contains(word), "{word} is not in {error:?}");
        }
    }
}

#[tokio::test]
async fn bytes_that_are_not_text_and_control_characters_are_reported() {
    let ended = run(sh(r"printf 'a\377b\000c'"), "null").await;
    assert_eq!(report(ended)["stdout"], "a\u{fffd}b\u{0}c");
    // A million control characters take six million bytes of JSON.
    let ended = run(
        sh("head -c 1000000 /dev/zero").output_cap(1_000_000),
        "null",
    )
    .await;
    let report = report(ended);
    assert_eq!(
        (&report["truncated"], &report["exit_code"]),
        (&true.into(), &0.into())
    );
}

#[tokio::test]
async fn what_it_leaves_in_the_background_does_not_hold_it_up() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let line = format!("sleep 600 & echo $! > {}; echo done", file.display());
    assert_eq!(report(run(sh(&line), "null").await)["stdout"], "done\n");
    let left = pid(&line_of(&file).await);
    assert!(test_kill_process(left).is_ok(), "it goes on");
    rustix::process::kill_process(left, rustix::process::Signal::KILL).unwrap();
}

/// A shell with a child; writes the number of the child when both run. With `deaf`, neither hears SIGTERM.
fn family(file: &Path, deaf: bool) -> CommandHandler {
    let trap = if deaf { "trap '' TERM; " } else { "" };
    sh(&format!(
        "{trap}sleep 600 & echo \"$$ $!\" > {}; wait; sleep 600",
        file.display()
    ))
}

async fn family_of(file: &Path) -> [Pid; 2] {
    let line = line_of(file).await;
    let (parent, child) = line.split_once(' ').unwrap();
    [pid(parent), pid(child)]
}

#[tokio::test]
async fn an_interruption_ends_the_whole_group_for_its_reason() {
    for (why, expected) in [
        (Interruption::Cancelled, "Aborted"),
        (Interruption::Stopping, "Released"),
        (Interruption::LeaseLost, "Released"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pids");
        let context = TaskContext::for_test("job");
        let running = tokio::spawn(run_in(family(&file, false), context.clone(), "null"));
        let pids = family_of(&file).await;
        context.interrupt(why);
        let ended = running.await.unwrap();
        assert!(format!("{ended:?}").starts_with(expected), "{ended:?}");
        for pid in pids {
            gone(pid).await;
        }
    }
}

#[tokio::test]
async fn who_does_not_hear_is_killed_after_the_grace() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pids");
    let context = TaskContext::for_test("job");
    let command = family(&file, true).grace(Duration::from_millis(50));
    let running = tokio::spawn(run_in(command, context.clone(), "null"));
    let pids = family_of(&file).await;
    context.interrupt(Interruption::Cancelled);
    assert!(matches!(running.await.unwrap(), Ended::Aborted(_)));
    for pid in pids {
        gone(pid).await;
    }
}

#[tokio::test]
async fn a_child_gets_the_grace_although_its_parent_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let (started, saved) = (
        directory.path().join("started"),
        directory.path().join("saved"),
    );
    let line = format!(
        "sh -c 'trap \"sleep 0.2; echo kept > {}; exit\" TERM; echo up > {}; while :; do sleep 0.02; done' & wait",
        saved.display(),
        started.display()
    );
    let context = TaskContext::for_test("job");
    let running = tokio::spawn(run_in(sh(&line), context.clone(), "null"));
    line_of(&started).await;
    context.interrupt(Interruption::Cancelled);
    assert!(matches!(running.await.unwrap(), Ended::Aborted(_)));
    assert_eq!(std::fs::read_to_string(&saved).unwrap(), "kept\n");
}

#[tokio::test]
async fn a_timeout_ends_the_whole_group() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pids");
    let context = TaskContextBuilder::new("job")
        .record(|record: &mut TaskStateRecord| record.timeout = Some(Duration::from_millis(300)))
        .build();
    let command = family(&file, true).grace(Duration::from_millis(700));
    let running = tokio::spawn(run_in(command, context, "null"));
    let pids = family_of(&file).await;
    assert!(matches!(running.await.unwrap(), Ended::TimedOut));
    for pid in pids {
        gone(pid).await;
    }
}

#[tokio::test]
async fn a_run_that_is_dropped_ends_its_group() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pids");
    let running = tokio::spawn(run(
        family(&file, true).grace(Duration::from_millis(50)),
        "null",
    ));
    let pids = family_of(&file).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    for pid in pids {
        gone(pid).await;
    }
}

#[test]
fn a_runtime_that_ends_takes_its_groups_along() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pids");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let pids = runtime.block_on(async {
        tokio::spawn(run(family(&file, true), "null"));
        family_of(&file).await
    });
    drop(runtime);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    // The child only: its parent was ours, and a process that ends leaves the last wait to the system.
    runtime.block_on(gone(pids[1]));
}

#[tokio::test]
async fn an_interrupted_context_starts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ran");
    let context = TaskContext::for_test("job");
    context.interrupt(Interruption::Stopping);
    let ended = run_in(
        sh(&format!("echo ran > {}", file.display())),
        context,
        "null",
    )
    .await;
    assert!(matches!(ended, Ended::Released) && !file.exists());
}

#[tokio::test]
async fn another_user_is_for_root_only_and_gets_exactly_its_groups() {
    let nobody = RunAs {
        uid: 65_534,
        gid: 65_533,
        groups: vec![65_532, 65_531],
    };
    let ended = run(sh("id -u; id -g; id -G").cwd("/").run_as(nobody), "null").await;
    if rustix::process::getuid().is_root() && cfg!(target_os = "linux") {
        // The kernel keeps the groups sorted.
        assert_eq!(report(ended)["stdout"], "65534\n65533\n65533 65531 65532\n");
        assert!(
            rustix::process::getuid().is_root(),
            "this process stays what it is"
        );
    } else {
        let error = error(ended);
        assert!(error.message().contains("as user 65534"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_leave_no_zombies() {
    let handler = sh("exit 0").into_handler();
    let runs: Vec<_> = (0..50)
        .map(|_| {
            let handler = Arc::clone(&handler);
            tokio::spawn(async move {
                handler
                    .run(TaskContext::for_test("job"), Payload::null())
                    .await
            })
        })
        .collect();
    for run in runs {
        assert_eq!(report(run.await.unwrap())["exit_code"], 0);
    }
}
