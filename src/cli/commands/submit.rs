//! `tlo submit`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::cli::args::{duration, parsed};
use crate::cli::output;
use crate::context::TloContext;
use crate::error::{Error, ErrorKind, Result};
use crate::payload::Payload;
use crate::task::{TaskStatus, UniqueScope};
use crate::timestamp::Timestamp;

/// What to submit.
#[derive(Args, Clone, Debug)]
pub(crate) struct SubmitArgs {
    /// The name of the task
    name: String,
    /// What it is given; by default what the jobs file says, else null
    #[arg(long, value_name = "JSON", value_parser = payload)]
    args: Option<Payload>,
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
    #[arg(long = "in", value_name = "DURATION", conflicts_with = "at", value_parser = duration)]
    delay: Option<Duration>,
    /// Not before this instant, such as 2026-11-20T10:00:00Z
    #[arg(long, value_name = "INSTANT", value_parser = parsed::<Timestamp>)]
    at: Option<Timestamp>,
    /// Accept a name that nobody here knows
    #[arg(long)]
    allow_unknown: bool,
    /// Wait until it has ended, and print its result (with --json its record); exits with 7 when it failed
    #[arg(long)]
    wait: bool,
    /// Give up waiting after this long and exit with 6; the task goes on
    #[arg(long, value_name = "DURATION", requires = "wait", value_parser = duration)]
    wait_for: Option<Duration>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Submits a task and prints its id.
///
/// # Errors
/// `UnknownTask` with the nearest names, `Invalid` for args that are not JSON, and those of the store.
pub(super) async fn run(tlo: &TloContext, args: SubmitArgs) -> Result<ExitCode> {
    let client = tlo.client();
    let payload = match args.args {
        Some(payload) => payload,
        None => match tlo.registry().get(&args.name).await? {
            Some(def) => def.args.clone(),
            None => Payload::null(),
        },
    };
    let mut submit = client.task(args.name).payload(payload);
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
        submit = submit.delay(delay);
    }
    if let Some(at) = args.at {
        submit = submit.at(at);
    }
    let handle = submit.submit().await?;
    if !handle.is_new() {
        output::say("a task of this key is unfinished: nothing was submitted");
    }
    if !args.wait {
        if args.json {
            output::json(&serde_json::json!({"id": handle.id(), "existing": !handle.is_new()}))?;
        } else {
            output::line(handle.id().as_str())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let record = match args.wait_for {
        Some(limit) => handle.wait_for(limit).await?,
        None => handle.wait().await?,
    };
    if args.json {
        output::json(&record.to_json())?;
    } else if let Some(result) = &record.result {
        output::line(&result.to_string())?;
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

fn payload(text: &str) -> std::result::Result<Payload, String> {
    Payload::parse(text).map_err(|error| error.to_string())
}
