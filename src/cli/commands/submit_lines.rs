//! `tlo submit --stdin`.

use std::fmt::{self, Write as _};
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use serde_json::value::RawValue;

use crate::cli::output;
use crate::client::{Submit, TaskHandle};
use crate::context::TloContext;
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::payload::Payload;
use crate::schedule::parse_duration;
use crate::task::UniqueScope;
use crate::timestamp::Timestamp;

/// Lines that are told one by one when they are wrong.
const TOLD: usize = 20;

/// One task to submit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    #[serde(default, deserialize_with = "given")]
    args: Option<Box<RawValue>>,
    id: Option<String>,
    version: Option<String>,
    key: Option<String>,
    queue: Option<String>,
    priority: Option<u8>,
    #[serde(rename = "in")]
    delay: Option<Delay>,
    at: Option<Timestamp>,
    #[serde(default)]
    tags: Vec<String>,
}

/// What is given as null is null, and not what the jobs file says.
fn given<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(deserializer).map(Some)
}

/// `"5m"`, or a number of seconds.
enum Delay {
    Text(String),
    Seconds(f64),
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(DelayVisitor)
    }
}

struct DelayVisitor;

impl Visitor<'_> for DelayVisitor {
    type Value = Delay;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"in\" as a text such as \"5m\", or as a number of seconds")
    }

    fn visit_str<E>(self, text: &str) -> std::result::Result<Delay, E> {
        Ok(Delay::Text(text.to_owned()))
    }

    fn visit_f64<E>(self, seconds: f64) -> std::result::Result<Delay, E> {
        Ok(Delay::Seconds(seconds))
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "a wait of so many seconds is too long either way"
    )]
    fn visit_u64<E>(self, seconds: u64) -> std::result::Result<Delay, E> {
        Ok(Delay::Seconds(seconds as f64))
    }

    #[allow(clippy::cast_precision_loss, reason = "it is negative, and so no wait")]
    fn visit_i64<E>(self, seconds: i64) -> std::result::Result<Delay, E> {
        Ok(Delay::Seconds(seconds as f64))
    }
}

/// A line that cannot be submitted.
struct Wrong {
    number: usize,
    kind: ErrorKind,
    error: String,
}

impl Wrong {
    fn new(number: usize, error: &Error) -> Self {
        Self {
            number,
            kind: error.kind(),
            error: error.to_string(),
        }
    }
}

/// Submits a task for each line of standard input: all of them, or none.
///
/// # Errors
/// The kind of the first bad line; each is told by its number.
pub(super) async fn run(tlo: &TloContext, allow_unknown: bool, as_json: bool) -> Result<ExitCode> {
    let text = tokio::task::spawn_blocking(read).await.map_err(|source| {
        Error::new(ErrorKind::Internal, "submit", "reading panicked").with_source(source)
    })??;
    let (mut submits, mut numbers, mut wrong) = (Vec::new(), Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        match submit(tlo, line, allow_unknown).await {
            Ok(submit) => {
                submits.push(submit);
                numbers.push(index + 1);
            }
            Err(error) => wrong.push(Wrong::new(index + 1, &error)),
        }
    }
    if submits.is_empty() && wrong.is_empty() {
        let message = "standard input has no line; write one JSON object a line, such as {\"name\": \"greet\", \"args\": {\"user\": 7}}";
        return Err(Error::invalid("submit", message));
    }
    // What is wrong with the others is told at once, too.
    let handles = if wrong.is_empty() {
        match tlo.client().submit_many(submits).await {
            Ok(handles) => handles,
            Err(refused) if refused.items().is_empty() => return Err(refused.into()),
            Err(refused) => {
                let items = refused.items().iter();
                wrong.extend(items.filter_map(|item| {
                    let number = numbers.get(item.index)?;
                    Some(Wrong::new(*number, &item.error))
                }));
                Vec::new()
            }
        }
    } else {
        for (number, submit) in numbers.into_iter().zip(submits) {
            if let Err(error) = submit.prepare().await {
                wrong.push(Wrong::new(number, &error));
            }
        }
        Vec::new()
    };
    if !wrong.is_empty() {
        return Err(refused(wrong, as_json)?);
    }
    tell(&handles, as_json)?;
    Ok(ExitCode::SUCCESS)
}

