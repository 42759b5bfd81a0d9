//! Records from their stored values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use serde::{Deserialize, Serialize};

use super::packed::Packed;
use super::stored::{Special, Stored};
use super::times::{code, time};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{LeaseToken, TaskId, WorkerId};
use crate::payload::Payload;
use crate::schedule::optional_duration_text;
use crate::task::{
    Attempt, AttemptEnd, Gate, Lease, NewTask, Parked, Prefer, RetryPolicy, SCHEMA_VERSION,
    TaskDetails, TaskKind, TaskStateRecord, TaskStatus, Unique, UniqueScope,
};
use crate::timestamp::Timestamp;

/// What of a record never changes after it was made, and no script looks at.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Fixed {
    #[serde(default, skip_serializing_if = "is_default")]
    kind: TaskKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_by: Option<String>,
    max_attempts: u32,
    max_lost: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    retry: RetryPolicy,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_duration_text"
    )]
    timeout: Option<Duration>,
    #[serde(default, skip_serializing_if = "is_default")]
    tags: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slot: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unique: Option<UniqueScope>,
    schema_version: u16,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Fixed {
    pub(super) fn of(new: &NewTask) -> Self {
        let details = &*new.details;
        Self {
            kind: new.kind,
            created_by: details.created_by.clone(),
            max_attempts: details.max_attempts.max(1),
            max_lost: details.max_lost,
            retry: details.retry.clone(),
            timeout: details.timeout,
            tags: details.tags.clone(),
            headers: details.headers.clone(),
            schedule: new.schedule.clone(),
            slot: new.slot,
            unique: new.unique.as_ref().map(|unique| unique.scope),
            schema_version: SCHEMA_VERSION,
        }
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|source| {
            Error::new(
                ErrorKind::Internal,
                "encode record",
                "a record has no JSON form",
            )
            .with_source(source)
        })
    }
}

/// The names of the ways a run ends, as records have them.
const OUTCOMES: [(AttemptEnd, &str); 8] = [
    (AttemptEnd::Succeeded, "succeeded"),
    (AttemptEnd::Failed, "failed"),
    (AttemptEnd::Panicked, "panicked"),
    (AttemptEnd::TimedOut, "timed_out"),
    (AttemptEnd::Snoozed, "snoozed"),
    (AttemptEnd::Released, "released"),
    (AttemptEnd::Cancelled, "cancelled"),
    (AttemptEnd::Lost, "lost"),
];

pub(super) fn outcome_text(end: AttemptEnd) -> &'static str {
    OUTCOMES
        .iter()
        .find(|(known, _)| *known == end)
        .map_or("failed", |(_, text)| text)
}

pub(super) fn status_of(number: i64) -> Option<TaskStatus> {
    let index = usize::try_from(number).ok()?;
    TaskStatus::ALL.get(index).copied()
}

/// The id of a record that may be damaged elsewhere.
pub(super) fn id_of(answer: &Value) -> Option<TaskId> {
    let value = match answer {
        Value::Array(parts) => parts.first()?,
        value => value,
    };
    match value {
        Value::BulkString(bytes) => TaskId::new(Stored::read(bytes)?.id).ok(),
        _ => None,
    }
}

/// Reads a record from what the scripts answer: its value, or a list of it and of the parts that lie beside it. `None` when
/// there is none.
pub(super) fn decode(id: Option<&TaskId>, answer: Value) -> Result<Option<TaskStateRecord>> {
    let (value, beside) = match answer {
        Value::Nil => return Ok(None),
        Value::Array(mut values) if !values.is_empty() => {
            let beside = values.split_off(1);
            (values.pop(), beside)
        }
        value => (Some(value), Vec::new()),
    };
    let bytes = value.and_then(text_of);
    let stored = bytes.as_deref().and_then(Stored::read);
    let Some(stored) = stored else {
        let named = id.map_or_else(|| "?".to_owned(), ToString::to_string);
        return Err(damaged(&named, "it is damaged"));
    };
    let id = match id {
        Some(id) => id.clone(),
        None => TaskId::new(stored.id)?,
    };
    if stored.id != id.as_str() {
        return Err(damaged(
            id.as_str(),
            &format!("its place holds the record \"{}\"", stored.id),
        ));
    }
    assemble(&id, &stored, beside)
        .map(Some)
        .map_err(|why| damaged(id.as_str(), &why))
}

fn damaged(id: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "read record",
        format!("the stored record \"{id}\" cannot be read: {why}"),
    )
}

fn text_of(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}

/// The parts of a record, by their letters.
#[derive(Default)]
struct Parts {
    fixed: Option<Vec<u8>>,
    args: Option<Vec<u8>>,
    state: Option<Vec<u8>>,
    result: Option<Vec<u8>>,
    error: Option<Vec<u8>>,
    group: Option<Vec<u8>>,
    phase: Option<Vec<u8>>,
    progress: Option<Vec<u8>>,
    attempts: Option<Vec<u8>>,
    reason: Option<Vec<u8>>,
}

