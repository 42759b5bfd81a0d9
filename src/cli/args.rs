//! The arguments.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use super::commands::bench::BenchArgs;
use super::commands::explain::ExplainArgs;
use super::commands::inspect::InspectArgs;
use super::commands::list::ListArgs;
use super::commands::logs::LogsArgs;
use super::commands::man::ManArgs;
use super::commands::migrate_store::MigrateStoreArgs;
use super::commands::monitor::MonitorArgs;
use super::commands::peek::PeekArgs;
use super::commands::stats::StatsArgs;
use super::commands::steer::audit::AuditArgs;
use super::commands::steer::dead::DeadArgs;
use super::commands::steer::limit::LimitArgs;
use super::commands::steer::pause::{PauseArgs, ResumeArgs};
use super::commands::steer::trigger::TriggerArgs;
use super::commands::steer::verbs::{
    CancelArgs, MoveArgs, PurgeArgs, ReprioritiseArgs, RescheduleArgs, ReviveArgs,
};
use super::commands::submit::SubmitArgs;
use super::commands::why::WhyArgs;
use super::output::ListFormat;
use crate::schedule::parse_duration;

const MORE: &str = "`tlo help` says more, `tlo help COMMAND` says everything about one command.";

const MANUAL: &str = "\
Begin:
  tlo init                                write a commented tlo.toml
  tlo check                               say what is wrong with it, and what it runs when
  tlo run                                 run it; Ctrl-C stops when what runs has ended
  tlo run --crontab /etc/crontab          run a crontab as well
  tlo list --status failed                what went wrong lately
  tlo monitor                             what waits, runs and has ended, live
  tlo inspect ID                          everything about one run: output, errors, attempts
  tlo why ID                              what it waits for, or how it came to its end
  tlo dead                                what failed, grouped by error
  tlo pause queue mail --reason TEXT      nothing of it starts until `tlo resume queue mail`
  tlo explain \"0 3 * * *\" --zone Europe/Berlin

Settings, the weakest first:
  defaults, the jobs file, TLO_* variables, options;
  `tlo config show --origin` shows what came from where.
  The jobs file is --config, else TLO_CONFIG, else tlo.toml in this folder.
  TLO_TASK_STATE_STORE says where tasks live: sqlite:PATH, or memory. By
  default that is tlo.db beside the jobs file, and without one in the
  user's state directory.

Output:
  Data goes to standard output, talk to standard error. Tables are aligned
  on a terminal and tab-separated in a pipe; --json prints one document,
  and --jsonl one a line of what is a list. All instants are UTC.
  --color always|never switches colours; so do NO_COLOR and TERM=dumb.

Exit codes:
  0 ok · 1 failure, mistakes, or damage that doctor found
  2 usage · 3 not found · 4 conflict
  5 store unreachable · 6 waited too long · 7 the awaited task failed
  130 interrupted twice · 143 terminated twice";

