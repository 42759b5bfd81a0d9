//! `tlo run` from outside: what commands get, how they end, how the runner stops.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod operator;

use operator::{Operator, Running, is_alive, text, until};
use serde_json::{Value, json};

/// The only record of a task.
fn record(operator: &Operator, name: &str) -> Value {
    let mut records = operator.list(&["--name", name]);
    assert_eq!(records.len(), 1, "{name}: {records:?}");
    records.remove(0)
}

fn submit_and_wait(operator: &Operator, name: &str, args: &[&str]) -> Value {
    let all = [&["submit", name, "--wait", "--json"], args].concat();
    let answer = operator.tlo(&all);
    assert!([0, 7].contains(&answer.code), "{answer:?}");
    serde_json::from_str(&answer.out).unwrap()
}

#[test]
fn nothing_to_run_says_what_to_do() {
    let operator = Operator::new();
    let said = operator.fails(1, &["run"]);
    assert!(
        said.contains("there is no tlo.toml") && said.contains("tlo init"),
        "{said}"
    );
    assert!(!operator.path("state").exists());
    operator.write("tlo.toml", "concurrency = 2\n");
    assert!(
        operator
            .fails(1, &["run"])
            .contains("tlo.toml has no [[tasks]]")
    );
    operator.write("empty.cron", "# nothing\n");
    assert!(
        operator
            .fails(1, &["run", "--crontab", "empty.cron"])
            .contains("the crontabs have no commands")
    );
    assert!(
        operator
            .fails(2, &["run", "--for", "soon"])
            .contains("is not a duration")
    );
}

#[test]
fn the_start_says_what_comes_next() {
    let operator = Operator::with_jobs(
        "[[tasks]]\nname = \"nightly\"\ncron = \"0 3 1 1 *\"\nshell = \"true\"\n\
         [[tasks]]\nname = \"often\"\nevery = \"1h\"\nshell = \"true\"\n\
         [[tasks]]\nname = \"ask\"\nshell = \"true\"\n",
    );
    let running = operator.run(&["--concurrency", "3"]);
    let log = running.log();
    assert!(
        log.contains("3 tasks, 2 with a schedule\n  often    next 20"),
        "{log}"
    );
    assert!(
        log.contains("(in 1h)\n  nightly  next 20")
            || log.contains("(in 59m59s)\n  nightly  next 20"),
        "{log}"
    );
    assert!(log.contains("-01-01T03:00:00Z (in "), "{log}");
    assert!(log.contains("\n  ask      when submitted\n"), "{log}");
    assert!(
        log.contains("3 tasks at once") && log.contains("survives a power failure"),
        "{log}"
    );
    running.stop();

    operator.write(
        "ask.toml",
        "task_state_store = \"memory\"\n[[tasks]]\nname = \"ask\"\nshell = \"true\"\n",
    );
    let running = operator.run(&["--config", "ask.toml"]);
    assert!(
        running
            .log()
            .contains("1 task, nothing is scheduled: they run when submitted"),
        "{}",
        running.log()
    );
    running.stop();
}

