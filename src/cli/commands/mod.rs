//! One file for each command.

mod banner;
pub(super) mod bench;
mod check;
mod config;
mod doctor;
pub(super) mod explain;
mod filters;
mod init;
pub(super) mod inspect;
pub(super) mod list;
pub(super) mod logs;
pub(super) mod man;
pub(super) mod migrate_store;
pub(super) mod monitor;
pub(super) mod peek;
mod run;
pub(super) mod stats;
pub(super) mod steer;
pub(super) mod submit;
mod submit_lines;
pub(super) mod why;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::CommandFactory;

use self::run::Fires;
use super::args::{Cli, Command};
use super::{logging, output, program};
use crate::clock::SystemClock;
use crate::context::TloContextBuilder;
use crate::error::Result;
use crate::settings::LogLevel;

/// Runs the command of these arguments; `program` is what people call it by.
pub(super) async fn run(cli: Cli, context: TloContextBuilder, program: &str) -> Result<ExitCode> {
    let config = cli.config.as_deref();
    match cli.command {
        Command::Init => init::run(config)?,
        Command::Run(args) => return run::run(config, args, context, Fires::Schedules).await,
        Command::Worker(args) => return run::run(config, args, context, Fires::Nothing).await,
        Command::Bench(args) => return bench::run(&args).await,
        Command::Check(args) => check::run(config, &args, &context)?,
        Command::Explain(args) => explain::run(&SystemClock, &args)?,
        Command::Config(command) => config::run(config, &command, &context)?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), program, &mut script);
            output::raw(&script)?;
        }
        Command::MigrateStore(args) => return migrate_store::run(config, &args, &context).await,
        Command::Man(args) => man::run(Cli::command(), program, &args)?,
        command => {
            let source = program::settings(config, &context)?;
            let tlo = program::open(source, context).await?;
            // What such a command meets is in its error already; only who asks for it gets the log as well.
            let screen =
                matches!(&command, Command::Monitor(args) if monitor::takes_the_terminal(args));
            logging::start(match tlo.loaded().origin("log_level").as_str() {
                "default" => LogLevel::Off,
                // Lines of a log would stand in the middle of it.
                _ if screen && std::io::stderr().is_terminal() => LogLevel::Off,
                _ => tlo.settings().log_level,
            });
            let client = tlo.client();
            match command {
                Command::List(args) => list::run(&tlo, args).await?,
                Command::Peek(args) => peek::run(&tlo, &args).await?,
                Command::Monitor(args) => monitor::run(&tlo, args).await?,
                Command::Inspect(args) => inspect::run(&client, args).await?,
                Command::Logs(args) => logs::run(&client, args).await?,
                Command::Stats(args) => stats::run(&client, args).await?,
                Command::Submit(args) => return submit::run(&tlo, args).await,
                Command::Cancel(args) => return steer::verbs::cancel(&tlo, args).await,
                Command::Revive(args) => return steer::verbs::revive(&tlo, args).await,
                Command::Move(args) => return steer::verbs::move_to(&tlo, args).await,
                Command::Reprioritise(args) => return steer::verbs::reprioritise(&tlo, args).await,
                Command::Reschedule(args) => return steer::verbs::reschedule(&tlo, args).await,
                Command::Purge(args) => return steer::verbs::purge(&tlo, args).await,
                Command::Dead(args) => return steer::dead::run(&tlo, args).await,
                Command::Pause(args) => steer::pause::pause(&tlo, args).await?,
                Command::Resume(args) => steer::pause::resume(&tlo, args).await?,
                Command::Limit(args) => steer::limit::run(&tlo, args).await?,
                Command::Trigger(args) => steer::trigger::run(&tlo, &args).await?,
                Command::Audit(args) => steer::audit::run(&client, &args).await?,
                Command::Why(args) => why::run(&client, &args).await?,
                Command::Doctor(args) => return doctor::run(&tlo, &args).await,
                _ => {}
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
