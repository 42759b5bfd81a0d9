//! One file for each command.

mod banner;
mod check;
mod config;
mod doctor;
pub(super) mod explain;
mod init;
pub(super) mod inspect;
pub(super) mod list;
pub(super) mod logs;
pub(super) mod man;
mod run;
pub(super) mod stats;
pub(super) mod submit;

use std::process::ExitCode;

use clap::CommandFactory;

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
        Command::Run(args) => return run::run(config, args, context).await,
        Command::Check(args) => check::run(config, &args, &context)?,
        Command::Explain(args) => explain::run(&SystemClock, &args)?,
        Command::Config(command) => config::run(config, &command, &context)?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), program, &mut script);
            output::raw(&script)?;
        }
        Command::Man(args) => man::run(Cli::command(), program, &args)?,
        command => {
            let source = program::settings(config, &context)?;
            let tlo = program::open(source, context).await?;
            // What such a command meets is in its error already; only who asks for it gets the log as well.
            logging::start(match tlo.loaded().origin("log_level").as_str() {
                "default" => LogLevel::Off,
                _ => tlo.settings().log_level,
            });
            let client = tlo.client();
            match command {
                Command::List(args) => list::run(&tlo, args).await?,
                Command::Inspect(args) => inspect::run(&client, args).await?,
                Command::Logs(args) => logs::run(&client, args).await?,
                Command::Stats(args) => stats::run(&client, args).await?,
                Command::Submit(args) => return submit::run(&tlo, args).await,
                Command::Doctor(args) => return doctor::run(&tlo, &args).await,
                _ => {}
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