#[test]
fn commands_get_args_and_surroundings() {
    let operator = Operator::with_jobs(
        r#"
[[tasks]]
name = "see"
shell = "cat; echo; env | grep '^TLO_' | sort; pwd; echo $COLOUR"
args = { n = 1 }
env = { COLOUR = "blue" }
cwd = "work"
[[tasks]]
name = "slot"
every = "1s"
max_runs = 1
shell = "echo $TLO_SLOT $TLO_TASK_ID"
"#,
    );
    std::fs::create_dir(operator.path("work")).unwrap();
    let running = operator.run(&[]);
    let seen = submit_and_wait(
        &operator,
        "see",
        &["--args", r#"{"z":[1,"ü\u0000"],"a":null}"#],
    );
    let id = text(&seen, "id");
    let work = operator.path("work").canonicalize().unwrap();
    let expected = format!(
        "{}\nTLO_ATTEMPT=1\nTLO_TASK_ID={id}\nTLO_TASK_NAME=see\n{}\nblue\n",
        r#"{"z":[1,"ü\u0000"],"a":null}"#,
        work.display()
    );
    assert_eq!(seen["result"]["stdout"], expected.as_str());
    assert_eq!(seen["kind"], "task");
    until("the slot runs", || {
        let records = operator.list(&["--name", "slot", "--status", "succeeded"]);
        records.len() == 1
    });
    let slot = record(&operator, "slot");
    let at = text(&slot, "slot");
    assert_eq!(text(&slot, "id"), format!("slot@{at}"));
    assert_eq!(slot["result"]["stdout"], format!("{at} slot@{at}\n"));
    assert_eq!(
        (&slot["kind"], &slot["schedule"]),
        (&json!("occurrence"), &json!("slot"))
    );
    running.stop();
}

#[test]
fn how_a_command_ended_is_recorded() {
    let operator = Operator::with_jobs(
        r#"
[[tasks]]
name = "code"
shell = "echo one; echo two >&2; exit 42"
max_attempts = 1
[[tasks]]
name = "signal"
shell = "kill -SEGV $$"
max_attempts = 1
[[tasks]]
name = "missing"
command = ["/no/such/program"]
[[tasks]]
name = "much"
shell = "echo start; head -c 5000000 /dev/zero | tr '\\0' x; echo end"
[[tasks]]
name = "again"
shell = 'echo "attempt $TLO_ATTEMPT"; [ "$TLO_ATTEMPT" -ge 3 ]'
max_attempts = 3
retry = { base = "100ms", factor = 3, cap = "1s", jitter = 0 }
"#,
    );
    let running = operator.run(&[]);
    let code = submit_and_wait(&operator, "code", &[]);
    assert_eq!(
        (&code["status"], &code["error"]),
        (&json!("failed"), &json!("exit code 42: two"))
    );
    assert_eq!(
        code["progress"],
        json!({
            "attempt": 1, "exit_code": 42, "signal": null, "stdout": "one\n", "stderr": "two\n", "truncated": false,
        })
    );
    let shown = operator.ok(&["inspect", text(&code, "id")]);
    assert!(
        shown.contains("\nexit code     42, attempt 1\nstdout        one\nstderr        two\n")
            && !shown.contains("progress"),
        "{shown}"
    );
    let signal = submit_and_wait(&operator, "signal", &[]);
    assert_eq!(signal["error"], "killed by signal 11 (SIGSEGV)");
    assert_eq!(signal["progress"]["signal"], 11);
    let shown = operator.ok(&["inspect", text(&signal, "id")]);
    assert!(shown.contains("\nsignal        11, attempt 1\n"), "{shown}");
    let missing = submit_and_wait(&operator, "missing", &[]);
    assert_eq!(
        (&missing["status"], &missing["attempt"]),
        (&json!("failed"), &json!(1))
    );
    assert!(text(&missing, "error").contains("there is no program \"/no/such/program\""));

    let much = submit_and_wait(&operator, "much", &[]);
    let out = much["result"]["stdout"].as_str().unwrap();
    assert_eq!(much["result"]["truncated"], true);
    assert!(out.len() < 70_000 && out.starts_with("start\nxxx") && out.ends_with("xxxend\n"));
    assert!(out.contains("bytes left out"));
    assert!(
        operator
            .ok(&["inspect", text(&much, "id")])
            .contains("exit code     0, output cut")
    );

    let again = submit_and_wait(&operator, "again", &[]);
    let attempts = again["attempts"].as_array().unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["failed", "failed", "succeeded"]);
    assert_eq!(attempts[1]["error"], "exit code 1: attempt 2");
    let at =
        |attempt: &Value, field: &str| text(attempt, field).parse::<jiff::Timestamp>().unwrap();
    for (index, least) in [(0, 100), (1, 300)] {
        let pause = at(&attempts[index + 1], "started_at")
            .duration_since(at(&attempts[index], "finished_at"));
        assert!(
            pause.as_millis() >= least - 1,
            "{pause:?} after attempt {}",
            index + 1
        );
    }
    let shown = operator.ok(&["inspect", text(&again, "id")]);
    assert!(
        shown.contains("\n1/3\tfailed\t") && shown.contains("\n3/3\tsucceeded\t"),
        "{shown}"
    );
    // The result is that of the run that succeeded; of those that failed the last is kept.
    assert!(
        shown.contains(
            "\nexit code     0\nstdout        attempt 3\nexit code     1, attempt 2\nstdout        attempt 2\n"
        ),
        "{shown}"
    );
    let log = running.log();
    assert!(
        log.contains("again failed, is tried again in 300ms (attempt 2 of 3, after "),
        "{log}"
    );
    running.stop();
}

#[test]
fn a_timeout_ends_the_command_and_its_children() {
    let operator = Operator::with_jobs(
        r#"
[[tasks]]
name = "slow"
shell = "trap '' TERM; echo begun; echo hurry >&2; sleep 600 & echo $! > child; echo $$ > shell; wait; sleep 600"
timeout = "300ms"
kill_grace = "100ms"
max_attempts = 1
"#,
    );
    let running = operator.run(&[]);
    let slow = submit_and_wait(&operator, "slow", &[]);
    assert_eq!(
        (&slow["status"], &slow["error"]),
        (&json!("failed"), &json!("timed out after 300ms"))
    );
    assert_eq!(slow["attempts"][0]["outcome"], "timed_out");
    assert_eq!(
        slow["progress"],
        json!({
            "attempt": 1, "exit_code": null, "signal": 9, "stdout": "begun\n", "stderr": "hurry\n", "truncated": false,
        })
    );
    let shown = operator.ok(&["inspect", text(&slow, "id")]);
    assert!(
        shown.contains("\nsignal        9, attempt 1\nstdout        begun\nstderr        hurry\n"),
        "{shown}"
    );
    for file in ["child", "shell"] {
        let pid: u32 = operator.read(file).trim().parse().unwrap();
        until("the process is gone", || !is_alive(pid));
    }
    running.stop();
}

