//! `tlo dead`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;

use super::many;
use super::selection::Selection;
use crate::PAGE_LIMIT;
use crate::cli::commands::filters::Filters;
use crate::cli::output;
use crate::cli::output::Cell;
use crate::client::{Client, TaskAction};
use crate::context::TloContext;
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::page::PageRequest;
use crate::schedule::nearest::nearest;
use crate::store::{SCAN_LIMIT, TaskFilter};
use crate::task::{Due, TaskStatus};
use crate::timestamp::Timestamp;

/// Which failures to show, or to run again.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct DeadArgs {
    /// Run the tasks of this error again: the error as it is listed, or the beginning of it
    #[arg(long, value_name = "ERROR", value_parser = NonEmptyStringValueParser::new())]
    revive: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// With --revive: say how many it would be, and change nothing
    #[arg(long, requires = "revive")]
    dry_run: bool,
    /// With --revive: at most so many tasks a second
    #[arg(long, value_name = "N", requires = "revive", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// With --revive: why; it is kept in `tlo audit`
    #[arg(long, value_name = "TEXT", requires = "revive")]
    reason: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Failures that differ only in numbers, ids and quoted words.
#[derive(Clone, Debug, Serialize)]
struct Group {
    group: String,
    count: u64,
    names: Vec<String>,
    last: Option<Timestamp>,
    example: TaskId,
}

/// Lists failed tasks by error, the most first; or revives those of one error.
///
/// # Errors
/// `Invalid` for another status, `NotFound` for an error that no failed task has, `Conflict` for a beginning that several have.
pub(in crate::cli::commands) async fn run(
    tlo: &TloContext,
    mut args: DeadArgs,
) -> Result<ExitCode> {
    if args
        .filters
        .status
        .iter()
        .any(|status| *status != TaskStatus::Failed)
    {
        let message = "only failed tasks have errors; leave --status out";
        return Err(Error::invalid("dead", message));
    }
    let mut filter = args.filters.filter(tlo.clock().now());
    filter.status = vec![TaskStatus::Failed];
    let client = tlo.client();
    let (groups, complete) = groups(&client, &filter).await?;
    if let Some(wanted) = &args.revive {
        args.filters.group = Some(find(&groups, wanted, complete)?);
        let selection = Selection {
            ids: Vec::new(),
            filters: args.filters,
            all: false,
            dry_run: args.dry_run,
            reason: args.reason,
            rate: args.rate,
            json: args.json,
        };
        return many::run(tlo, TaskAction::Revive(Due::Now), &selection).await;
    }
    if args.json {
        output::json(&groups)?;
    } else if groups.is_empty() {
        output::say("nothing has failed");
    } else {
        let rows: Vec<_> = groups.iter().map(row).collect();
        output::table(&["TASKS", "LAST", "EXAMPLE", "NAME", "ERROR"], &rows)?;
        output::say(
            "`tlo inspect EXAMPLE` shows one, `tlo dead --revive ERROR` runs those of an error again",
        );
    }
    if !complete {
        output::say(&format!(
            "there are more: these are the newest {SCAN_LIMIT}"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The groups of the newest failed tasks, and whether those are all.
async fn groups(client: &Client, filter: &TaskFilter) -> Result<(Vec<Group>, bool)> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    let mut page = PageRequest {
        newest_first: true,
        ..PageRequest::first(PAGE_LIMIT)
    };
    let mut seen = 0;
    let complete = loop {
        let found = client.list(filter, page).await?;
        for item in found.items {
            seen += 1;
            let record = item.record;
            let name = record.error_group.clone().unwrap_or_default();
            let group = groups.entry(name.clone()).or_insert_with(|| Group {
                group: name,
                count: 0,
                names: Vec::new(),
                last: None,
                example: record.id.clone(),
            });
            group.count += 1;
            if record.finished_at > group.last {
                group.last = record.finished_at;
                group.example = record.id.clone();
            }
            if !group.names.iter().any(|name| **name == *record.name) {
                group.names.push(record.name.to_string());
            }
        }
        match found.next {
            None => break true,
            Some(_) if seen >= SCAN_LIMIT => break false,
            Some(next) => page.after = Some(next),
        }
    };
    let mut groups: Vec<Group> = groups.into_values().collect();
    groups.sort_by(|a, b| b.count.cmp(&a.count).then(a.group.cmp(&b.group)));
    Ok((groups, complete))
}

/// The group that is meant.
fn find(groups: &[Group], wanted: &str, complete: bool) -> Result<String> {
    let names = || groups.iter().map(|group| group.group.as_str());
    if names().any(|name| name == wanted) {
        return Ok(wanted.to_owned());
    }
    // An error as it was, with its numbers, is of the group that it makes.
    let normalised = crate::error_group(wanted);
    if names().any(|name| name == normalised) {
        return Ok(normalised);
    }
    let several: Vec<&str> = names().filter(|name| name.starts_with(wanted)).collect();
    match several.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => {
            let near = nearest(wanted, names(), 1);
            let hint = match near.first() {
                Some(near) => format!("; did you mean \"{near}\"?"),
                None => "; `tlo dead` lists the errors".to_owned(),
            };
            let whose = match complete {
                true => "no failed task has".to_owned(),
                false => format!("none of the newest {SCAN_LIMIT} failed tasks has"),
            };
            let way = match complete {
                true => "",
                false => "; `tlo revive --status failed --group ERROR` takes older ones, too",
            };
            let message = format!("{whose} the error \"{wanted}\"{hint}{way}");
            Err(Error::new(ErrorKind::NotFound, "dead", message))
        }
        several => {
            let listed: Vec<_> = several.iter().map(|name| format!("\n  {name}")).collect();
            let message = format!("several errors start with \"{wanted}\":{}", listed.concat());
            Err(Error::new(ErrorKind::Conflict, "dead", message))
        }
    }
}

fn row(group: &Group) -> Vec<Cell> {
    let error = match group.group.as_str() {
        "" => "no message",
        error => error,
    };
    vec![
        Cell::from(group.count.to_string()),
        Cell::from(output::instant(group.last)),
        Cell::from(group.example.as_str()),
        Cell::from(group.names.join(", ")),
        Cell::from(error),
    ]
}