impl Parts {
    fn of(stored: &Stored<'_>, beside: Vec<Value>) -> Option<Self> {
        let mut parts = Self::default();
        for (letter, text) in stored.parts()? {
            if let Some(text) = text {
                *parts.place(letter)? = Some(text.to_vec());
            }
        }
        let mut beside = beside.into_iter().map(text_of);
        while let Some(letter) = beside.next() {
            let place = parts.place(*letter?.first()?)?;
            *place = Some(beside.next()??);
        }
        Some(parts)
    }

    fn place(&mut self, letter: u8) -> Option<&mut Option<Vec<u8>>> {
        Some(match letter {
            b'i' => &mut self.fixed,
            b'a' => &mut self.args,
            b's' => &mut self.state,
            b'r' => &mut self.result,
            b'e' => &mut self.error,
            b'g' => &mut self.group,
            b'p' => &mut self.phase,
            b'o' => &mut self.progress,
            b'h' => &mut self.attempts,
            b'w' => &mut self.reason,
            _ => return None,
        })
    }
}

type Read<T> = std::result::Result<T, String>;

fn moment(text: &str, field: &str) -> Read<Option<Timestamp>> {
    if text.is_empty() || text.starts_with('-') {
        return Ok(None);
    }
    let read = time(text).ok_or_else(|| format!("its field {field} is no time"));
    read.map(Some)
}

fn instant(text: &str, field: &str) -> Read<Timestamp> {
    moment(text, field)?.ok_or_else(|| format!("its field {field} is missing"))
}

fn worker(text: &str) -> Read<WorkerId> {
    WorkerId::new(text).map_err(|error| error.to_string())
}

impl Stored<'_> {
    fn special_time(&self, which: Special) -> Read<Option<Timestamp>> {
        moment(self.special(which).unwrap_or_default(), "of its gates")
    }

    fn lease(&self, token: Option<LeaseToken>) -> Read<Option<Lease>> {
        if self.worker.is_empty() {
            return Ok(None);
        }
        Ok(Some(Lease {
            worker: worker(self.worker)?,
            until: instant(self.until(), "until")?,
            fence: self.numbers.fence,
            token: token.ok_or("its lease has no token")?,
            ends: None,
        }))
    }

    fn gates(&self) -> Read<Vec<Gate>> {
        let pairs = self.list(Special::Gates).chunks(2);
        let gates = pairs.map(|pair| match pair {
            [Packed::Text(key), Packed::Number(limit)] => Ok(Gate {
                key: key.clone(),
                limit: u32::try_from(*limit).map_err(|error| error.to_string())?,
            }),
            _ => Err("a gate of it is damaged".to_owned()),
        });
        gates.collect()
    }

    fn unique(&self, scope: Option<UniqueScope>) -> Read<Option<Arc<Unique>>> {
        let Some(key) = self.special(Special::Unique) else {
            return Ok(None);
        };
        Ok(Some(Arc::new(Unique {
            key: key.into(),
            scope: scope.ok_or("the scope of its key is missing")?,
            until: self.special_time(Special::UniqueUntil)?,
        })))
    }

    fn parked(&self, reason: Option<String>) -> Read<Option<Box<Parked>>> {
        let Some(gate) = self.special(Special::Parked) else {
            return Ok(None);
        };
        let since = self.special_time(Special::ParkedSince)?;
        Ok(Some(Box::new(Parked {
            gate: gate.to_owned(),
            since: since.ok_or("since when it waits is missing")?,
            reason: reason.unwrap_or_default(),
            opens_at: self.special_time(Special::OpensAt)?,
        })))
    }

    fn prefer(&self) -> Read<Option<Box<Prefer>>> {
        let Some(name) = self.special(Special::Prefer) else {
            return Ok(None);
        };
        let until = self.special_time(Special::PreferUntil)?;
        Ok(Some(Box::new(Prefer {
            worker: worker(name)?,
            until: until.ok_or("until when it is kept for a worker is missing")?,
        })))
    }
}

fn text(bytes: Option<Vec<u8>>) -> Read<Option<String>> {
    let text = bytes.map(String::from_utf8).transpose();
    text.map_err(|_| "a text of it is no UTF-8".to_owned())
}

fn payload(bytes: Option<Vec<u8>>) -> Read<Option<Payload>> {
    let payload = text(bytes)?.map(Payload::parse).transpose();
    payload.map_err(|error| error.to_string())
}

