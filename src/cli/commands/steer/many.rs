//! Doing one thing to tasks by their ids, or to all that match a filter.

use std::process::ExitCode;

use serde_json::json;

use super::known::Known;
use super::selection::{Selected, Selection};
use crate::cli::commands::inspect;
use crate::cli::{exit, output};
use crate::client::{BulkRefusal, BulkReport, Client, TaskAction};
use crate::context::TloContext;
use crate::error::Result;
use crate::store::TaskFilter;
use crate::task::{Due, TaskStateRecord, TaskStatus};

/// Tasks that one step of a bulk operation takes: fewer need no word of progress.
const QUIET: u64 = 500;

/// Does it, and says what was done.
///
/// # Errors
/// `Invalid` when nothing is selected, `NotFound` for ids, queues and names that nobody knows, `Conflict` for tasks that
/// do not allow it.
pub(super) async fn run(
    tlo: &TloContext,
    action: TaskAction,
    selection: &Selection,
) -> Result<ExitCode> {
    let client = super::client(tlo);
    match selection.selected(tlo)? {
        Selected::Ids(ids) => by_ids(&client, &action, &ids, selection).await,
        Selected::Filter(filter) => by_filter(tlo, &client, action, *filter, selection).await,
    }
}

async fn by_ids(
    client: &Client,
    action: &TaskAction,
    ids: &[String],
    selection: &Selection,
) -> Result<ExitCode> {
    let mut report = BulkReport::default();
    let mut code = 0;
    for text in ids {
        let done = one(client, action, text, selection).await;
        match done {
            Ok(record) => {
                report.done += 1;
                if !selection.json {
                    let would = if selection.dry_run { "would be " } else { "" };
                    let what = done_to(action, record.status);
                    output::line(&format!("{}\t{would}{what}", record.id))?;
                }
            }
            // A store that is away is away for the others, too.
            Err(error) if error.is_retryable() || ids.len() == 1 => return Err(error),
            Err(error) => {
                report.refused += 1;
                code = exit::code(&error);
                output::error(&error);
                if let Ok(id) = crate::TaskId::new(text.as_str()) {
                    let (why, kind) = (error.to_string(), error.kind());
                    report.refusals.push(BulkRefusal { id, why, kind });
                }
            }
        }
    }
    if selection.json {
        print(action, &report, selection.dry_run)?;
    }
    Ok(ExitCode::from(code))
}

/// Does it to one task; answers with the task as it was.
async fn one(
    client: &Client,
    action: &TaskAction,
    text: &str,
    selection: &Selection,
) -> Result<TaskStateRecord> {
    let record = inspect::find(client, text).await?;
    if selection.dry_run {
        return action
            .refusal(&record.id, record.status)
            .map_or(Ok(record), Err);
    }
    let why = selection.reason.as_deref();
    client.act(&record.id, action, why).await?;
    Ok(record)
}

