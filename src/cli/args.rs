//! The arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::commands::explain::ExplainArgs;
use super::commands::inspect::InspectArgs;
use super::commands::list::ListArgs;
use super::commands::stats::StatsArgs;
use super::commands::submit::SubmitArgs;

/// Runs background work: recurring commands and tasks on one durable store.
#[derive(Clone, Debug, Parser)]
#[command(name = "tlo", version, propagate_version = true)]
#[command(
    after_help = "Settings come from the file, then TLO_* variables, then options: `tlo config show --origin`."
)]
pub struct Cli {
    /// The jobs file; by default TLO_CONFIG, else tlo.toml in this folder
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// Write a commented tlo.toml
    Init,
    /// Fire schedules and run tasks until Ctrl-C
    Run(RunArgs),
    /// Say everything that is wrong with the jobs file and crontabs, without running anything
    Check(CheckArgs),
    /// List tasks, the newest first
    List(ListArgs),
    /// Show everything about one task
    Inspect(InspectArgs),
    /// Count tasks by status, queue, name and error
    Stats(StatsArgs),
    /// Submit a task by its name
    Submit(SubmitArgs),
    /// Say what a schedule means, when it runs next, and what happens when clocks change
    Explain(ExplainArgs),
    /// Check the store and say what it promises
    Doctor(DoctorArgs),
    /// Show the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What `tlo run` runs.
#[derive(Args, Clone, Debug)]
pub(super) struct RunArgs {
    /// A crontab to run as well, as cron would; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(super) crontab: Vec<PathBuf>,
    /// Tasks that run at once
    #[arg(long, value_name = "N")]
    pub(super) concurrency: Option<usize>,
    /// Only fire schedules and run tasks for this long, then stop
    #[arg(long = "for", value_name = "DURATION")]
    pub(super) limit: Option<String>,
}

/// What `tlo check` checks.
#[derive(Args, Clone, Debug)]
pub(super) struct CheckArgs {
    /// A crontab to check as well; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(super) crontab: Vec<PathBuf>,
    /// Print the tasks as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// How to print what the doctor found.
#[derive(Args, Clone, Debug)]
pub(super) struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// About settings.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print every setting
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}
