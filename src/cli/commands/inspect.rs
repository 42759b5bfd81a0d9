//! `tlo inspect`.

use clap::Args;

use crate::cli::output;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::page::PageRequest;
use crate::schedule::format_duration;
use crate::store::TaskFilter;
use crate::task::{AttemptEnd, TaskStateRecord};

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
    for (label, value) in fields(&record) {
        output::line(&format!("{label:<13} {}", output::one_line(&value)))?;
    }
    if !record.attempts.is_empty() {
        output::line("")?;
        let max = record.max_attempts;
        let rows = record
            .attempts
            .iter()
            .map(|attempt| {
                let took = attempt.finished_at.since(attempt.started_at);
                vec![
                    format!("{}/{max}", attempt.attempt),
                    end_word(attempt.outcome).to_owned(),
                    attempt.started_at.to_string(),
                    format_duration(took),
                    attempt.worker.to_string(),
                    attempt.error.clone().unwrap_or_default(),
                ]
            })
            .collect();
        output::table(
            &["ATTEMPT", "OUTCOME", "STARTED", "TOOK", "WORKER", "ERROR"],
            rows,
        )?;
    }
    Ok(())
}

async fn find(client: &Client, text: &str) -> Result<TaskStateRecord> {
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
        record.unique.as_ref().map(|unique| unique.key.clone()),
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
        record.progress.as_ref().map(ToString::to_string),
    );
    optional("result", record.result.as_ref().map(ToString::to_string));
    optional("error", record.error.clone());
    fields
}
