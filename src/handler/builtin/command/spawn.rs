//! Starting a command.

use std::io;
use std::process::Stdio;

use rustix::process::Pid;
use tokio::process::{Child, Command};

use super::group::Group;
use super::{CommandHandler, Stdin};
use crate::handler::TaskContext;
use crate::task::TaskError;

/// A process that was started, and its group.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) child: Child,
    pub(super) group: Group,
}

pub(super) async fn spawn(
    handler: &CommandHandler,
    context: &TaskContext,
) -> Result<Process, TaskError> {
    let command = prepare(handler, context);
    let mut command = command.ok_or_else(|| {
        TaskError::fail(
            "the command is empty; it needs a program, as in [\"pg_dump\", \"-f\", \"x.sql\"]",
        )
    })?;
    let started = match &handler.run_as {
        Some(user) => user.spawn(command).await,
        None => command.spawn(),
    };
    let child = started.map_err(|error| not_started(handler, &error))?;
    let leader = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    match leader {
        Some(leader) => Ok(Process {
            child,
            group: Group::of(leader),
        }),
        None => Err(TaskError::retry(
            "the process ended before its number was known",
        )),
    }
}

fn prepare(handler: &CommandHandler, context: &TaskContext) -> Option<Command> {
    let (program, arguments) = handler.argv.split_first()?;
    let mut command = Command::new(program);
    if handler.clear_env {
        command.env_clear();
    }
    command
        .args(arguments)
        .envs(&handler.env)
        .env("TLO_TASK_ID", context.id().as_str())
        .env("TLO_TASK_NAME", context.name())
        .env("TLO_ATTEMPT", context.attempt().to_string())
        .stdin(match handler.stdin {
            Stdin::Null => Stdio::null(),
            _ => Stdio::piped(),
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    match context.slot() {
        Some(slot) => command.env("TLO_SLOT", slot.to_string()),
        // A runner that was itself started by a task has its own.
        None => command.env_remove("TLO_SLOT"),
    };
    if let Some(directory) = &handler.cwd {
        command.current_dir(directory);
    }
    Some(command)
}

/// What is wrong with the definition fails for good; what is wrong with the machine may pass.
fn not_started(handler: &CommandHandler, error: &io::Error) -> TaskError {
    let program = handler.program();
    if let Some(directory) = &handler.cwd
        && !directory.is_dir()
    {
        return TaskError::fail(format_args!(
            "the working directory {} of \"{program}\" does not exist",
            directory.display()
        ));
    }
    match error.kind() {
        io::ErrorKind::NotFound => TaskError::fail(format_args!(
            "there is no program \"{program}\"; give its full path or put it on the PATH of the worker"
        )),
        io::ErrorKind::PermissionDenied => {
            let who = handler.run_as.as_ref().map_or(String::new(), |user| {
                format!(" as user {} and group {}", user.uid, user.gid)
            });
            TaskError::fail(format_args!(
                "\"{program}\" may not be run{who}: {error}; check that it is executable"
            ))
        }
        io::ErrorKind::InvalidInput => TaskError::fail(format_args!(
            "\"{program}\" cannot be run: {error}; arguments and variables must not contain NUL"
        )),
        _ => TaskError::retry(format_args!("\"{program}\" could not be started: {error}")),
    }
}