fn assemble(id: &TaskId, stored: &Stored<'_>, beside: Vec<Value>) -> Read<TaskStateRecord> {
    let parts = Parts::of(stored, beside).ok_or("its parts are damaged")?;
    let fixed = parts.fixed.ok_or("a part of it is missing")?;
    let fixed: Fixed = serde_json::from_slice(&fixed).map_err(|error| error.to_string())?;
    if fixed.schema_version > SCHEMA_VERSION {
        return Err(format!(
            "it has layout {}; this build reads up to {SCHEMA_VERSION}: use a newer one",
            fixed.schema_version
        ));
    }
    let parent = stored.special(Special::Parent).map(TaskId::new).transpose();
    let details = TaskDetails {
        version: Some(stored.version)
            .filter(|version| !version.is_empty())
            .map(Arc::from),
        phase: text(parts.phase)?,
        created_by: fixed.created_by,
        max_attempts: fixed.max_attempts,
        max_lost: fixed.max_lost,
        retry: fixed.retry,
        timeout: fixed.timeout,
        gates: stored.gates()?,
        parent: parent.map_err(|error| error.to_string())?,
        tags: fixed.tags,
        headers: fixed.headers,
        state: payload(parts.state)?,
    };
    let token = stored.token().map(|text| u128::from_str_radix(text, 16));
    let token = token.transpose().map_err(|error| error.to_string())?;
    let token = token.map(LeaseToken::from_u128);
    let lease = stored.lease(token)?;
    let (priority, seq) = stored.order().ok_or("its order is damaged")?;
    let numbers = stored.numbers;
    Ok(TaskStateRecord {
        id: id.clone(),
        name: Arc::from(stored.name),
        queue: Arc::from(stored.queue),
        kind: fixed.kind,
        priority,
        status: status_of(stored.digit(0)).ok_or("its status is unknown")?,
        cancel_requested: stored.digit(1) != 0,
        woken: stored.digit(2) != 0,
        schema_version: fixed.schema_version,
        attempt: numbers.attempt,
        lost: numbers.lost,
        forgiven: numbers.forgiven,
        leases: numbers.leases,
        args: payload(parts.args)?.ok_or("it has no args")?,
        run_at: instant(stored.run_at(), "run_at")?,
        expires_at: stored.special_time(Special::ExpiresAt)?,
        created_at: instant(stored.created_at(), "created_at")?,
        started_at: moment(stored.started_at(), "started_at")?,
        finished_at: moment(stored.finished_at(), "finished_at")?,
        unique: stored.unique(fixed.unique)?,
        schedule: fixed.schedule,
        slot: fixed.slot,
        token: token.filter(|_| lease.is_none()),
        lease,
        fence: numbers.fence,
        holds: stored
            .list(Special::Holds)
            .iter()
            .filter_map(|held| match held {
                Packed::Text(key) => Some(key.clone()),
                _ => None,
            })
            .collect(),
        parked: stored.parked(text(parts.reason)?)?,
        prefer: stored.prefer()?,
        progress: payload(parts.progress)?,
        result: payload(parts.result)?,
        error: text(parts.error)?,
        error_group: text(parts.group)?,
        attempts: history(&parts.attempts.unwrap_or_default()).ok_or("its history is damaged")?,
        seq,
        revision: numbers.revision,
        details: details.share(),
    })
}

/// The runs of a record: each behind its length in eight digits.
fn history(bytes: &[u8]) -> Option<Vec<Attempt>> {
    let mut rest = std::str::from_utf8(bytes).ok()?;
    let mut attempts = Vec::new();
    while !rest.is_empty() {
        let length: usize = rest.get(..8)?.parse().ok()?;
        attempts.push(attempt(rest.get(8..8 + length)?)?);
        rest = &rest[8 + length..];
    }
    Some(attempts)
}

/// The same the other way round, as the scripts write it.
pub(super) fn history_text(attempts: &[Attempt]) -> String {
    let frames = attempts.iter().map(|run| {
        let error = run.error.as_ref().map(|error| format!("={error}"));
        let body = [
            run.attempt.to_string(),
            code(run.started_at),
            code(run.finished_at),
            outcome_text(run.outcome).to_owned(),
            run.worker.as_str().to_owned(),
            error.unwrap_or_default(),
        ]
        .join("\n");
        format!("{:08}{body}", body.len())
    });
    frames.collect()
}

fn attempt(body: &str) -> Option<Attempt> {
    let mut lines = body.splitn(6, '\n');
    let number = lines.next()?.parse().ok()?;
    let (started_at, finished_at) = (time(lines.next()?)?, time(lines.next()?)?);
    let outcome = lines.next()?;
    let outcome = OUTCOMES.iter().find(|(_, text)| *text == outcome)?.0;
    let worker = WorkerId::new(lines.next()?).ok()?;
    Some(Attempt {
        attempt: number,
        worker,
        started_at,
        finished_at,
        outcome,
        error: lines.next()?.strip_prefix('=').map(ToOwned::to_owned),
    })
}
