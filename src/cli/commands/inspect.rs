//! `tlo inspect`.

use clap::Args;
use serde::Deserialize;

use crate::cli::output;
use crate::cli::output::{Cell, Form};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::page::PageRequest;
use crate::schedule::{format_duration, short_duration};
use crate::store::TaskFilter;
use crate::task::{AttemptEnd, TaskStateRecord, TaskStatus};

/// Which task to look at.
#[derive(Args, Clone, Debug)]
pub(crate) struct InspectArgs {
    /// Its id, or the beginning of it
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints everything about one task.
///
/// # Errors
/// `NotFound` for an id that no task has, `Conflict` for a beginning that several have.
pub(crate) async fn run(client: &Client, args: InspectArgs) -> Result<()> {
    let record = find(client, &args.id).await?;
    if args.json {
        return output::json(&record.to_json());
    }
    let mut text = shown(&record, Form::of_stdout()).join("\n");
    text.push('\n');
    output::raw(text.as_bytes())
}

/// Everything about a task, a line each.
pub(super) fn shown(record: &TaskStateRecord, form: Form) -> Vec<String> {
    let mut lines = Vec::new();
    for (label, value) in fields(record) {
        lines.push(format!("{label:<13} {}", output::one_line(&value)));
    }
    result(&mut lines, record);
    if let Some(command) = unsuccessful(record) {
        command.show(&mut lines);
    }
    if let Some(error) = &record.error {
        block(&mut lines, "error", error);
    }
    attempts(&mut lines, record, form);
    lines
}

/// What the last run of a command printed; nothing for other tasks.
pub(super) fn output_of(record: &TaskStateRecord) -> Result<()> {
    let succeeded = record
        .result
        .as_ref()
        .and_then(|result| result.decode().ok());
    let Some(command) = succeeded.or_else(|| unsuccessful(record)) else {
        return Ok(());
    };
    let CommandResult { stdout, stderr, .. } = command;
    for text in [stdout, stderr] {
        output::lines(&text).try_for_each(|line| output::line(&line))?;
    }
    Ok(())
}

/// The result; that of a command as it looked, not as JSON.
fn result(to: &mut Vec<String>, record: &TaskStateRecord) {
    let Some(result) = &record.result else {
        return;
    };
    match result.decode::<CommandResult>() {
        Ok(command) => command.show(to),
        Err(_) => to.push(format!(
            "{:<13} {}",
            "result",
            output::one_line(result.as_str())
        )),
    }
}

/// What the last run of a command left that did not succeed. A command leaves it as the progress of its task; other progress
/// is shown as it is.
fn unsuccessful(record: &TaskStateRecord) -> Option<CommandResult> {
    record.progress.as_ref()?.decode().ok()
}

/// What a run of a command leaves, whether it succeeded or not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandResult {
    /// Which run it was, when it did not succeed.
    attempt: Option<u32>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    stdout: String,
    stderr: String,
    truncated: bool,
}

impl CommandResult {
    fn show(&self, to: &mut Vec<String>) {
        let (label, number) = match (self.exit_code, self.signal) {
            (None, Some(signal)) => ("signal", signal.to_string()),
            (Some(code), _) => ("exit code", code.to_string()),
            (None, None) => ("exit code", "none".to_owned()),
        };
        let attempt = self.attempt.map(|attempt| format!(", attempt {attempt}"));
        let cut = if self.truncated { ", output cut" } else { "" };
        let attempt = attempt.unwrap_or_default();
        to.push(format!("{label:<13} {number}{attempt}{cut}"));
        block(to, "stdout", &self.stdout);
        block(to, "stderr", &self.stderr);
    }
}

/// A text of several lines under its label, or beside it when it is one.
fn block(to: &mut Vec<String>, label: &str, text: &str) {
    let lines: Vec<String> = output::lines(text).collect();
    match lines.as_slice() {
        [] => {}
        [one] => to.push(format!("{label:<13} {one}")),
        several => {
            to.push(label.to_owned());
            to.extend(
                several
                    .iter()
                    .map(|line| format!("    {line}").trim_end().to_owned()),
            );
        }
    }
}

