//! Somebody who works with the `tlo` binary in a folder of their own.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test program uses its part of this, and stops at the first surprise"
)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a `tlo run` lives that nobody stops.
pub(crate) const LONGEST: &str = "10m";

/// A folder, and the binary run in it with a bare environment.
pub(crate) struct Operator {
    folder: TempDir,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Operator {
    /// In an empty folder.
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// In a folder with this tlo.toml, on a SQLite store beside it.
    pub(crate) fn with_jobs(jobs: &str) -> Self {
        let operator = Self::new();
        operator.write(
            "tlo.toml",
            &format!("task_state_store = \"sqlite:t.db\"\n{jobs}"),
        );
        operator
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The binary with these arguments, ready to be changed.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tlo"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("XDG_STATE_HOME", self.path("state"))
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn tlo(&self, args: &[&str]) -> Answer {
        Answer::of(&mut self.command(args))
    }

    /// Runs it with further variables.
    pub(crate) fn tlo_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Answer {
        Answer::of(self.command(args).envs(variables.iter().copied()))
    }

    /// What it prints when all goes well.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        self.tlo(args).ok(args)
    }

    /// The JSON document it prints.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(args);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error} in {text}"))
    }

    /// What it says when it fails in this way.
    pub(crate) fn fails(&self, code: i32, args: &[&str]) -> String {
        let answer = self.tlo(args);
        assert_eq!(answer.code, code, "{args:?}: {answer:?}");
        answer.err
    }

    /// The records that `tlo list` gives for these further arguments.
    pub(crate) fn list(&self, args: &[&str]) -> Vec<Value> {
        let all = [&["list", "--json", "--limit", "100000"], args].concat();
        match self.json(&all) {
            Value::Array(records) => records,
            other => panic!("no list: {other}"),
        }
    }

    /// Starts `tlo run` with these further arguments and waits until its worker has started.
    pub(crate) fn run(&self, args: &[&str]) -> Running {
        let running = self.start(args);
        until("the worker starts", || {
            running.log().contains("worker started")
        });
        running
    }

    /// Starts `tlo run` with these further arguments. It ends by itself should the test be killed.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let limit: &[&str] = if args.contains(&"--for") {
            &[]
        } else {
            &["--for", LONGEST]
        };
        let mut command = self.command(&[&["run"], limit, args].concat());
        Running::of(&mut command, self.folder.path())
    }
}

impl Answer {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: code(output.status),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn ok(self, what: impl std::fmt::Debug) -> String {
        assert_eq!(self.code, 0, "{what:?}: {self:?}");
        self.out
    }
}

/// As a shell says it: 128 and the signal when it was killed by one.
pub(crate) fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}

/// A `tlo run` that goes on. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a command that writes its log to a file of its own.
    pub(crate) fn of(command: &mut Command, folder: &Path) -> Self {
        let log = (0..)
            .map(|n| folder.join(format!("run-{n}.log")))
            .find(|path| !path.exists())
            .unwrap();
        let child = command
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: &str) {
        send(signal, self.child.id());
    }

    /// Ends it as a power failure would.
    pub(crate) fn kill_9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its exit code, when it has ended by itself.
    pub(crate) fn ended(mut self) -> i32 {
        let mut status = None;
        until("tlo run ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        code(status.unwrap())
    }

    /// Ends it with SIGTERM; it must go well.
    pub(crate) fn stop(self) {
        self.signal("TERM");
        let log = self.log.clone();
        let code = self.ended();
        assert_eq!(code, 0, "{}", fs::read_to_string(log).unwrap_or_default());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal by its name without SIG.
pub(crate) fn send(signal: &str, pid: u32) {
    let sent = Command::new("kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success(), "kill -{signal} {pid}");
}

/// Whether a process is there and not a zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Waits until a condition holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let looks = PATIENCE.as_millis() / LOOK.as_millis();
    for _ in 0..looks {
        if holds() {
            return;
        }
        std::thread::sleep(LOOK);
    }
    panic!("after {PATIENCE:?} not yet: {what}");
}

/// A field of a record as text.
pub(crate) fn text<'a>(record: &'a Value, field: &str) -> &'a str {
    record[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} is no text in {record}"))
}
