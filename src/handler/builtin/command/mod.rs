//! [`CommandHandler`]: a program run as a task.

mod capture;
mod group;
mod report;
mod run_as;
mod spawn;
mod supervise;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;

pub use self::run_as::RunAs;
use self::supervise::Limits;
use crate::handler::{Handler, TaskContext};
use crate::payload::Payload;
use crate::task::{Ended, Outcome, TaskError};

/// What a program may print before the middle is left out, for each of its two outputs.
const OUTPUT_CAP: usize = 64 * 1024;

/// How long a program has between being asked to end and being killed.
const GRACE: Duration = Duration::from_secs(5);

/// What a program reads from its standard input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stdin {
    /// The args of the task as JSON.
    #[default]
    ArgsJson,
    /// This text.
    Text(String),
    /// Nothing.
    Null,
}

/// Runs a program: each task is one process, in a process group of its own.
///
/// It reads the args of the task as JSON from its standard input (closing it early is no failure) and finds
/// `TLO_TASK_ID`, `TLO_TASK_NAME`, `TLO_ATTEMPT` and, for an occurrence of a schedule, `TLO_SLOT` in its environment.
///
/// - Exit code 0 is success; the result is `{"exit_code", "signal", "stdout", "stderr", "truncated"}`. Of each output
///   the first and the last 32 KiB are kept.
/// - Another exit code, or a signal, is an error that is tried again; its text has the code or signal and the end of
///   what the program said.
/// - What a run leaves that did not succeed, also one that timed out or was told to end, becomes the progress of the
///   task: the report as above and the number of its `attempt`. A later run that fails takes its place.
/// - A program that does not exist or may not be run fails for good.
/// - When the task is cancelled, times out, or its run is dropped, the whole group gets SIGTERM and, after the grace,
///   SIGKILL: its children end with it. What a program leaves in the background when it ends by itself goes on.
///
/// ```
/// use tlo::handler::{builtin::CommandHandler, task};
/// let backup = task("backup")
///     .cron("0 3 * * *")
///     .timeout("10m")
///     .run(CommandHandler::new(["pg_dump", "-f", "/var/backups/db.sql"]).env("PGHOST", "db"));
/// # backup.check()?;
/// # Ok::<(), tlo::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CommandHandler {
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    clear_env: bool,
    cwd: Option<PathBuf>,
    run_as: Option<RunAs>,
    stdin: Stdin,
    output_cap: usize,
    grace: Duration,
}

impl CommandHandler {
    /// A program and its arguments. No shell reads them.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            clear_env: false,
            cwd: None,
            run_as: None,
            stdin: Stdin::default(),
            output_cap: OUTPUT_CAP,
            grace: GRACE,
        }
    }

    /// A command line for `/bin/sh`.
    #[must_use]
    pub fn shell(line: impl Into<String>) -> Self {
        Self::shell_of("/bin/sh", line)
    }

    /// A command line for this shell.
    #[must_use]
    pub fn shell_of(shell: impl Into<String>, line: impl Into<String>) -> Self {
        Self::new([shell.into(), "-c".to_owned(), line.into()])
    }

    /// The program and its arguments.
    #[must_use]
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Starts with an empty environment instead of this process's.
    #[must_use]
    pub fn clear_env(mut self) -> Self {
        self.clear_env = true;
        self
    }

    /// The directory it runs in; this process's unless given.
    #[must_use]
    pub fn cwd(mut self, directory: impl Into<PathBuf>) -> Self {
        self.cwd = Some(directory.into());
        self
    }

    /// Runs it as another user, which only root may do.
    #[must_use]
    pub fn run_as(mut self, user: RunAs) -> Self {
        self.run_as = Some(user);
        self
    }

    /// What it reads from its standard input; the args as JSON unless given.
    #[must_use]
    pub fn stdin(mut self, stdin: Stdin) -> Self {
        self.stdin = stdin;
        self
    }

    /// How many bytes of each output are kept: half from its start, half from its end. 64 KiB unless given.
    #[must_use]
    pub fn output_cap(mut self, bytes: usize) -> Self {
        self.output_cap = bytes;
        self
    }

    /// How long its group has between SIGTERM and SIGKILL; 5 seconds unless given.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The program's name, for messages.
    fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }
}

#[async_trait]
impl Handler for CommandHandler {
    async fn run(&self, context: TaskContext, args: Payload) -> Ended {
        if let Some(why) = context.interruption() {
            return why.ended();
        }
        let process = match spawn::spawn(self, &context).await {
            Ok(process) => process,
            Err(error) => return Ended::Returned(Outcome::Error(error)),
        };
        // Killing takes longer than a function needs to notice a token.
        context.need_grace(self.grace.saturating_add(Duration::from_secs(2)));
        let input = match &self.stdin {
            Stdin::ArgsJson => Some(args.as_str().to_owned()),
            Stdin::Text(text) => Some(text.clone()),
            Stdin::Null => None,
        };
        let limits = Limits {
            output_cap: self.output_cap,
            grace: self.grace,
        };
        let supervised = supervise::start(process, input, limits, &context);
        match supervised.ended().await {
            Ok(exit) => report::ended(&exit, &context),
            Err(error) => Ended::Returned(Outcome::Error(TaskError::retry(format_args!(
                "the program \"{}\" was lost sight of: {error}",
                self.program()
            )))),
        }
    }
}
