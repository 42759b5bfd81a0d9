//! `--crontab` from outside: users' and system crontabs, run as cron would.

#![cfg(all(unix, feature = "cli"))]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test stops at the first surprise and says what it skips"
)]

mod operator;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use operator::{Answer, Operator, Running, text, until};
use serde_json::{Value, json};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The results of the tasks of a store, by the word that their command printed first.
fn outputs(operator: &Operator) -> Vec<String> {
    let records = operator.list(&["--oldest"]);
    let out = |record: &Value| {
        record["result"]["stdout"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    records.iter().map(out).collect()
}

#[test]
fn a_users_crontab_runs_as_it_is() {
    let operator = Operator::new();
    operator.write(
        "my.cron",
        "# a comment\n\
         \n\
         SHELL = /bin/bash\n\
         GREETING=\"hello  world\"\n\
         @reboot  echo \"1 $GREETING\"; echo $BASH | grep -c bash; pwd\n\
         @reboot\techo 2; cat%first%second \\% line%\n\
         @reboot  env | grep -c -e ^SECRET= -e ^TLO_NAME=; echo \"$LOGNAME $HOME\"\n\
         5 4 * * 1-5 true\n\
         CRON_TZ=Asia/Tokyo\n\
         0 3 * * * true tokyo\n",
    );
    let jobs = operator.json(&["check", "--json", "--crontab", "my.cron"]);
    assert_eq!(jobs.as_array().unwrap().len(), 5);
    let table = operator.ok(&["check", "--crontab", "my.cron"]);
    assert!(
        table.contains("\tAsia/Tokyo\tAt 03:00 every day\n"),
        "{table}"
    );

    let start = || {
        let mut command =
            operator.command(&["run", "--for", operator::LONGEST, "--crontab", "my.cron"]);
        command.envs([
            ("SECRET", "x"),
            ("TLO_NAME", "me"),
            ("TLO_TASK_STATE_STORE", "sqlite:t.db"),
        ]);
        Running::of(&mut command, &operator.path("."))
    };
    operator.write("tlo.toml", "task_state_store = \"sqlite:t.db\"\n");
    let running = start();
    until("all have run", || {
        operator.list(&["--status", "succeeded,failed"]).len() == 3
    });
    let log = running.log();
    assert!(
        log.contains("next 20") && log.contains("once per boot"),
        "{log}"
    );
    running.stop();
    let mut seen = outputs(&operator);
    seen.sort();
    assert!(
        seen[0].starts_with("0\n"),
        "no variable of the runner gets through: {seen:?}"
    );
    assert!(seen[1].starts_with("1 hello  world\n1\n/"), "{seen:?}");
    assert_eq!(seen[2], "2\nfirst\nsecond % line\n", "{seen:?}");
    for record in operator.list(&[]) {
        assert!(text(&record, "id").contains("@boot:"), "{record}");
    }

    // The machine has not been started again, so neither have they.
    let running = start();
    until("it is up again", || {
        running.log().contains("worker started")
    });
    running.stop();
    assert_eq!(operator.list(&[]).len(), 3);
}

#[test]
fn bad_lines_are_refused_by_line_and_nothing_runs() {
    let operator = Operator::new();
    operator.write("tlo.toml", "task_state_store = \"sqlite:t.db\"\n");
    operator.write(
        "bad.cron",
        "@reboot echo fine\n61 * * * * true\n* * * true\n0 3 * * *\nCRON_TZ=Mars/Base\n",
    );
    for command in ["check", "run"] {
        let said = operator.fails(1, &[command, "--crontab", "bad.cron"]);
        for part in [
            "bad.cron:2:1\n",
            "61 * * * * true",
            "bad.cron:3:",
            "bad.cron:4:",
            "bad.cron:5:",
            "error: 4 errors",
        ] {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
    }
    assert!(!operator.path("t.db").exists());
    let said = operator.fails(1, &["run", "--crontab", "none.cron"]);
    assert!(said.contains("\"none.cron\" cannot be read"), "{said}");
}

#[test]
fn the_path_or_the_option_says_whether_lines_name_the_user() {
    let operator = Operator::new();
    std::fs::create_dir_all(operator.path("etc/cron.d")).unwrap();
    let me = own_name();
    let line = format!("17 * * * * {me} true --hourly\n");
    operator.write("etc/cron.d/job", &line);
    operator.write("job", &line);
    for args in [
        &["--crontab", "etc/cron.d/job"][..],
        &["--system-crontab", "job"],
    ] {
        let jobs = operator.json(&[&["check", "--json"], args].concat());
        assert_eq!(
            jobs[0]["command"]["run"]["shell"]["line"],
            json!("true --hourly"),
            "{jobs}"
        );
    }
    let mut inside = operator.command(&["check", "--json", "--crontab", "cron.d/job"]);
    let answer = Answer::of(inside.current_dir(operator.path("etc")));
    assert!(answer.ok("inside etc").contains("\"true --hourly\""));
}

#[test]
fn a_folder_of_crontabs_is_read_as_cron_reads_it() {
    let operator = Operator::new();
    std::fs::create_dir_all(operator.path("etc/cron.d/folder")).unwrap();
    let me = own_name();
    for name in ["one", "two-2", "left.dpkg-old", "backup~", ".placeholder"] {
        operator.write(
            &format!("etc/cron.d/{name}"),
            &format!("@daily {me} echo {name}\n"),
        );
    }
    let jobs = operator.json(&["check", "--json", "--crontab", "etc/cron.d"]);
    let lines: Vec<_> = jobs
        .as_array()
        .unwrap()
        .iter()
        .map(|job| &job["command"]["run"]["shell"]["line"])
        .collect();
    assert_eq!(lines, ["echo one", "echo two-2"]);
}

fn own_name() -> String {
    let id = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}

#[test]
fn root_runs_each_line_as_its_user() {
    if !is_root() {
        eprintln!(
            "SKIPPED: only root can run commands as others; run the tests as root for this one"
        );
        return;
    }
    let operator = Operator::with_jobs("");
    operator.write(
        "system.cron",
        "@reboot nobody echo \"1 $(id -un) $LOGNAME $(id -G)\"\n\
         @reboot root echo \"2 $(id -un) $LOGNAME $HOME\"\n",
    );
    let running = operator.run(&["--system-crontab", "system.cron"]);
    until("both have run", || {
        operator.list(&["--status", "succeeded,failed"]).len() == 2
    });
    running.stop();
    let mut seen = outputs(&operator);
    seen.sort();
    assert!(seen[0].starts_with("1 nobody nobody 65534"), "{seen:?}");
    assert!(!seen[0].contains(" 0 "), "{seen:?}");
    assert!(seen[1].starts_with("2 root root /"), "{seen:?}");

    operator.write("ghost.cron", "@reboot root true\n@reboot ghost true\n");
    let said = operator.fails(1, &["run", "--system-crontab", "ghost.cron"]);
    assert!(
        said.contains("there is no user \"ghost\"") && said.contains("ghost.cron:2:9"),
        "{said}"
    );
}

#[test]
fn a_command_that_begins_with_a_user_is_doubted_unless_it_is_a_program() {
    let operator = Operator::new();
    operator.write(
        "own.cron",
        "*/5 * * * * nobody /bin/true\n*/5 * * * * no-such-user /bin/true\n\
         PATH=/nowhere:bin\n*/5 * * * * daemon -x\n*/5 * * * * bin -x\n",
    );
    // There is a user \"bin\" as well; here that is a program.
    std::fs::create_dir(operator.path("bin")).unwrap();
    operator.write("bin/bin", "");
    let answer = operator.tlo(&["check", "--crontab", "own.cron"]);
    assert_eq!(answer.code, 0, "{answer:?}");
    for part in [
        "warning: \"nobody\" would be run as a command, and is the name of a user\n --> own.cron:1:13\n",
        "warning: \"daemon\" would be run as a command, and is the name of a user\n --> own.cron:4:13\n",
        "ok: 4 tasks, 2 warnings",
    ] {
        assert!(
            answer.err.contains(part),
            "{part:?} is not in {}",
            answer.err
        );
    }
    let answer = operator.tlo(&["check", "--system-crontab", "own.cron"]);
    assert!(!answer.err.contains("name of a user"), "{answer:?}");
}

#[test]
fn others_may_only_be_themselves() {
    let operator = Operator::new();
    operator.write(
        "system.cron",
        "@reboot nobody true\n@reboot root true\n@reboot daemon true\n",
    );
    let args = ["check", "--system-crontab", "system.cron"];
    let answer = if is_root() {
        // A copy that everybody may run.
        std::fs::copy(env!("CARGO_BIN_EXE_tlo"), operator.path("tlo")).unwrap();
        std::fs::set_permissions(operator.path("."), std::fs::Permissions::from_mode(0o755))
            .unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
            .arg(operator.path("tlo"));
        command.args(args).current_dir(operator.path("."));
        if command.output().is_err() {
            eprintln!("SKIPPED: there is no program \"setpriv\" to become somebody else with");
            return;
        }
        Answer::of(&mut command)
    } else {
        operator.tlo(&args)
    };
    assert_eq!(answer.code, 1, "{answer:?}");
    for part in [
        "system.cron:2:9",
        "this runs as \"root\", which only root can start",
        "system.cron:3:9",
    ] {
        assert!(answer.err.contains(part), "{part:?} is not in {answer:?}");
    }
    if is_root() {
        assert!(
            !answer.err.contains("system.cron:1:"),
            "nobody may be nobody: {answer:?}"
        );
    }
}