fn read() -> Result<String> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .map_err(|source| {
            let message = format!("standard input cannot be read: {source}");
            Error::new(ErrorKind::Internal, "submit", message).with_source(source)
        })?;
    String::from_utf8(bytes).map_err(|source| {
        let valid = &source.as_bytes()[..source.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        let message = format!("nothing was submitted: line {line} is not UTF-8");
        Error::invalid("submit", message)
    })
}

async fn submit(tlo: &TloContext, line: &str, allow_unknown: bool) -> Result<Submit> {
    // A list of the fields would be read, too.
    if !line.trim_start().starts_with('{') {
        let message = "a line is a JSON object, such as {\"name\": \"greet\"}";
        return Err(Error::invalid("submit", message));
    }
    let line: Line = serde_json::from_str(line).map_err(|error| {
        // Its place in the line is what helps; that it is line 1 does not.
        let text = error.to_string();
        let text = text.replace(" at line 1 column ", ", at character ");
        Error::invalid("submit", text)
    })?;
    let args = match line.args {
        Some(args) => Payload::parse(args.get())?,
        None => match tlo.registry().get(&line.name).await? {
            Some(def) => def.args.clone(),
            None => Payload::null(),
        },
    };
    let mut submit = tlo.client().task(line.name).payload(args);
    if allow_unknown {
        submit = submit.allow_unknown();
    }
    if let Some(id) = line.id {
        submit = submit.id(TaskId::new(id)?);
    }
    if let Some(version) = line.version {
        submit = submit.version(version);
    }
    if let Some(key) = line.key {
        submit = submit.unique(key, UniqueScope::WhileUnfinished);
    }
    if let Some(queue) = line.queue {
        submit = submit.queue(queue);
    }
    if let Some(priority) = line.priority {
        submit = submit.priority(priority);
    }
    submit = match (line.delay, line.at) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid("submit", "\"in\" and \"at\" both say when"));
        }
        (Some(delay), None) => submit.delay(wait(delay)?),
        (None, Some(at)) => submit.at(at),
        (None, None) => submit,
    };
    Ok(line.tags.into_iter().fold(submit, Submit::tag))
}

fn wait(delay: Delay) -> Result<Duration> {
    match delay {
        Delay::Text(text) => parse_duration(&text),
        Delay::Seconds(seconds) => Duration::try_from_secs_f64(seconds)
            .map_err(|_| Error::invalid("submit", format!("\"in\": {seconds} is no wait"))),
    }
}

/// Tells of each bad line, and answers with the error that ends the command.
fn refused(mut wrong: Vec<Wrong>, as_json: bool) -> Result<Error> {
    wrong.sort_by_key(|line| line.number);
    if as_json {
        let lines = wrong.iter().map(
            |line| json!({"line": line.number, "kind": line.kind.as_str(), "error": line.error}),
        );
        output::json(&lines.collect::<Vec<_>>())?;
    }
    let kind = wrong.first().map_or(ErrorKind::Invalid, |line| line.kind);
    let count = output::counted(wrong.len(), "line");
    let mut message = format!("nothing was submitted: {count} cannot be");
    for line in wrong.iter().take(TOLD) {
        // Writing to a text does not fail.
        let _ = write!(message, "\n  line {}: {}", line.number, line.error);
    }
    if wrong.len() > TOLD {
        message.push_str("\n  …");
    }
    Ok(Error::new(kind, "submit", message))
}

fn tell(handles: &[TaskHandle], as_json: bool) -> Result<()> {
    if as_json {
        let all = handles
            .iter()
            .map(|handle| json!({"id": handle.id(), "existing": !handle.is_new()}));
        return output::json(&all.collect::<Vec<_>>());
    }
    let ids: String = handles
        .iter()
        .map(|handle| format!("{}\n", handle.id()))
        .collect();
    output::raw(ids.as_bytes())?;
    let existing = handles.iter().filter(|handle| !handle.is_new()).count();
    if existing > 0 {
        let tasks = output::counted(existing, "task");
        output::say(&format!("{tasks} of these keys or ids were there already"));
    }
    Ok(())
}