/// Runs background work: recurring commands and tasks on one durable store.
#[derive(Clone, Debug, Parser)]
#[command(name = "tlo", version)]
#[command(after_help = MORE, after_long_help = MANUAL)]
pub struct Cli {
    /// The jobs file; by default TLO_CONFIG, else tlo.toml in this folder
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// When to use colours; by default on terminals that have them
    #[arg(long, global = true, value_name = "WHEN", value_parser = ["auto", "always", "never"])]
    pub(super) color: Option<String>,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// Write a commented tlo.toml
    Init,
    /// Fire schedules and run tasks until Ctrl-C
    ///
    /// Runs what the jobs file and the crontabs say, and remembers every run in the store. Several processes may share
    /// one store: each slot of a schedule runs once.
    ///
    /// Ctrl-C or SIGTERM stops: nothing new is started, and what runs may finish for `drain_timeout` (30s). A second
    /// one stops at once: what still runs is told to end and handed back, to be run again.
    Run(RunArgs),
    /// Run tasks until Ctrl-C, without firing schedules
    ///
    /// As `tlo run`, and it leaves the schedules to others. Several may share one store with a `tlo run`.
    Worker(RunArgs),
    /// Say everything that is wrong with the jobs file and crontabs, running nothing
    ///
    /// With --json or --jsonl it prints the tasks and exits with 0, or the mistakes with level, file, line, column,
    /// message and help, and exits with 1.
    Check(CheckArgs),
    /// List tasks, the newest first
    List(ListArgs),
    /// Watch what waits, runs and has ended
    ///
    /// A live table that shows what changes as it changes. Tab or 0 to 3 switches between all tasks, those that wait, run, and
    /// have ended; j and k go by a line, space and b by a page, g and G to the top and the end; Enter shows everything
    /// about a task, Escape goes back, q or Ctrl-C ends. Without a terminal, or with --once or --json, it prints one snapshot.
    Monitor(MonitorArgs),
    /// Show what starts next in a queue, in its order
    Peek(PeekArgs),
    /// Show everything about one task
    Inspect(InspectArgs),
    /// Say why a task or a slot of a schedule is where it is
    ///
    /// Prints the chain of decisions: who made it, each attempt and its end, who steered it, and what it waits for: a time,
    /// a gate and who holds it, a pause and who paused it, a worker that knows its name, or others that start first. Of a
    /// slot it says whether it fired, was skipped and why, or is still to come.
    Why(WhyArgs),
    /// Print what the runs of a task said
    ///
    /// What handlers log is there within about a second, also while they run. What the last run of a command printed is
    /// there when it has ended.
    Logs(LogsArgs),
    /// Count tasks by status, queue, name and error
    Stats(StatsArgs),
    /// Submit a task by its name
    ///
    /// Prints its id, or with --wait its result. The jobs file says what the names mean; a process with `tlo run` on
    /// the same store runs it.
    Submit(SubmitArgs),
    /// Run a recurring task once, now
    ///
    /// As if a slot of its schedule had come: with its args and its rule of overlapping. Its slots go on as before.
    Trigger(TriggerArgs),
    /// Cancel tasks: at once while they wait; what runs is asked to stop
    Cancel(CancelArgs),
    /// Run failed tasks again, and cancelled ones
    ///
    /// They keep their ids and their history, and get a fresh budget of attempts. With a filter it takes failed ones unless
    /// --status says otherwise.
    Revive(ReviveArgs),
    /// Show what failed, grouped by error, and run a group again
    Dead(DeadArgs),
    /// Move waiting tasks to another queue
    Move(MoveArgs),
    /// Give waiting tasks another priority
    #[command(alias = "reprioritize")]
    Reprioritise(ReprioritiseArgs),
    /// Make waiting tasks due at another time
    Reschedule(RescheduleArgs),
    /// Remove tasks that have ended
    ///
    /// With --status pending those that wait, too. Their records are gone for good.
    Purge(PurgeArgs),
    /// Pause a queue, a task, a schedule or a key, in the whole cluster; or list what is paused
    ///
    /// What runs goes on, and what is submitted waits.
    Pause(PauseArgs),
    /// Let a queue, a task, a schedule or a key go on
    ///
    /// Slots that passed while a schedule was paused are not made up for.
    Resume(ResumeArgs),
    /// Limit how many of a queue, a task or a key run at once, and how often they start; or list the limits
    ///
    /// It holds from now on, in the whole cluster, and above what tasks and jobs files say.
    Limit(LimitArgs),
    /// Show who steered what, when and why
    Audit(AuditArgs),
    /// Measure throughput and latency on a throw-away store
    Bench(BenchArgs),
    /// Say what a schedule means, when it runs next, and what it does when clocks change
    Explain(ExplainArgs),
    /// Check the store and this machine, and say what is promised
    ///
    /// Exits with 1 when what is stored is damaged; a warning of anything else is no failure.
    Doctor(DoctorArgs),
    /// Copy everything from one store to another
    ///
    /// Copies tasks with their histories, logs, schedules, pauses, limits and audit, then compares both sides by counts and
    /// checksums. Nothing that FROM holds is changed; opening it may bring its layout up to date. It must be at rest: stop
    /// its workers first. TO must be empty. When the command is stopped or killed, the same command goes on where it was.
    ///
    /// For example: `tlo migrate-store sqlite:tlo.db postgres://app@db/app`
    MigrateStore(MigrateStoreArgs),
    /// Show the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the completions of a shell
    ///
    /// For bash: `tlo completions bash > ~/.local/share/bash-completion/completions/tlo`
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, as man reads it
    ///
    /// `tlo man | man -l -` shows it; `tlo man --out DIR` writes a page for each command, and makes the folder if need be.
    Man(ManArgs),
}

/// What `tlo run` runs.
#[derive(Args, Clone, Debug)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) crontabs: CrontabArgs,
    /// How many tasks run at once
    #[arg(long, value_name = "N")]
    pub(super) concurrency: Option<usize>,
    /// Serve only these queues, the first first; several with commas
    #[arg(long, value_name = "QUEUE", value_delimiter = ',')]
    pub(super) queue: Vec<String>,
    /// Stop by itself after this long, such as 10s; for trying things out
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(super) limit: Option<Duration>,
}

/// Which crontabs are read besides the jobs file.
#[derive(Args, Clone, Debug)]
pub(super) struct CrontabArgs {
    /// A crontab to read as well, as cron would, or a folder of them; may be repeated
    ///
    /// Its path says which sort it is: /etc/crontab and files in /etc/cron.d name the user in each line, others are
    /// one's own.
    #[arg(long, value_name = "FILE")]
    pub(super) crontab: Vec<PathBuf>,
    /// A crontab whose lines name the user, wherever it lies, or a folder of them; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(super) system_crontab: Vec<PathBuf>,
}

impl CrontabArgs {
    pub(super) fn is_empty(&self) -> bool {
        self.crontab.is_empty() && self.system_crontab.is_empty()
    }
}

/// What `tlo check` checks.
#[derive(Args, Clone, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    pub(super) crontabs: CrontabArgs,
    #[command(flatten)]
    pub(super) format: ListFormat,
}

/// How to print what the doctor found.
#[derive(Args, Clone, Debug)]
pub(super) struct DoctorArgs {
    /// Do not read the whole store to see whether it is whole
    #[arg(long)]
    pub(super) quick: bool,
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
        #[command(flatten)]
        format: ListFormat,
    },
}

/// Reads a duration that was given as an argument.
pub(super) fn duration(text: &str) -> std::result::Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// Reads anything that is read with `parse` and was given as an argument.
pub(super) fn parsed<T: std::str::FromStr<Err = crate::Error>>(
    text: &str,
) -> std::result::Result<T, String> {
    text.parse()
        .map_err(|error: crate::Error| error.to_string())
}