fn attempts(to: &mut Vec<String>, record: &TaskStateRecord, form: Form) {
    if record.attempts.is_empty() {
        return;
    }
    to.push(String::new());
    let rows: Vec<_> = record
        .attempts
        .iter()
        .map(|attempt| {
            let took = attempt.finished_at.since(attempt.started_at);
            let error = attempt.error.as_deref().unwrap_or_default();
            let first = error.lines().find(|line| !line.trim().is_empty());
            vec![
                Cell::from(format!("{}/{}", attempt.attempt, record.max_attempts)),
                Cell::of_status(end_status(attempt.outcome), end_word(attempt.outcome)),
                Cell::from(output::instant(Some(attempt.started_at))),
                Cell::from(short_duration(took)),
                Cell::from(attempt.worker.to_string()),
                Cell::from(first.unwrap_or_default()),
            ]
        })
        .collect();
    let header = ["ATTEMPT", "OUTCOME", "STARTED", "TOOK", "WORKER", "ERROR"];
    let table = output::table_text(&header, &rows, form);
    to.extend(table.lines().map(str::to_owned));
}

pub(super) async fn find(client: &Client, text: &str) -> Result<TaskStateRecord> {
    match client.get(&TaskId::new(text)?).await {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        other => return other,
    }
    let filter = TaskFilter {
        id_prefix: Some(text.to_owned()),
        ..TaskFilter::default()
    };
    let found = client.list(&filter, PageRequest::first(4)).await?.items;
    match found.as_slice() {
        [] => Err(Error::new(
            ErrorKind::NotFound,
            "inspect",
            format!("no task has the id \"{text}\" or one that starts so"),
        )),
        [one] => client.get(&one.record.id).await,
        several => {
            let ids: Vec<_> = several
                .iter()
                .map(|item| item.record.id.to_string())
                .collect();
            Err(Error::new(
                ErrorKind::Conflict,
                "inspect",
                format!("several ids start with \"{text}\": {}", ids.join(", ")),
            ))
        }
    }
}

const fn end_status(end: AttemptEnd) -> TaskStatus {
    match end {
        AttemptEnd::Succeeded => TaskStatus::Succeeded,
        AttemptEnd::Failed | AttemptEnd::Panicked | AttemptEnd::TimedOut | AttemptEnd::Lost => {
            TaskStatus::Failed
        }
        AttemptEnd::Snoozed | AttemptEnd::Released => TaskStatus::Pending,
        AttemptEnd::Cancelled => TaskStatus::Cancelled,
    }
}

fn end_word(end: AttemptEnd) -> &'static str {
    match end {
        AttemptEnd::Succeeded => "succeeded",
        AttemptEnd::Failed => "failed",
        AttemptEnd::Panicked => "panicked",
        AttemptEnd::TimedOut => "timed out",
        AttemptEnd::Snoozed => "snoozed",
        AttemptEnd::Released => "released",
        AttemptEnd::Cancelled => "cancelled",
        AttemptEnd::Lost => "lost",
    }
}

fn fields(record: &TaskStateRecord) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("id", record.id.to_string()),
        ("name", record.name.to_string()),
        ("status", record.status.to_string()),
        (
            "queue",
            format!("{}, priority {}", record.queue, record.priority),
        ),
        (
            "attempt",
            format!("{} of {}", record.attempt, record.max_attempts),
        ),
        ("due", record.run_at.to_string()),
        ("created", record.created_at.to_string()),
    ];
    let mut optional =
        |label, value: Option<String>| fields.extend(value.map(|value| (label, value)));
    optional("started", record.started_at.map(|at| at.to_string()));
    optional("finished", record.finished_at.map(|at| at.to_string()));
    optional(
        "schedule",
        record.schedule.as_ref().map(ToString::to_string),
    );
    optional("slot", record.slot.map(|at| at.to_string()));
    optional(
        "lost",
        (record.lost > 0).then(|| format!("{} of {} leases", record.lost, record.max_lost)),
    );
    optional("timeout", record.timeout.map(format_duration));
    optional(
        "leased by",
        record
            .lease
            .as_ref()
            .map(|lease| format!("{} until {}", lease.worker, lease.until)),
    );
    optional(
        "parked",
        record
            .parked
            .as_ref()
            .map(|parked| format!("behind {}: {}", parked.gate, parked.reason)),
    );
    optional(
        "cancel",
        record.cancel_requested.then(|| "asked for".to_owned()),
    );
    optional(
        "unique key",
        record.unique.as_ref().map(|unique| unique.key.to_string()),
    );
    optional("parent", record.parent.as_ref().map(ToString::to_string));
    optional(
        "tags",
        (!record.tags.is_empty())
            .then(|| record.tags.iter().cloned().collect::<Vec<_>>().join(", ")),
    );
    optional("args", Some(record.args.to_string()));
    optional(
        "progress",
        record
            .progress
            .as_ref()
            .filter(|_| unsuccessful(record).is_none())
            .map(ToString::to_string),
    );
    if let (Some(start), Some(end)) = (record.started_at, record.finished_at) {
        fields.push(("took", short_duration(end.since(start))));
    }
    fields
}