async fn by_filter(
    tlo: &TloContext,
    client: &Client,
    action: TaskAction,
    filter: TaskFilter,
    selection: &Selection,
) -> Result<ExitCode> {
    let mut bulk = client.bulk(action.clone(), filter.clone());
    if selection.all {
        bulk = bulk.all();
    }
    let matching = bulk.count().await?;
    if matching == 0 {
        // Perhaps it is only misspelt.
        if let Some(error) = Known::of(tlo).await?.missing(&filter) {
            return Err(error);
        }
        if !selection.json {
            let status = &filter.status;
            let elsewhere = status.is_empty()
                && tlo
                    .client()
                    .list(&filter, crate::PageRequest::first(1))
                    .await?
                    .items
                    .len()
                    == 1;
            output::say(&nothing(&action, elsewhere));
            return Ok(ExitCode::SUCCESS);
        }
    }
    if selection.dry_run {
        if selection.json {
            let would = BulkReport {
                done: matching,
                ..BulkReport::default()
            };
            print(&action, &would, true)?;
        } else {
            let tasks = output::counted(usize::try_from(matching).unwrap_or(usize::MAX), "task");
            output::line(&format!("{tasks} would be {}", past(&action)))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(why) = &selection.reason {
        bulk = bulk.why(why);
    }
    if let Some(rate) = selection.rate {
        bulk = bulk.rate(rate);
    }
    if !selection.json && (matching > QUIET || selection.rate.is_some()) {
        bulk = bulk.on_progress(move |so_far| {
            let through = so_far.done + so_far.refused;
            if through < matching {
                output::say(&format!("{through} of {matching}"));
            }
        });
    }
    let report = bulk.run().await?;
    if selection.json {
        print(&action, &report, false)?;
    } else {
        tell(&action, &report)?;
    }
    Ok(ExitCode::from(match report.refusals.first() {
        _ if report.stopped => 1,
        // Others that were done are what was asked for.
        Some(first) if report.done == 0 => exit::of_kind(first.kind),
        _ => 0,
    }))
}

/// Why a filter that nothing matches may still be right.
fn nothing(action: &TaskAction, elsewhere: bool) -> String {
    let hint = match action {
        _ if !elsewhere => "no tasks match",
        TaskAction::Cancel => "no tasks match that have not ended",
        TaskAction::Revive(_) => "no failed tasks match; --status cancelled revives cancelled ones",
        TaskAction::Delete => {
            "no tasks match that have ended; --status pending removes those that wait, and `tlo cancel` stops those that run"
        }
        _ => "no tasks match that wait",
    };
    hint.to_owned()
}

fn print(action: &TaskAction, report: &BulkReport, dry_run: bool) -> Result<()> {
    output::json(&json!({
        "action": action.as_str(), "done": report.done, "refused": report.refused,
        "refusals": report.refusals, "run": report.run, "stopped": report.stopped, "dry_run": dry_run,
    }))
}

fn tell(action: &TaskAction, report: &BulkReport) -> Result<()> {
    let tasks = output::counted(usize::try_from(report.done).unwrap_or(usize::MAX), "task");
    output::line(&format!("{tasks} {}", past(action)))?;
    if report.refused > 0 {
        output::say(&format!("{} refused it:", report.refused));
        for refusal in &report.refusals {
            output::say(&format!("  {}", output::one_line(&refusal.why)));
        }
        if report.refused > report.refusals.len() as u64 {
            output::say("  …");
        }
    }
    if report.stopped {
        let run = report.run.as_ref().map(ToString::to_string);
        let run = run.unwrap_or_default();
        output::say(&format!("stopped: somebody cancelled {run}"));
    }
    Ok(())
}

/// What was done to tasks.
fn past(action: &TaskAction) -> String {
    match action {
        TaskAction::Cancel => "cancelled".to_owned(),
        TaskAction::Revive(due) => format!("revived{}", due_words(*due)),
        TaskAction::Move(queue) => format!("moved to \"{queue}\""),
        TaskAction::Reprioritise(priority) => format!("given priority {priority}"),
        TaskAction::Reschedule(due) => format!("rescheduled{}", due_words(*due)),
        _ => "removed".to_owned(),
    }
}

/// What was done to a task of this status.
fn done_to(action: &TaskAction, status: TaskStatus) -> String {
    match (action, status) {
        (TaskAction::Cancel, TaskStatus::Running) => "asked to stop".to_owned(),
        _ => past(action),
    }
}

fn due_words(due: Due) -> String {
    match due {
        Due::Now => String::new(),
        Due::At(at) => format!(" for {at}"),
        Due::In(wait) => format!(" for {} from now", crate::schedule::format_duration(wait)),
    }
}

/// When it is to be due, from two options of which one may be given.
pub(super) fn due(delay: Option<std::time::Duration>, at: Option<crate::Timestamp>) -> Option<Due> {
    delay.map(Due::In).or(at.map(Due::At))
}
