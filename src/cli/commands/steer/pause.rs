//! `tlo pause` and `tlo resume`.

use clap::Args;
use serde_json::json;

use super::gates::TargetArgs;
use crate::cli::output;
use crate::cli::output::{Cell, ListFormat};
use crate::context::TloContext;
use crate::error::{Error, Result};

/// What to pause; nothing lists what is paused.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct PauseArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Why; others see it where they wonder
    #[arg(long, value_name = "TEXT", requires = "kind")]
    reason: Option<String>,
    #[command(flatten)]
    format: ListFormat,
}

/// What to resume.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct ResumeArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Everything that is paused
    #[arg(long, conflicts_with = "kind")]
    all: bool,
    /// Why; it is kept in `tlo audit`
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Pauses, or lists what is paused.
///
/// # Errors
/// `NotFound` for a queue, a task or a schedule that nobody knows.
pub(in crate::cli::commands) async fn pause(tlo: &TloContext, args: PauseArgs) -> Result<()> {
    let Some(target) = args.target.target(tlo).await? else {
        return list(tlo, args.format).await;
    };
    let client = super::client(tlo);
    let changed = client.pause(&target, args.reason.as_deref()).await?;
    if args.format.is_json() {
        return output::json(&json!({"target": target, "paused": true, "changed": changed}));
    }
    let shown = output::one_line(&target.to_string());
    match (changed, &args.reason) {
        (true, Some(_)) => output::line(&format!("{shown} is paused")),
        (true, None) => output::line(&format!(
            "{shown} is paused; --reason would tell others why"
        )),
        (false, _) => output::line(&format!("{shown} was paused already")),
    }
}

/// Resumes.
///
/// # Errors
/// `NotFound` for a queue, a task or a schedule that nobody knows.
pub(in crate::cli::commands) async fn resume(tlo: &TloContext, args: ResumeArgs) -> Result<()> {
    let client = super::client(tlo);
    let targets = match args.target.target(tlo).await? {
        Some(target) => vec![target],
        None if args.all => client
            .paused()
            .await?
            .into_iter()
            .map(|one| one.target)
            .collect(),
        None => {
            let message = "say what: queue NAME, task NAME, schedule NAME, key KEY, or --all; `tlo pause` lists what is paused";
            return Err(Error::invalid("resume", message));
        }
    };
    let mut told = Vec::new();
    for target in &targets {
        let changed = client.resume(target, args.reason.as_deref()).await?;
        told.push(json!({"target": target, "paused": false, "changed": changed}));
        if !args.json {
            let shown = output::one_line(&target.to_string());
            let what = if changed { "goes on" } else { "was not paused" };
            output::line(&format!("{shown} {what}"))?;
        }
    }
    if args.json {
        return output::json(&told);
    }
    if targets.is_empty() {
        output::say("nothing is paused");
    }
    Ok(())
}

async fn list(tlo: &TloContext, format: ListFormat) -> Result<()> {
    let paused = tlo.client().paused().await?;
    if format.is_json() {
        return format.print(&paused);
    }
    if paused.is_empty() {
        output::say("nothing is paused");
        return Ok(());
    }
    let rows: Vec<_> = paused
        .iter()
        .map(|one| {
            vec![
                Cell::from(one.target.kind()),
                Cell::from(one.target.name()),
                Cell::from(output::instant(Some(one.since))),
                Cell::from(one.by.as_deref().unwrap_or("-")),
                Cell::from(one.reason.as_deref().unwrap_or("-")),
            ]
        })
        .collect();
    output::table(&["PAUSED", "NAME", "SINCE", "BY", "REASON"], &rows)
}
