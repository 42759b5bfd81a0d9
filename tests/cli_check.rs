//! `tlo check`: stores and sections of settings, and what this machine does not have.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod operator;

use operator::Operator;
use serde_json::Value;

#[test]
fn check_tells_a_store_that_nobody_knows_with_the_other_mistakes() {
    let operator = Operator::new();
    operator.write(
        "tlo.toml",
        "task_state_store = \"sqlit:x.db\"\n\n[[tasks]]\nname = \"a\"\nevery = \"-5m\"\nshell = \"true\"\n",
    );
    let said = operator.fails(1, &["check"]);
    for part in [
        "the setting \"task_state_store\": no plugin of that name is a task state store",
        "tlo.toml:1:20\n",
        "did you mean sqlite?",
        "\"-5m\" is not a duration: no time is negative",
        "error: 2 errors\n",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let answer = operator.tlo_with(&[("TLO_TASK_STATE_STORE", "nonsense")], &["check"]);
    assert_eq!(answer.code, 1);
    for part in [
        "task_state_store = \"nonsense\" (environment variable TLO_TASK_STATE_STORE): no plugin",
        "no time is negative",
        "1 error, and 1 in the settings",
    ] {
        assert!(answer.err.contains(part), "{part:?} is not in {answer:?}");
    }
    // What the store would not read is told without opening it.
    operator.write(
        "tlo.toml",
        "concurrency = 4\n[sqlite]\ndurabilty = \"relaxed\"\nreaders = \"few\"\n[[tasks]]\nname = \"a\"\nshell = \"true\"\n",
    );
    let said = operator.fails(1, &["check"]);
    for part in [
        "tlo.toml:3:1\n",
        "did you mean sqlite.durability",
        "tlo.toml:4:11\n",
        "error: 2 errors\n",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert!(!operator.path("tlo.db").exists());
    // So is what the store would refuse, though each value can be read.
    let task = "[[tasks]]\nname = \"a\"\nshell = \"true\"\n";
    for (section, part) in [
        (
            "busy_timeout = \"30s\"\ncall_timeout = \"30s\"",
            "tlo.toml:3:16\n",
        ),
        ("readers = 0", "readers is 0\n"),
    ] {
        operator.write("tlo.toml", &format!("[sqlite]\n{section}\n{task}"));
        let said = operator.fails(1, &["check"]);
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    operator.write(
        "tlo.toml",
        &format!("[sqlite]\nbusy_timeout = \"30s\"\n{task}"),
    );
    operator.ok(&["check"]);
    assert!(!operator.path("tlo.db").exists());
    // A table with a name that is neither a setting nor a list of tasks is told once.
    operator.write("tlo.toml", "[task]\nname = \"b\"\n");
    let said = operator.fails(1, &["check"]);
    assert!(
        said.contains("write [[tasks]] above each task") && said.ends_with("error: 1 error\n"),
        "{said}"
    );
}

#[test]
fn check_warns_of_programs_and_folders_that_are_not_there() {
    let operator = Operator::new();
    operator.write(
        "tlo.toml",
        "[[tasks]]\nname = \"a\"\ncommand = [\"no-such-program\", \"-f\"]\n\n\
         [[tasks]]\nname = \"b\"\ncwd = \"later\"\ncommand = [\"true\"]\n\n\
         [[tasks]]\nname = \"c\"\ncommand = [\"./here.sh\"]\ncwd = \".\"\n\n\
         [[tasks]]\nname = \"d\"\ncommand = [\"here.sh\"]\ncwd = \"/\"\nenv = { PATH = \"/nowhere\" }\n\n\
         [[tasks]]\nname = \"e\"\ncommand = [\"echo\", \"good\"]\n",
    );
    operator.write("here.sh", "");
    let answer = operator.tlo(&["check"]);
    assert_eq!(answer.code, 0, "warnings are no mistakes: {answer:?}");
    for part in [
        "warning: there is no program \"no-such-program\" here\n --> ",
        "3 | command = [\"no-such-program\", \"-f\"]\n",
        "later\" is not there\n",
        "tlo.toml:7:7\n",
        "there is no program \"here.sh\" here\n",
        "make it before the task runs",
        "ok: 5 tasks, 3 warnings\n",
    ] {
        assert!(
            answer.err.contains(part),
            "{part:?} is not in {}",
            answer.err
        );
    }
    assert_eq!(answer.err.matches("warning: ").count(), 3, "{}", answer.err);
}

#[test]
fn check_warns_of_an_instant_that_has_passed() {
    let operator = Operator::with_jobs(
        "[[tasks]]\nname = \"past\"\nat = \"2020-01-01T00:00:00Z\"\nshell = \"true\"\n\
         [[tasks]]\nname = \"local\"\nat = \"2020-01-01T00:00:00\"\nzone = \"Europe/Berlin\"\nshell = \"true\"\n\
         [[tasks]]\nname = \"future\"\nat = 2999-01-01T00:00:00Z\nshell = \"true\"\n",
    );
    let answer = operator.tlo(&["check"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let said = "warning: this instant has passed: it never runs\n";
    assert_eq!(answer.err.matches(said).count(), 2, "{}", answer.err);
    assert!(
        answer.err.contains("tlo.toml:4:6\n") && answer.err.contains("tlo.toml:8:6\n"),
        "{}",
        answer.err
    );
}

#[test]
fn mistakes_are_json_for_programs() {
    let operator = Operator::new();
    operator.write(
        "tlo.toml",
        "lease = \"soon\"\n[[tasks]]\nname = \"a\"\ncron = \"61 * * * *\"\nshell = \"true\"\n",
    );
    let variables = [("TLO_CONCURRENCY", "many")];
    for format in ["--json", "--jsonl"] {
        let answer = operator.tlo_with(&variables, &["check", format]);
        assert_eq!(answer.code, 1, "{answer:?}");
        assert_eq!(answer.err, "error: 2 errors, and 1 in the settings\n");
        let mistakes: Vec<Value> = if format == "--json" {
            serde_json::from_str(&answer.out).unwrap()
        } else {
            let lines = answer.out.lines();
            lines
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        };
        let place = |index: usize| {
            let mistake: &Value = &mistakes[index];
            let file = mistake["file"].as_str().unwrap();
            assert!(file.ends_with("tlo.toml"), "{mistake}");
            (mistake["line"].as_u64(), mistake["column"].as_u64())
        };
        assert_eq!(mistakes.len(), 3);
        assert_eq!(place(0), (Some(1), Some(9)));
        assert_eq!(place(1), (Some(4), Some(9)));
        assert_eq!(mistakes[1]["level"], "error");
        let message = mistakes[1]["message"].as_str().unwrap();
        assert!(message.contains("minute 61"), "{message}");
        assert!(mistakes[1]["help"].is_string());
        assert_eq!(mistakes[2]["file"], Value::Null);
        let message = mistakes[2]["message"].as_str().unwrap();
        assert!(message.contains("TLO_CONCURRENCY"), "{message}");
    }
}
