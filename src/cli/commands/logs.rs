//! `tlo logs`.

use clap::Args;
use serde::Serialize;

use super::inspect;
use crate::cli::output::{self, ListFormat};
use crate::client::Client;
use crate::error::Result;
use crate::task::{LineLevel, LogLine, TaskStateRecord};

/// Whose log to print.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogsArgs {
    /// The id of a task, or the beginning of it
    id: String,
    /// Only what this attempt said
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    #[command(flatten)]
    format: ListFormat,
}

/// A line, and the attempt that said it.
#[derive(Serialize)]
struct Said {
    attempt: u32,
    #[serde(flatten)]
    line: LogLine,
}

/// Prints what the runs of a task said.
///
/// # Errors
/// `NotFound` for an id that no task has, `Conflict` for a beginning that several have.
pub(crate) async fn run(client: &Client, args: LogsArgs) -> Result<()> {
    let record = inspect::find(client, &args.id).await?;
    let attempts = match args.attempt {
        Some(attempt) => attempt..=attempt,
        None => attempts(&record),
    };
    let mut said = Vec::new();
    for attempt in attempts {
        let lines = client.log(&record.id, attempt).await?;
        said.extend(lines.into_iter().map(|line| Said { attempt, line }));
    }
    if args.format.is_json() {
        return args.format.print(&said);
    }
    if said.is_empty() && args.attempt.is_none_or(|attempt| attempt == record.attempt) {
        // What a program printed is kept with its record.
        return inspect::output_of(&record);
    }
    let several = said.first().map(|said| said.attempt) != said.last().map(|said| said.attempt);
    let mut shown = None;
    for Said { attempt, line } in &said {
        if several && shown != Some(attempt) {
            output::line(&format!("attempt {attempt}"))?;
            shown = Some(attempt);
        }
        print(line)?;
    }
    Ok(())
}

/// The attempts that may have said something, the first first: also those of which the record keeps no more than the number.
/// One that was given back has the number that comes next.
fn attempts(record: &TaskStateRecord) -> std::ops::RangeInclusive<u32> {
    1..=record.attempt.saturating_add(1)
}

fn print(line: &LogLine) -> Result<()> {
    let level = match line.level {
        LineLevel::Info => String::new(),
        level => format!("{} ", level.as_str()),
    };
    let mut texts = output::lines(&line.text);
    let first = texts.next().unwrap_or_default();
    output::line(&format!(
        "{} {level}{first}",
        output::instant(Some(line.at))
    ))?;
    texts.try_for_each(|text| output::line(&format!("    {text}")))
}
