//! `tlo submit`.

use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use crate::cli::{output, program};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::payload::Payload;
use crate::schedule::parse_duration;
use crate::task::{TaskStatus, UniqueScope};

/// What to submit.
#[derive(Args, Clone, Debug)]
pub(crate) struct SubmitArgs {
    /// The name of the task
    name: String,
    /// What it is given
    #[arg(long, value_name = "JSON", default_value = "null")]
    args: String,
    /// An idempotency key: while a task of this key is unfinished, its id is printed and nothing is submitted
    #[arg(long)]
    key: Option<String>,
    /// The queue
    #[arg(long)]
    queue: Option<String>,
    /// 0 to 255, larger first
    #[arg(long)]
    priority: Option<u8>,
    /// Not before this much time has passed
    #[arg(long = "in", value_name = "DURATION", conflicts_with = "at")]
    delay: Option<String>,
    /// Not before this instant
    #[arg(long, value_name = "INSTANT")]
    at: Option<String>,
    /// Accept a name that nobody here knows
    #[arg(long)]
    allow_unknown: bool,
    /// Wait until it has ended, and print its record
    #[arg(long)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Submits a task and prints its id.
///
/// # Errors
/// `UnknownTask` with the nearest names, `Invalid` for args that are not JSON, and those of the store.
pub(super) async fn run(
    config: Option<&Path>,
    client: &Client,
    args: SubmitArgs,
) -> Result<ExitCode> {
    // The tasks of the jobs file are known names, also when they run in another process.
    let listed = program::jobs(&program::settings(config)?, &[])?;
    let def = listed
        .jobs
        .into_iter()
        .map(|job| job.def)
        .find(|def| *def.name == *args.name);
    let payload = Payload::parse(args.args)?;
    let mut submit = match def {
        Some(def) => client.defined(def),
        None => client.task(args.name),
    };
    submit = submit.payload(payload);
    if args.allow_unknown {
        submit = submit.allow_unknown();
    }
    if let Some(key) = args.key {
        submit = submit.unique(key, UniqueScope::WhileUnfinished);
    }
    if let Some(queue) = args.queue {
        submit = submit.queue(queue);
    }
    if let Some(priority) = args.priority {
        submit = submit.priority(priority);
    }
    if let Some(delay) = args.delay {
        submit = submit.delay(parse_duration(&delay)?);
    }
    if let Some(at) = args.at {
        submit = submit.at(at.parse()?);
    }
    let handle = submit.submit().await?;
    if !args.wait {
        if args.json {
            output::json(&serde_json::json!({"id": handle.id(), "existing": !handle.is_new()}))?;
        } else {
            output::line(handle.id().as_str())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let record = handle.wait().await?;
    if args.json {
        output::json(&record.to_json())?;
    } else {
        output::line(&record.result.clone().unwrap_or_default().to_string())?;
    }
    if record.status == TaskStatus::Succeeded {
        return Ok(ExitCode::SUCCESS);
    }
    let why = record.error.unwrap_or_else(|| "no message".to_owned());
    Err(Error::new(
        ErrorKind::TaskFailed,
        "wait",
        format!("\"{}\" {}: {why}", record.id, record.status),
    ))
}
