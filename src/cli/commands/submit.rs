//! `tlo submit`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::submit_lines;
use crate::cli::args::{duration, parsed};
use crate::cli::output;
use crate::context::TloContext;
use crate::error::{Error, ErrorKind, Result};
use crate::payload::Payload;
use crate::store::Durability;
use crate::task::{TaskStatus, UniqueScope};
use crate::timestamp::Timestamp;

/// How long waiting needs no word.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to submit.
#[derive(Args, Clone, Debug)]
pub(crate) struct SubmitArgs {
    /// The name of the task
    #[arg(required_unless_present = "stdin")]
    name: Option<String>,
    /// Submit a task for each line of standard input, all of them or none
    ///
    /// A line is a JSON object: {"name": "greet", "args": {"user": 7}}, and what else is needed of key, queue, priority, in, at,
    /// tags, version and id. At most 50,000 lines.
    #[arg(long, conflicts_with_all = ["name", "args", "key", "queue", "priority", "delay", "at", "wait", "wait_for"])]
    stdin: bool,
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
    refuse_what_ends_here(tlo)?;
    let Some(name) = args.name else {
        return submit_lines::run(tlo, args.allow_unknown, args.json).await;
    };
    let client = tlo.client();
    let payload = match args.args {
        Some(payload) => payload,
        None => match tlo.registry().get(&name).await? {
            Some(def) => def.args.clone(),
            None => Payload::null(),
        },
    };
    let mut submit = client.task(name).payload(payload);
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
    let handle = submit
        .submit()
        .await
        .map_err(|error| without_file(tlo, error))?;
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
    let waiting = async {
        match args.wait_for {
            Some(limit) => handle.wait_for(limit).await,
            None => handle.wait().await,
        }
    };
    let mut waiting = std::pin::pin!(waiting);
    let record = tokio::select! {
        biased;
        record = &mut waiting => record,
        () = tlo.clock().sleep(PATIENCE) => {
            say_when_nobody_works(tlo).await;
            waiting.await
        }
    }?;
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

/// What is submitted to a store that ends with this command would never run.
fn refuse_what_ends_here(tlo: &TloContext) -> Result<()> {
    let store = tlo.store().capability();
    if store.durability != Durability::None || store.shared {
        return Ok(());
    }
    let message = format!(
        "the store \"{}\" ends with this command, and the task with it; name a durable one with task_state_store, such as sqlite:tlo.db",
        store.name
    );
    Err(Error::new(ErrorKind::Configuration, "submit", message))
}

/// Without a jobs file nobody knows a name: perhaps it is in another folder.
fn without_file(tlo: &TloContext, error: Error) -> Error {
    if error.kind() != ErrorKind::UnknownTask || tlo.loaded().file().is_some() {
        return error;
    }
    let message = format!("{error}; there is no tlo.toml in this folder; name one with --config");
    Error::new(error.kind(), "submit", message).with_source(error)
}

/// Who waits for what nobody runs should know.
async fn say_when_nobody_works(tlo: &TloContext) {
    // Other stores do not tell of their workers; and what is wrong with this one, the waiting meets as well.
    if tlo.store().capability().shared
        && let Ok(workers) = tlo.client().workers().await
        && workers.is_empty()
    {
        output::say("no worker is running on this store: start one with `tlo run`");
    }
}

fn payload(text: &str) -> std::result::Result<Payload, String> {
    Payload::parse(text).map_err(|error| error.to_string())
}
