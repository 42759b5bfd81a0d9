//! The same at the command line, where texts need not even be text.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fastrand::Rng;

use crate::hostile::{is_a_name, text};
use crate::kit::is_full;
use crate::operator::{Answer, Operator};
use crate::seed;

const JOBS: &str = "[[tasks]]\nname = \"greet\"\nshell = \"true\"\n";

#[test]
fn what_is_no_text_is_refused_wherever_it_stands() {
    let operator = Operator::with_jobs(JOBS);
    let wrong = OsStr::from_bytes(b"\"gr\xff\xfe\"");
    let with = |before: &[&str]| Answer::of(operator.command(before).arg(wrong));
    let places: &[&[&str]] = &[
        &["submit"],
        &["submit", "greet", "--args"],
        &["submit", "greet", "--key"],
        &["submit", "greet", "--queue"],
        &["list", "--name"],
        &["inspect"],
    ];
    for place in places {
        let answer = with(place);
        assert_eq!(answer.code, 2, "{place:?}: {answer:?}");
        assert!(answer.err.contains("UTF-8"), "{answer:?}");
    }
    assert!(operator.list(&[]).is_empty());
    std::fs::write(operator.path("tlo.toml"), b"[[tasks]]\nname = \"\xff\"\n").unwrap();
    let answer = operator.tlo(&["check"]);
    assert!(
        answer.code != 0 && answer.err.contains("tlo.toml"),
        "{answer:?}"
    );
}

#[test]
fn what_a_submit_was_given_is_shown_byte_for_byte() {
    let operator = Operator::with_jobs(JOBS);
    let deep = format!("{}{}", "[".repeat(3_000), "]".repeat(3_000));
    for args in [
        r#"{"a":1e400,"a":2, "n":123456789012345678901234567890.10}"#,
        deep.as_str(),
        r#""\u0000\u202e""#,
    ] {
        let id = operator.ok(&["submit", "greet", "--args", args]);
        let whole = operator.ok(&["inspect", "--json", id.trim()]);
        assert!(whole.contains(&format!("\"args\":{args},")), "{whole}");
        let shown = operator.ok(&["inspect", id.trim()]);
        assert!(
            !shown.chars().any(|c| c.is_control() && c != '\n'),
            "{shown:?}"
        );
        let listed = operator.ok(&["list", "--jsonl"]);
        assert!(listed.lines().all(|line| line.starts_with('{')), "{listed}");
    }
    let answer = operator.tlo(&["submit", "greet", "--args", "{\"a\":"]);
    assert_eq!(answer.code, 2, "{answer:?}");
}

#[test]
fn names_at_the_command_line_are_kept_or_refused_and_never_reach_the_terminal_raw() {
    let seed = seed();
    println!("TLO_TEST_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let operator = Operator::with_jobs(JOBS);
    let cases = if is_full() { 400 } else { 20 };
    let (mut kept, mut refused) = (0, 0);
    for _ in 0..cases {
        let text = text(&mut random).replace('\0', "");
        let (queue, key) = (format!("--queue={text}"), format!("--key={text}"));
        let args = if random.bool() {
            ["submit", "greet", queue.as_str()]
        } else {
            ["submit", "greet", key.as_str()]
        };
        let answer = operator.tlo(&args);
        let is_raw = |said: &str| said.chars().any(|c| c.is_control() && c != '\n');
        assert!(!is_raw(&answer.out) && !is_raw(&answer.err), "{answer:?}");
        if is_a_name(&text) {
            assert_eq!(answer.code, 0, "{text:?}: {answer:?}");
            kept += 1;
        } else {
            assert!(matches!(answer.code, 1 | 2), "{text:?}: {answer:?}");
            assert!(answer.err.starts_with("error: "), "{answer:?}");
            refused += 1;
        }
    }
    let table = operator.ok(&["list", "--limit", "1000"]);
    assert!(
        !table
            .chars()
            .any(|c| c.is_control() && c != '\n' && c != '\t')
    );
    println!("{cases} texts as queues and keys: {kept} kept, {refused} refused");
}
