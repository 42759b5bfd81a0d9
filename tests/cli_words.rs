//! The commands that start nothing: init, check, config, completions, help; and how settings are read.

#![cfg(all(unix, feature = "cli"))]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test stops at the first surprise and says what it skips"
)]

mod operator;

use operator::{Answer, Operator};
use serde_json::{Value, json};

#[test]
fn init_writes_a_file_that_checks_and_never_overwrites() {
    let operator = Operator::new();
    let first = operator.tlo(&["init"]);
    assert_eq!((first.code, first.out.as_str()), (0, ""));
    assert!(first.err.contains("wrote tlo.toml"), "{first:?}");
    let listed = operator.json(&["check", "--json"]);
    let names: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|job| &job["task"]["name"])
        .collect();
    assert_eq!(names, ["hello", "report", "greet"]);

    operator.write("tlo.toml", "# mine\n");
    let again = operator.tlo(&["init"]);
    assert_eq!(again.code, 0);
    assert!(again.err.contains("was left as it is"), "{again:?}");
    assert_eq!(operator.read("tlo.toml"), "# mine\n");

    operator.ok(&["init", "--config", "other.toml"]);
    operator.ok(&["check", "--config", "other.toml"]);
    let said = operator.fails(1, &["--config", "no/such/folder.toml", "init"]);
    assert!(
        said.contains("no/such/folder.toml cannot be written"),
        "{said}"
    );
}

#[test]
fn check_tells_every_mistake_at_once_with_its_place() {
    let operator = Operator::new();
    operator.write(
        "tlo.toml",
        "concurency = 3\n\
         lease = \"soon\"\n\
         [[tasks]]\n\
         name = \"a\"\n\
         cron = \"61 * * * *\"\n\
         shell = \"true\"\n\
         [[tasks]]\n\
         name = \"a\"\n\
         evry = \"5m\"\n\
         shell = \"true\"\n\
         [[tasks]]\n\
         name = \"c\"\n\
         cron = \"0 3 * * *\"\n\
         zone = \"Europe/Berln\"\n\
         shell = \"true\"\n",
    );
    let answer = operator.tlo(&["check"]);
    assert_eq!((answer.code, answer.out.as_str()), (1, ""));
    for part in [
        "tlo.toml:5:9\n  |\n5 | cron = \"61 * * * *\"\n  |         ^^\n",
        "minute 61 is outside 0 to 59",
        "tlo.toml:8:9",
        "tlo.toml:9:1",
        "evry",
        "tlo.toml:14:9",
        "Europe/Berlin",
        "tlo.toml:1:1\n",
        "1 | concurency = 3\n  | ^^^^^^^^^^\n",
        "the setting \"concurency\": there is no such setting",
        "did you mean concurrency (TLO_CONCURRENCY)?",
        "tlo.toml:2:9\n",
        "2 | lease = \"soon\"\n  |         ^^^^^^\n",
        "error: 6 errors\n",
    ] {
        assert!(
            answer.err.contains(part),
            "{part:?} is not in {}",
            answer.err
        );
    }
    // `run` says the same and runs nothing.
    let run = operator.tlo(&["run"]);
    assert_eq!((run.code, run.err), (1, answer.err));
    assert!(!operator.path("tlo.db").exists());
}

#[test]
fn check_lists_what_runs_when() {
    let operator = Operator::with_jobs(
        "[[tasks]]\nname = \"a\"\ncron = \"0 3 * * *\"\nzone = \"Europe/Berlin\"\nshell = \"true\"\n",
    );
    let answer = operator.tlo(&["check"]);
    assert_eq!(
        answer.out,
        "TASK\tZONE\tRUNS\na\tEurope/Berlin\tAt 03:00 every day\n"
    );
    assert_eq!(answer.err, "ok: 1 task\n");
    assert!(!operator.path("t.db").exists(), "check opens nothing");
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let operator = Operator::new();
    for args in [
        &["list"][..],
        &["check"],
        &["run"],
        &["stats"],
        &["doctor"],
        &["config", "show"],
        &["inspect", "x"],
        &["why", "x"],
        &["submit", "x"],
    ] {
        let said = operator.fails(1, &[args, &["--config", "nope.toml"]].concat());
        assert!(
            said.contains("nope.toml, named by --config: does not exist"),
            "{said}"
        );
        let answer = operator.tlo_with(&[("TLO_CONFIG", "nope.toml")], args);
        assert_eq!(answer.code, 1);
        assert!(
            answer
                .err
                .contains("named by environment variable TLO_CONFIG"),
            "{answer:?}"
        );
    }
    let said = operator.fails(1, &["check", "--crontab", "nope"]);
    assert!(said.contains("nope\" cannot be read"), "{said}");
    operator.write("mine.toml", "concurrency = 3\n");
    for args in [
        &["list"][..],
        &["check"],
        &["stats"],
        &["doctor"],
        &["config", "show"],
        &["explain", "@daily"],
    ] {
        operator.ok(&[args, &["--config", "mine.toml"]].concat());
        operator.ok(&[&["--config", "mine.toml"], args].concat());
    }
    assert!(
        operator.path("tlo.db").exists(),
        "the store is beside the file"
    );
}

