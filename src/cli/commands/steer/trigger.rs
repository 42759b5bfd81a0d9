//! `tlo trigger`.

use clap::Args;
use serde_json::json;

use crate::cli::output;
use crate::context::TloContext;
use crate::error::Result;

/// Which schedule to run.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct TriggerArgs {
    /// The recurring task
    name: String,
    /// Why; it is kept in `tlo audit`
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs a recurring task once, now, and prints the id of the run.
///
/// # Errors
/// `NotFound` for a schedule that nobody knows, with the nearest.
pub(in crate::cli::commands) async fn run(tlo: &TloContext, args: &TriggerArgs) -> Result<()> {
    let client = super::client(tlo);
    let handle = client
        .run_schedule(&args.name, args.reason.as_deref())
        .await?;
    if !handle.is_new() {
        output::say("a run of it is unfinished and must not overlap: nothing was submitted");
    }
    if args.json {
        return output::json(&json!({"id": handle.id(), "existing": !handle.is_new()}));
    }
    output::line(handle.id().as_str())
}