const LONG: &str = r#"
kill_grace = "200ms"
[[tasks]]
name = "long"
shell = "echo $$ > pid; while [ ! -e go ]; do sleep 0.02; done; echo done"
[[tasks]]
name = "next"
shell = "true"
"#;

#[test]
fn a_signal_lets_what_runs_finish_and_starts_nothing_new() {
    for signal in ["TERM", "INT"] {
        let operator = Operator::with_jobs(LONG);
        let running = operator.run(&[]);
        operator.ok(&["submit", "long"]);
        until("it runs", || !operator.read("pid").is_empty());
        running.signal(signal);
        until("the signal is heard", || {
            running.log().contains("stopping when what runs has ended")
        });
        let id = operator.ok(&["submit", "next"]);
        operator.write("go", "");
        assert_eq!(running.ended(), 0, "{signal}");
        let long = record(&operator, "long");
        assert_eq!(
            (&long["status"], &long["result"]["stdout"]),
            (&json!("succeeded"), &json!("done\n"))
        );
        let next = operator.json(&["inspect", "--json", id.trim()]);
        assert_eq!(
            (&next["status"], &next["attempt"]),
            (&json!("pending"), &json!(0))
        );
    }
}

/// A runner that was asked to stop while the task "long" ran, and has.
fn stopped_while_it_runs(jobs: &str) -> (Operator, Running) {
    let operator = Operator::with_jobs(jobs);
    let running = operator.run(&[]);
    operator.ok(&["submit", "long"]);
    until("it runs", || !operator.read("pid").trim().is_empty());
    running.signal("TERM");
    until("it stops", || running.log().contains("worker stopped"));
    (operator, running)
}

#[test]
fn what_a_stop_hands_back_is_counted() {
    let jobs = format!("stop_behavior = \"cancel\"\n{LONG}");
    let (operator, running) = stopped_while_it_runs(&jobs);
    let log = running.log();
    assert!(log.contains(" released=1\n"), "{log}");
    assert_eq!(running.ended(), 0);
    assert_eq!(record(&operator, "long")["status"], "pending");
}

#[test]
fn who_drains_too_long_is_told_of_in_words() {
    let jobs = format!("drain_timeout = \"50ms\"\n{LONG}");
    let (_operator, running) = stopped_while_it_runs(&jobs);
    let log = running.log();
    assert!(
        log.contains("not everything ended in the drain_timeout; what still runs is asked to stop")
            && log.contains(" released=1\n"),
        "{log}"
    );
}

#[test]
fn a_second_signal_forces_and_the_task_runs_again() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let operator = Operator::with_jobs(LONG);
        let running = operator.run(&[]);
        operator.ok(&["submit", "long"]);
        until("it runs", || !operator.read("pid").trim().is_empty());
        let pid: u32 = operator.read("pid").trim().parse().unwrap();
        running.signal(signal);
        until("the signal is heard", || {
            running.log().contains("stopping when what runs has ended")
        });
        running.signal(signal);
        assert_eq!(running.ended(), code);
        until("the command is gone", || !is_alive(pid));
        let long = record(&operator, "long");
        assert_eq!(
            (&long["status"], &long["lease"]),
            (&json!("pending"), &Value::Null),
            "{long}"
        );
        assert_eq!(long["lost"], 0, "handed back, not lost");

        operator.write("go", "");
        let running = operator.run(&[]);
        until("it ran again", || {
            record(&operator, "long")["status"] == "succeeded"
        });
        let long = record(&operator, "long");
        assert_eq!(
            long["attempts"].as_array().unwrap().last().unwrap()["outcome"],
            "succeeded"
        );
        running.stop();
    }
}

#[test]
fn it_stops_by_itself_when_asked_for_a_time() {
    let operator =
        Operator::with_jobs("[[tasks]]\nname = \"tick\"\nevery = \"100ms\"\nshell = \"true\"\n");
    let running = operator.start(&["--for", "700ms"]);
    assert_eq!(running.ended(), 0);
    assert!(!operator.list(&["--status", "succeeded"]).is_empty());
    assert!(operator.list(&["--status", "running"]).is_empty());
}

#[test]
fn an_idle_runner_writes_nothing_and_takes_no_time() {
    let operator =
        Operator::with_jobs("[[tasks]]\nname = \"rare\"\nevery = \"1h\"\nshell = \"true\"\n");
    let running = operator.run(&[]);
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", running.pid())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    let uptime = || -> f64 {
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    };
    let start = uptime();
    until("four seconds have passed", || uptime() >= start + 4.0);
    let used = ticks() - before;
    assert!(
        used <= 20,
        "{used} hundredths of a second of processor time in 4 s"
    );
    assert_eq!(operator.list(&[]), [] as [Value; 0]);
    running.stop();
}
