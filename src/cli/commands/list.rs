//! `tlo list`.

use clap::Args;

use crate::cli::output;
use crate::client::Client;
use crate::error::Result;
use crate::page::{Cursor, PageRequest};
use crate::schedule::format_duration;
use crate::store::TaskFilter;
use crate::task::{TaskStateRecord, TaskStatus};

/// Which tasks to list.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    /// Only these statuses: pending, running, succeeded, failed, cancelled (in any case; may be repeated)
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<String>,
    /// Only tasks of this name
    #[arg(long)]
    name: Option<String>,
    /// Only tasks of this queue
    #[arg(long)]
    queue: Option<String>,
    /// Only occurrences of this schedule
    #[arg(long)]
    schedule: Option<String>,
    /// Only tasks with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only tasks whose id starts so
    #[arg(long, value_name = "ID")]
    prefix: Option<String>,
    /// The oldest first
    #[arg(long)]
    oldest: bool,
    /// At most this many
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Go on after this cursor, as the last page printed it
    #[arg(long, value_name = "CURSOR")]
    after: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the tasks that match, the newest first.
///
/// # Errors
/// `Invalid` for an unknown status, and those of the store.
pub(crate) async fn run(client: &Client, args: ListArgs) -> Result<()> {
    let filter = TaskFilter {
        status: args
            .status
            .iter()
            .map(|status| status.parse::<TaskStatus>())
            .collect::<Result<_>>()?,
        name: args.name,
        queue: args.queue,
        schedule: args.schedule,
        tag: args.tag,
        id_prefix: args.prefix,
        ..TaskFilter::default()
    };
    let mut after = args.after.map(Cursor);
    let mut records: Vec<TaskStateRecord> = Vec::new();
    // A page can be short without being the last: go on until there is enough or nothing more.
    loop {
        let limit = args.limit.saturating_sub(records.len());
        if limit == 0 {
            break;
        }
        let page = client
            .list(
                &filter,
                PageRequest {
                    after,
                    limit,
                    newest_first: !args.oldest,
                },
            )
            .await?;
        records.extend(page.items.into_iter().map(|item| item.record));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if args.json {
        return output::json(
            &records
                .iter()
                .map(TaskStateRecord::to_json)
                .collect::<Vec<_>>(),
        );
    }
    if records.is_empty() {
        output::say("no tasks match");
        return Ok(());
    }
    let rows = records.iter().map(row).collect();
    output::table(
        &[
            "ID", "NAME", "QUEUE", "STATUS", "ATTEMPT", "DUE", "STARTED", "TOOK", "ERROR",
        ],
        rows,
    )?;
    if let Some(Cursor(next)) = after {
        output::say(&format!("there are more: --after {next}"));
    }
    Ok(())
}

fn row(record: &TaskStateRecord) -> Vec<String> {
    let took = match (record.started_at, record.finished_at) {
        (Some(start), Some(end)) => {
            let millis = end.since(start).as_millis();
            format_duration(std::time::Duration::from_millis(
                u64::try_from(millis).unwrap_or(u64::MAX),
            ))
        }
        _ => "-".to_owned(),
    };
    let status = match &record.parked {
        Some(parked) => format!("{} (behind {})", record.status, parked.gate),
        None => record.status.to_string(),
    };
    vec![
        record.id.to_string(),
        record.name.to_string(),
        record.queue.to_string(),
        status,
        format!("{}/{}", record.attempt, record.max_attempts),
        output::instant(Some(record.run_at)),
        output::instant(record.started_at),
        took,
        record
            .error
            .as_deref()
            .map(|error| output::start_of(error, 60))
            .unwrap_or_default(),
    ]
}
