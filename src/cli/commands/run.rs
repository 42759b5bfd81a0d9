//! `tlo run`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::banner;
use crate::cli::args::RunArgs;
use crate::cli::jobs::{CommandInput, Job};
use crate::cli::{logging, program};
use crate::context::TloContextBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::handler::Task;
use crate::handler::builtin::{CommandHandler, RunAs, Stdin};
use crate::handler::layers::{Layer, Panic};
use crate::observe::TracingObserver;
use crate::runner::Runner;
use crate::settings::SettingsSource;

/// Whether a process fires schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fires {
    Schedules,
    Nothing,
}

/// Fires schedules and runs tasks until a signal, or for as long as asked.
///
/// # Errors
/// `Configuration` with every mistake of the files, and those of opening the store.
pub(super) async fn run(
    config: Option<&Path>,
    args: RunArgs,
    context: TloContextBuilder,
    fires: Fires,
) -> Result<ExitCode> {
    let mut source = program::settings(config, &context)?;
    if let Some(concurrency) = args.concurrency {
        source = source.set_by("argument --concurrency", "concurrency", concurrency);
    }
    if !args.queue.is_empty() {
        source = source.set_by("argument --queue", "queues", &args.queue);
    }
    let mut jobs = program::jobs(&source, Some(&args.crontabs), &context)?;
    program::report(&mut jobs, &source, &context.plugin_table())?;
    if jobs.jobs.is_empty() && context.definitions().next().is_none() {
        return Err(nothing(&source, &args));
    }
    program::make_state_directory(&source)?;
    let context = jobs
        .rates()
        .fold(context, |context, (target, limits)| {
            context.limit(target, limits)
        })
        .settings(source.clone())
        .tasks(std::mem::take(&mut jobs.jobs).into_iter().map(command_task))
        .observer(TracingObserver);
    let tlo = program::build(context, &source).await?;
    logging::start(tlo.settings().log_level);
    banner::show(&tlo, &jobs.notes, fires).await?;
    let clock = Arc::clone(tlo.clock());
    let runner = match fires {
        Fires::Schedules => Runner::new(tlo),
        Fires::Nothing => Runner::new(tlo).without_schedules(),
    };
    let handle = runner.handle();
    let running = runner.run_until_signal();
    tokio::pin!(running);
    let forced = match args.limit {
        Some(limit) => tokio::select! {
            done = &mut running => done?,
            () = clock.sleep(limit) => {
                handle.stop();
                running.await?
            }
        },
        None => running.await?,
    };
    Ok(forced.map_or(ExitCode::SUCCESS, |signal| {
        ExitCode::from(signal.exit_code())
    }))
}

/// The way out for who starts with nothing.
fn nothing(source: &SettingsSource, args: &RunArgs) -> Error {
    let file = source.file_path().filter(|file| file.is_file());
    let why = match (file, args.crontabs.is_empty()) {
        (Some(file), true) => format!("{} has no [[tasks]]", file.display()),
        (None, true) => "there is no tlo.toml in this folder".to_owned(),
        (_, false) => "the crontabs have no commands".to_owned(),
    };
    let message = format!(
        "there is nothing to run: {why}\n  \
         tlo init                  writes a tlo.toml with examples\n  \
         tlo run --config FILE     runs another jobs file\n  \
         tlo run --crontab FILE    runs a crontab"
    );
    Error::new(ErrorKind::Configuration, "run", message)
}

/// The task of a job: its definition, and the command as handler.
fn command_task(job: Job) -> Task {
    let command = job.command;
    let mut handler = CommandHandler::new(command.run.argv()).stdin(match command.stdin {
        CommandInput::Args => Stdin::ArgsJson,
        CommandInput::Text(text) => Stdin::Text(text),
        CommandInput::Empty => Stdin::Null,
    });
    if !command.inherit_env {
        handler = handler.clear_env();
    }
    for (name, value) in command.env {
        handler = handler.env(name, value);
    }
    if let Some(directory) = command.cwd {
        // As with cron, a user without a home, such as nobody, is no reason not to run.
        let homeless = !command.inherit_env && !directory.is_dir();
        handler = handler.cwd(if homeless { "/".into() } else { directory });
    }
    if let Some(user) = command.user {
        handler = handler.run_as(RunAs {
            uid: user.uid,
            gid: user.gid,
            groups: user.groups,
        });
    }
    if let Some(grace) = command.kill_grace {
        handler = handler.grace(grace);
    }
    Task {
        def: job.def,
        handler: Some(Panic.wrap(Arc::new(handler))),
        error: None,
    }
}