#[test]
fn settings_say_where_they_come_from_and_hide_secrets() {
    let operator = Operator::new();
    operator.write("tlo.toml", "concurrency = 3\nqueues = [\"a\", \"b\"]\n");
    let show = |args: &[&str]| {
        let variables = [
            ("TLO_LOG_LEVEL", "DEBUG"),
            ("TLO_STRICT", "yes"),
            ("TLO_PAYLOAD_LIMIT", "4096"),
            ("TLO_TASK_STATE_STORE", "redis://me:canary@h/0?token=canary"),
            ("TLO_NAME", ""),
        ];
        operator.tlo_with(&variables, args).ok(args)
    };
    let shown: Value = serde_json::from_str(&show(&["config", "show", "--json"])).unwrap();
    let of = |key: &str| {
        let mut settings = shown.as_array().unwrap().iter();
        settings
            .find(|setting| setting["key"] == key)
            .unwrap()
            .clone()
    };
    assert_eq!(of("concurrency")["value"], 3);
    assert_eq!(of("strict")["value"], true, "as it was read");
    assert_eq!(of("payload_limit")["value"], 4096);
    let origin = of("concurrency")["origin"].as_str().unwrap().to_owned();
    assert!(
        origin.starts_with("file ") && origin.ends_with("tlo.toml"),
        "{origin}"
    );
    assert_eq!(of("queues")["value"], json!(["a", "b"]));
    assert_eq!(
        of("log_level"),
        json!({"key": "log_level", "value": "DEBUG", "origin": "environment variable TLO_LOG_LEVEL"})
    );
    assert_eq!(of("name")["origin"], "default");
    assert_eq!(
        of("lease"),
        json!({"key": "lease", "value": "30s", "origin": "default"})
    );
    for args in [
        &["config", "show"][..],
        &["config", "show", "--origin"],
        &["config", "show", "--json"],
    ] {
        let text = show(args);
        assert!(
            !text.contains("canary") && text.contains("redis://me:***@h"),
            "{text}"
        );
    }
    assert!(show(&["config", "show", "--origin"]).contains("\tdefault\n"));
    assert!(!show(&["config", "show"]).contains("default\n"));
}

