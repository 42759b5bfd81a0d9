//! `tlo cancel`, `revive`, `move`, `reprioritise`, `reschedule` and `purge`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::known::Known;
use super::many::{self, due};
use super::selection::Selection;
use crate::cli::args::{duration, parsed};
use crate::client::TaskAction;
use crate::context::TloContext;
use crate::error::{Error, Result};
use crate::task::Due;
use crate::timestamp::Timestamp;

/// Which tasks to cancel.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct CancelArgs {
    #[command(flatten)]
    selection: Selection,
}

/// Which tasks to run again.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct ReviveArgs {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    when: When,
}

/// Which tasks to remove.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct PurgeArgs {
    #[command(flatten)]
    selection: Selection,
}

/// Which tasks to move, and where.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct MoveArgs {
    #[command(flatten)]
    selection: Selection,
    /// The queue they go to
    #[arg(long, value_name = "QUEUE")]
    to: String,
    /// Accept a queue that nobody knows
    #[arg(long)]
    allow_unknown: bool,
}

/// Which tasks get which priority.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct ReprioritiseArgs {
    #[command(flatten)]
    selection: Selection,
    /// 0 to 255, larger first
    #[arg(long, value_name = "N")]
    to: u8,
}

/// Which tasks are to be due when.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct RescheduleArgs {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    when: When,
    /// At once
    #[arg(long, conflicts_with_all = ["delay", "at"])]
    now: bool,
}

/// When tasks are to be due.
#[derive(Args, Clone, Debug)]
struct When {
    /// After this much time
    #[arg(long = "in", value_name = "DURATION", conflicts_with = "at", value_parser = duration)]
    delay: Option<Duration>,
    /// At this instant, such as 2026-11-20T10:00:00Z
    #[arg(long, value_name = "INSTANT", value_parser = parsed::<Timestamp>)]
    at: Option<Timestamp>,
}

/// # Errors
/// As [`many::run`].
pub(in crate::cli::commands) async fn cancel(
    tlo: &TloContext,
    args: CancelArgs,
) -> Result<ExitCode> {
    many::run(tlo, TaskAction::Cancel, &args.selection).await
}

/// # Errors
/// As [`many::run`].
pub(in crate::cli::commands) async fn revive(
    tlo: &TloContext,
    args: ReviveArgs,
) -> Result<ExitCode> {
    let due = due(args.when.delay, args.when.at).unwrap_or(Due::Now);
    many::run(tlo, TaskAction::Revive(due), &args.selection).await
}

/// # Errors
/// As [`many::run`].
pub(in crate::cli::commands) async fn purge(tlo: &TloContext, args: PurgeArgs) -> Result<ExitCode> {
    many::run(tlo, TaskAction::Delete, &args.selection).await
}

/// # Errors
/// As [`many::run`]; `Invalid` for what is no name of a queue, `NotFound` for one that nobody knows.
pub(in crate::cli::commands) async fn move_to(
    tlo: &TloContext,
    args: MoveArgs,
) -> Result<ExitCode> {
    crate::id::check_name("a queue name", &args.to)?;
    // Whether it is said which tasks comes first.
    args.selection.selected(tlo)?;
    if !args.allow_unknown
        && let Some(error) = Known::of(tlo).await?.no_queue(&args.to)
    {
        return Err(error);
    }
    many::run(tlo, TaskAction::Move(args.to), &args.selection).await
}

/// # Errors
/// As [`many::run`].
pub(in crate::cli::commands) async fn reprioritise(
    tlo: &TloContext,
    args: ReprioritiseArgs,
) -> Result<ExitCode> {
    many::run(tlo, TaskAction::Reprioritise(args.to), &args.selection).await
}

/// # Errors
/// As [`many::run`]; `Invalid` when no time is given.
pub(in crate::cli::commands) async fn reschedule(
    tlo: &TloContext,
    args: RescheduleArgs,
) -> Result<ExitCode> {
    let due = match due(args.when.delay, args.when.at) {
        Some(due) => due,
        None if args.now => Due::Now,
        None => {
            let message = "say when: --in DURATION, --at INSTANT, or --now";
            return Err(Error::invalid("reschedule", message));
        }
    };
    many::run(tlo, TaskAction::Reschedule(due), &args.selection).await
}
