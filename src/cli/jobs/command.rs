//! [`CommandSpec`]: a command as it was written down, before anything runs it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::schedule::optional_duration_text;

/// What to run and in which surroundings. Plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandSpec {
    /// The program and its words, or a line for a shell.
    pub run: Invocation,
    /// Variables that are set for it.
    pub env: BTreeMap<String, String>,
    /// Whether it also gets the variables of the runner; commands of crontabs do not.
    pub inherit_env: bool,
    /// Where it runs; `None` is where the runner runs.
    pub cwd: Option<PathBuf>,
    /// Whom it runs as; `None` is whoever runs TLO.
    pub user: Option<Account>,
    /// What it reads.
    pub stdin: CommandInput,
    /// How long it may take to end when it is told to, before it is killed; `None` as the settings say.
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "optional_duration_text"
    )]
    pub kill_grace: Option<Duration>,
}

/// How a command is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Invocation {
    /// A program and its words, without a shell.
    Argv(Vec<String>),
    /// `SHELL -c LINE`.
    Shell {
        /// The path of the shell.
        shell: String,
        /// The line that it reads.
        line: String,
    },
}

impl Invocation {
    /// The program and its words.
    #[must_use]
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Argv(words) => words.clone(),
            Self::Shell { shell, line } => vec![shell.clone(), "-c".to_owned(), line.clone()],
        }
    }
}

/// What a command reads on its standard input.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandInput {
    /// The args of the task as JSON.
    #[default]
    Args,
    /// This text.
    Text(String),
    /// Nothing.
    Empty,
}

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The login name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The first group id.
    pub gid: u32,
    /// All group ids, the first one too, in ascending order.
    pub groups: Vec<u32>,
    /// The home directory.
    pub home: PathBuf,
}

impl CommandSpec {
    /// A command in the runner's own surroundings that reads the args.
    #[must_use]
    pub fn new(run: Invocation) -> Self {
        Self {
            run,
            env: BTreeMap::new(),
            inherit_env: true,
            cwd: None,
            user: None,
            stdin: CommandInput::Args,
            kill_grace: None,
        }
    }
}
