//! `tlo run`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::args::RunArgs;
use crate::cli::jobs::{CommandInput, Job};
use crate::cli::{logging, output, program};
use crate::context::TloContextBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::handler::Task;
use crate::handler::builtin::{CommandHandler, RunAs, Stdin};
use crate::handler::layers::{Layer, Panic};
use crate::observe::TracingObserver;
use crate::plugin::PluginTable;
use crate::runner::Runner;
use crate::schedule::parse_duration;

/// Fires schedules and runs tasks until a signal, or for as long as asked.
///
/// # Errors
/// `Configuration` with every mistake of the files, and those of opening the store.
pub(super) async fn run(
    config: Option<&Path>,
    args: RunArgs,
    context: TloContextBuilder,
) -> Result<ExitCode> {
    let mut source = program::settings(config)?;
    if let Some(concurrency) = args.concurrency {
        source = source.set_by("argument --concurrency", "concurrency", concurrency);
    }
    let limit = args.limit.as_deref().map(parse_duration).transpose()?;
    let jobs = program::jobs(&source, &args.crontab)?;
    program::report(
        &jobs,
        &source.clone().sections(PluginTable::builtin().sections()),
    )?;
    for note in &jobs.notes {
        output::say(note);
    }
    let commands = jobs.jobs.len();
    let tlo = context
        .settings(source)
        .tasks(jobs.jobs.into_iter().map(command_task))
        .observer(TracingObserver)
        .build()
        .await?;
    logging::start(tlo.settings().log_level);
    let known = tlo.registry().list().await?;
    if known.is_empty() {
        return Err(Error::new(
            ErrorKind::Configuration,
            "run",
            "there is nothing to run: no tlo.toml with [[tasks]] and no --crontab; start with `tlo init`",
        ));
    }
    let scheduled = known.iter().filter(|def| def.schedule.is_some()).count();
    let store = tlo.store().capability();
    output::say(&format!(
        "tlo {} · pid {} · {} tasks ({scheduled} scheduled, {commands} commands) · {} at once · {}: {}",
        env!("CARGO_PKG_VERSION"),
        std::process::id(),
        known.len(),
        tlo.settings().concurrency,
        store.name,
        store.promise,
    ));
    let clock = Arc::clone(tlo.clock());
    let runner = Runner::new(tlo);
    let handle = runner.handle();
    let running = runner.run();
    tokio::pin!(running);
    match limit {
        Some(limit) => tokio::select! {
            done = &mut running => done?,
            () = clock.sleep(limit) => {
                handle.stop();
                running.await?;
            }
        },
        None => running.await?,
    }
    Ok(ExitCode::SUCCESS)
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
        handler = handler.cwd(directory);
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
