//! `tlo list`.

use std::io::IsTerminal;

use clap::Args;

use super::filters::Filters;
use super::steer::Known;
use crate::cli::output;
use crate::cli::output::{Cell, ListFormat};
use crate::clock::{Clock, SystemClock};
use crate::context::TloContext;
use crate::error::Result;
use crate::page::{Cursor, PageRequest};
use crate::schedule::short_duration;
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// Which tasks to list.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    filters: Filters,
    /// The oldest first
    #[arg(long)]
    oldest: bool,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Go on after this cursor, as the last page printed it
    #[arg(long, value_name = "CURSOR", value_parser = cursor)]
    after: Option<u64>,
    #[command(flatten)]
    format: ListFormat,
}

/// Prints the tasks that match, the newest first.
///
/// # Errors
/// Those of the store.
pub(super) async fn run(tlo: &TloContext, args: ListArgs) -> Result<()> {
    let client = tlo.client();
    let filter = args.filters.filter(tlo.clock().now());
    let mut after = args.after.map(Cursor);
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut records: Vec<TaskStateRecord> = Vec::new();
    // A page can be short without being the last: go on until there is enough or nothing more.
    loop {
        let limit = limit.saturating_sub(records.len());
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
    if args.format.is_json() {
        let json = records.iter().map(TaskStateRecord::to_json);
        args.format.print(&json.collect::<Vec<_>>())?;
        say_more(after);
        return Ok(());
    }
    if records.is_empty() {
        let promise = tlo.store().capability().promise;
        let place = promise.split("; ").next().unwrap_or_default();
        output::say(&format!("no tasks match; the store is {place}"));
        if let Some(unknown) = Known::of(tlo).await?.missing(&filter) {
            output::say(&output::one_line(&unknown.to_string()));
        }
        return Ok(());
    }
    print(&records)?;
    say_more(after);
    Ok(())
}

/// Prints these tasks as a table.
pub(super) fn print(records: &[TaskStateRecord]) -> Result<()> {
    if std::io::stdout().is_terminal() {
        return brief(records, SystemClock.now());
    }
    let rows: Vec<_> = records.iter().map(full).collect();
    output::table(
        &[
            "ID", "NAME", "QUEUE", "STATUS", "ATTEMPT", "DUE", "STARTED", "TOOK", "ERROR",
        ],
        &rows,
    )
}

/// Says that the list goes on; on standard error, so also beside JSON.
fn say_more(after: Option<Cursor>) {
    if let Some(Cursor(next)) = after {
        output::say(&format!("there are more: --after {next}"));
    }
}

/// Reads a cursor.
fn cursor(text: &str) -> std::result::Result<u64, String> {
    text.parse()
        .map_err(|_| "a cursor is the number that the last page printed".to_owned())
}

/// All columns, for programs.
fn full(record: &TaskStateRecord) -> Vec<Cell> {
    vec![
        Cell::from(record.id.as_str()),
        Cell::from(&record.name),
        Cell::from(&record.queue),
        status(record),
        attempt(record),
        Cell::from(output::instant(Some(record.run_at))),
        Cell::from(output::instant(record.started_at)),
        Cell::from(took(record)),
        error(record),
    ]
}

/// What a person looks for, in 120 columns: queues only when there is more than one, times of today without the date.
fn brief(records: &[TaskStateRecord], now: Timestamp) -> Result<()> {
    let mixed = records
        .iter()
        .any(|record| record.queue != records[0].queue);
    let mut header = vec!["ID", "NAME"];
    if mixed {
        header.push("QUEUE");
    }
    header.extend(["STATUS", "TRY", "WHEN", "TOOK", "ERROR"]);
    let rows: Vec<_> = records
        .iter()
        .map(|record| {
            let mut row = vec![Cell::from(record.id.as_str()), Cell::from(&record.name)];
            if mixed {
                row.push(Cell::from(&record.queue));
            }
            row.extend([
                status(record),
                attempt(record),
                Cell::from(when(record, now)),
                Cell::from(took(record)),
                error(record),
            ]);
            row
        })
        .collect();
    output::table(&header, &rows)
}

/// When it is due, or started.
pub(super) fn when(record: &TaskStateRecord, now: Timestamp) -> String {
    match (record.status, record.started_at) {
        (TaskStatus::Pending, _) | (_, None) => format!("due {}", day_time(record.run_at, now)),
        (_, Some(started)) => day_time(started, now),
    }
}

/// `10:00:01` today, else `11-20 10:00:01`; in another year the whole instant. UTC.
fn day_time(at: Timestamp, now: Timestamp) -> String {
    let (text, now) = (output::instant(Some(at)), now.to_string());
    let (Some((day, time)), Some((today, _))) = (text.split_once('T'), now.split_once('T')) else {
        return text;
    };
    let time = time.trim_end_matches('Z');
    match (day.split_once('-'), today.split_once('-')) {
        _ if day == today => time.to_owned(),
        (Some((year, day)), Some((this_year, _))) if year == this_year => format!("{day} {time}"),
        _ => text,
    }
}

pub(super) fn status(record: &TaskStateRecord) -> Cell {
    let text = match &record.parked {
        Some(parked) => format!("{} (behind {})", record.status, parked.gate),
        None => record.status.to_string(),
    };
    Cell::of_status(record.status, &text)
}

pub(super) fn attempt(record: &TaskStateRecord) -> Cell {
    Cell::from(format!("{}/{}", record.attempt, record.max_attempts))
}

pub(super) fn took(record: &TaskStateRecord) -> String {
    match (record.started_at, record.finished_at) {
        (Some(start), Some(end)) => short_duration(end.since(start)),
        _ => "-".to_owned(),
    }
}

/// The line of the error that says most: its first.
pub(super) fn error(record: &TaskStateRecord) -> Cell {
    let text = record.error.as_deref().unwrap_or_default();
    let line = text.lines().find(|line| !line.trim().is_empty());
    Cell::from(output::start_of(line.unwrap_or_default(), 200))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_long_as_they_must_be() {
        let now: Timestamp = "2026-11-21T09:28:35.5Z".parse().unwrap();
        for (at, text) in [
            ("2026-11-21T09:28:34.9Z", "09:28:34"),
            ("2026-11-20T23:59:59Z", "11-20 23:59:59"),
            ("2025-12-31T23:59:59Z", "2025-12-31T23:59:59Z"),
        ] {
            assert_eq!(day_time(at.parse().unwrap(), now), text);
        }
    }
}
