//! `tlo submit` where something is missing: a worker, a jobs file, a store that stays.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod operator;

use operator::Operator;

const JOBS: &str = "[[tasks]]\nname = \"greet\"\nshell = \"echo hello\"\n";

#[test]
fn who_waits_without_a_worker_is_told_so_and_waits_on() {
    let operator = Operator::with_jobs(JOBS);
    let answer = operator.tlo(&["submit", "greet", "--wait", "--wait-for", "3s"]);
    assert_eq!(answer.code, 6, "{answer:?}");
    let said = "no worker is running on this store: start one with `tlo run`\n";
    assert!(answer.err.starts_with(said), "{answer:?}");

    let running = operator.run(&[]);
    let answer = operator.tlo(&["submit", "greet", "--in", "2500ms", "--wait"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{answer:?}");
    running.stop();
}

#[test]
fn a_task_that_nobody_could_ever_run_is_refused() {
    let operator = Operator::with_jobs(JOBS);
    let store = [("TLO_TASK_STATE_STORE", "memory")];
    for args in [&["submit", "greet"][..], &["submit", "greet", "--wait"]] {
        let answer = operator.tlo_with(&store, args);
        assert_eq!((answer.code, answer.out.as_str()), (1, ""), "{answer:?}");
        assert!(
            answer
                .err
                .contains("the store \"memory\" ends with this command"),
            "{answer:?}"
        );
    }
}

#[test]
fn without_a_jobs_file_an_unknown_name_may_be_elsewhere() {
    let operator = Operator::new();
    let said = operator.fails(3, &["submit", "greet"]);
    assert_eq!(
        said,
        "error: no task is named \"greet\"; no task is registered; there is no tlo.toml in this folder; name one with --config\n"
    );
    let operator = Operator::with_jobs(JOBS);
    let said = operator.fails(3, &["submit", "great"]);
    assert!(!said.contains("tlo.toml"), "{said}");
}