#[test]
fn the_store_is_chosen_by_one_variable() {
    let operator = Operator::new();
    let store =
        |value: &str, args: &[&str]| operator.tlo_with(&[("TLO_TASK_STATE_STORE", value)], args);
    let name = |value: &str| {
        let report: Value =
            serde_json::from_str(&store(value, &["doctor", "--json"]).ok(value)).unwrap();
        report["store"]["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(name("memory"), "memory");
    assert_eq!(name("InMemoryTaskStateStore"), "memory");
    assert!(!operator.path("state").exists(), "memory needs no folder");
    assert_eq!(name("sqlite:x.db"), "sqlite");
    assert!(operator.path("x.db").exists());
    // Empty is unset: the binary's own default, in the user's state directory.
    assert_eq!(name(""), "sqlite");
    assert!(operator.path("state/tlo/tlo.db").exists());
    // An empty list says where it looked: it may have been the wrong store.
    let answer = operator.tlo(&["list"]);
    assert!(
        answer
            .err
            .starts_with("no tasks match; the store is in the file ")
            && answer.err.ends_with("/state/tlo/tlo.db\n"),
        "{answer:?}"
    );

    for args in [&["list"][..], &["doctor"], &["stats"], &["check"]] {
        let answer = store("nonsense", args);
        assert_eq!(answer.code, 1, "{answer:?}");
        assert!(answer.err.contains("TLO_TASK_STATE_STORE"), "{answer:?}");
        // More of them with more features.
        let (_, known) = answer.err.split_once("known are ").unwrap();
        let known = known.lines().next().unwrap();
        let known: Vec<&str> = known.split(", ").collect();
        assert!(
            known.contains(&"memory") && known.contains(&"sqlite"),
            "{answer:?}"
        );
    }
    assert!(
        store("sqlit:x.db", &["list"])
            .err
            .contains("did you mean sqlite?")
    );
    for args in [&["list"][..], &["run"], &["check"], &["config", "show"]] {
        let answer = operator.tlo_with(&[("TLO_TASK_STATE_STOR", "memory")], args);
        assert_eq!(answer.code, 1, "{answer:?}");
        assert!(
            answer
                .err
                .contains("did you mean task_state_store (TLO_TASK_STATE_STORE)?"),
            "{answer:?}"
        );
    }
    let answer = store("sqlite:no/such/folder/x.db", &["list"]);
    assert_eq!(answer.code, 5);
    assert!(
        answer.err.contains("does not exist; create it"),
        "{answer:?}"
    );
}

#[test]
fn a_store_that_is_locked_is_unreachable_and_named_once() {
    let operator = Operator::with_jobs("[[tasks]]\nname = \"a\"\nshell = \"true\"\n");
    operator.ok(&["submit", "a"]);
    let holder = rusqlite::Connection::open(operator.path("t.db")).unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let answer = operator.tlo_with(&[("TLO_SQLITE__BUSY_TIMEOUT", "100ms")], &["submit", "a"]);
    assert_eq!((answer.code, answer.out.as_str()), (5, ""));
    assert_eq!(answer.err.matches("kept").count(), 1, "{answer:?}");
    assert!(answer.err.contains("t.db\" locked"), "{answer:?}");
    drop(holder);
    operator.ok(&["submit", "a"]);
    assert_eq!(operator.list(&[]).len(), 2);
}

#[test]
fn a_store_that_cannot_be_used_is_said_to_be_so() {
    let operator = Operator::new();
    operator.write(
        "x.db",
        "this is no database, however long one makes this text of a hundred characters and more\n",
    );
    let answer = operator.tlo_with(&[("TLO_TASK_STATE_STORE", "sqlite:x.db")], &["list"]);
    assert_eq!(answer.code, 5);
    assert_eq!(answer.err.matches("is not a SQLite database").count(), 1);
    assert!(
        answer.err.contains("x.db") && !answer.err.contains("panicked"),
        "{answer:?}"
    );
    assert!(operator.read("x.db").starts_with("this is no database"));
}

#[test]
fn completions_are_what_their_shells_can_read() {
    let operator = Operator::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = operator.ok(&["completions", shell]);
        assert!(
            script.contains("tlo") && script.contains("inspect"),
            "{shell}"
        );
    }
    operator.write("tlo.bash", &operator.ok(&["completions", "bash"]));
    let mut bash = std::process::Command::new("bash");
    bash.args(["-n", "tlo.bash"])
        .current_dir(operator.path("."));
    assert_eq!(Answer::of(&mut bash).code, 0);
    // What bash itself completes.
    let mut bash = std::process::Command::new("bash");
    let line = "source tlo.bash; COMP_WORDS=(tlo ins); COMP_CWORD=1; _tlo tlo ins tlo; echo \"${COMPREPLY[@]}\"";
    bash.args(["-c", line]).current_dir(operator.path("."));
    assert_eq!(Answer::of(&mut bash).ok("bash"), "inspect\n");
    operator.fails(2, &["completions", "tcsh"]);
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let operator = Operator::new();
    let help = operator.ok(&["help"]);
    for part in [
        "init",
        "run",
        "check",
        "list",
        "inspect",
        "stats",
        "submit",
        "explain",
        "doctor",
        "config",
        "completions",
        "man",
        "Exit codes",
        "5 store unreachable",
        "TLO_TASK_STATE_STORE",
        "NO_COLOR",
    ] {
        assert!(help.contains(part), "{part}");
    }
    assert!(
        help.lines().all(|line| line.chars().count() <= 100),
        "{help}"
    );
    for command in [
        "init",
        "run",
        "check",
        "list",
        "inspect",
        "stats",
        "submit",
        "explain",
        "doctor",
        "config",
        "completions",
        "man",
    ] {
        let long = operator.ok(&["help", command]);
        assert_eq!(long, operator.ok(&[command, "--help"]));
        assert!(
            long.contains("Usage: tlo") && long.contains("--config"),
            "{long}"
        );
    }
    assert!(operator.ok(&["--version"]).starts_with("tlo "));
}

/// The bytes that a command writes to a terminal of 120 columns.
fn on_a_terminal(operator: &Operator, variables: &[(&str, &str)], line: &str) -> String {
    let inner = format!("stty cols 120; {} {line}", env!("CARGO_BIN_EXE_tlo"));
    let mut script = operator.command(&[]);
    let mut replaced = std::process::Command::new("script");
    replaced
        .args(["-qec", &inner, "/dev/null"])
        .current_dir(operator.path("."));
    for (name, value) in script.get_envs() {
        replaced.env(name, value.unwrap_or_default());
    }
    script.stdin(std::process::Stdio::null());
    replaced
        .env("TERM", "xterm")
        .envs(variables.iter().copied());
    Answer::of(replaced.stdin(std::process::Stdio::null())).out
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    if std::process::Command::new("script")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("SKIPPED: there is no program \"script\" to make a terminal with");
        return;
    }
    let operator =
        Operator::with_jobs("[[tasks]]\nname = \"a\"\ncron = \"61 * * * *\"\nshell = \"true\"\n");
    let coloured = |text: &str| text.contains("\u{1b}[");
    for line in [
        "stats --config none.toml",
        "check",
        "explain @daily",
        "--help",
    ] {
        let text = on_a_terminal(&operator, &[], line);
        assert!(coloured(&text), "{line}: {text}");
        for variable in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")] {
            let text = on_a_terminal(&operator, &[variable], line);
            assert!(
                !text.is_empty() && !coloured(&text),
                "{line} {variable:?}: {text:?}"
            );
        }
        let words: Vec<&str> = line.split(' ').collect();
        let piped = operator.tlo_with(&[("TERM", "xterm")], &words);
        assert!(!coloured(&piped.out) && !coloured(&piped.err), "{piped:?}");
    }
}
