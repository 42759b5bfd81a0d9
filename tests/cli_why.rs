//! `tlo why`: the chain of decisions in lines and as JSON, and what it says of what is not there.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod operator;

use operator::Operator;

const JOBS: &str = r#"
[[tasks]]
name = "greet"
shell = "echo hello"
[[tasks]]
name = "nightly"
cron = "0 3 * * *"
shell = "true"
"#;

#[test]
fn a_task_and_a_slot_are_explained_in_lines_and_in_json() {
    let operator = Operator::with_jobs(JOBS);
    let id = operator.ok(&["submit", "greet", "--in", "1h", "--key", "k"]);
    let id = id.trim();
    let text = operator.ok(&["why", id]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], format!("{id} is pending"));
    assert!(lines[1].contains("  created by "), "{text}");
    assert!(
        lines[2].contains("owns the key \"k\" until it has ended"),
        "{text}"
    );
    assert!(lines[3].ends_with("delayed until then"), "{text}");
    assert!(
        lines[4].contains(
            "waits for a worker of queue default that knows \"greet\"; no worker is alive"
        ),
        "{text}"
    );

    let cancel = ["cancel", id, "--reason", "a\u{1b}[31mtypo\nin two lines"];
    operator.tlo_with(&[("USER", "ada")], &cancel).ok("cancel");
    let told = operator.json(&["why", &id[..30], "--json"]);
    assert_eq!(told["subject"], id);
    assert_eq!(told["status"], "cancelled");
    let reasons: Vec<_> = told["links"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| link["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, ["created", "steered", "gave_key_up", "cancelled"]);
    let who = told["links"][1]["who"].as_str().unwrap();
    assert!(who.starts_with("ada@"), "{who}");
    let text = operator.ok(&["why", id]);
    assert!(!text.contains('\u{1b}'));
    assert_eq!(text.lines().count(), 1 + reasons.len(), "{text}");

    let slot = operator.ok(&["why", "nightly"]);
    assert!(
        slot.contains("T03:00:00Z\n") && slot.contains("not decided yet: it comes then"),
        "{slot}"
    );
}

#[test]
fn what_is_not_there_is_told_with_the_nearest() {
    let operator = Operator::with_jobs(JOBS);
    let error = operator.fails(3, &["why", "nigthly"]);
    assert!(error.contains("did you mean \"nightly\"?"), "{error}");
    let error = operator.fails(3, &["why", "nigthly@2026-01-01T03:00:00Z"]);
    assert!(error.contains("did you mean \"nightly\"?"), "{error}");
    operator.fails(2, &["why", ""]);
}
