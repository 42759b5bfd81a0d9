//! Records as they are stored: a packed header, what never changes as JSON, payloads and texts as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use serde::{Deserialize, Serialize};

use super::fields::FIELDS;
use super::packed::{self, Packed};
use super::times::time;
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

/// The id in the header of a record that may be damaged elsewhere.
pub(super) fn id_of(parts: &Value) -> Option<TaskId> {
    let Value::Array(parts) = parts else {
        return None;
    };
    match parts.first() {
        Some(Value::BulkString(header)) => TaskId::new(Header::read(header)?.text(0)).ok(),
        _ => None,
    }
}

/// Reads a record from its parts, in the order that the scripts give them. `None` when there is none.
pub(super) fn decode(id: Option<&TaskId>, parts: Value) -> Result<Option<TaskStateRecord>> {
    let named = || id.map_or_else(|| "?".to_owned(), ToString::to_string);
    let Value::Array(parts) = parts else {
        return Err(damaged(&named(), "it has no parts"));
    };
    let mut parts = parts.into_iter().map(text_of);
    let mut part = || parts.next().flatten();
    let Some(header) = part() else {
        return Ok(None);
    };
    if header == b"fault" {
        let why = part().unwrap_or_default();
        return Err(damaged(&named(), &String::from_utf8_lossy(&why)));
    }
    let header = Header::read(&header).ok_or_else(|| damaged(&named(), "its header is damaged"))?;
    let id = match id {
        Some(id) => id.clone(),
        None => TaskId::new(header.text(0))?,
    };
    if header.text(0) != id.as_str() {
        return Err(damaged(
            id.as_str(),
            &format!("its place holds the record \"{}\"", header.text(0)),
        ));
    }
    let rest = Parts {
        fixed: part(),
        args: part(),
        state: part(),
        result: part(),
        error: part(),
        group: part(),
        phase: part(),
        progress: part(),
        attempts: part(),
        reason: part(),
    };
    assemble(&id, &header, rest)
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

/// The packed header.
struct Header(Vec<Packed>);

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        match packed::read(bytes)? {
            Packed::List(fields) if fields.len() == FIELDS.len() => Some(Self(fields)),
            _ => None,
        }
    }

    fn text(&self, index: usize) -> &str {
        match &self.0[index] {
            Packed::Text(text) => text,
            _ => "",
        }
    }
}

/// A field by its name, found when this is compiled.
macro_rules! field {
    ($name:literal) => {
        const { index_of($name) }
    };
}

const fn index_of(name: &str) -> usize {
    let mut index = 0;
    while index < FIELDS.len() {
        if same(FIELDS[index].as_bytes(), name.as_bytes()) {
            return index;
        }
        index += 1;
    }
    panic!("no field of that name");
}

const fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}

type Read<T> = std::result::Result<T, String>;

impl Header {
    fn number<T: TryFrom<i64>>(&self, index: usize) -> Read<T> {
        match &self.0[index] {
            Packed::Number(number) => T::try_from(*number).ok(),
            _ => None,
        }
        .ok_or_else(|| format!("its field {} is no such number", FIELDS[index]))
    }

    fn given(&self, index: usize) -> Option<&str> {
        Some(self.text(index)).filter(|text| !text.is_empty())
    }

    fn time(&self, index: usize) -> Read<Option<Timestamp>> {
        let Some(text) = self.given(index) else {
            return Ok(None);
        };
        let read = time(text).ok_or_else(|| format!("its field {} is no time", FIELDS[index]));
        read.map(Some)
    }

    fn instant(&self, index: usize) -> Read<Timestamp> {
        self.time(index)?
            .ok_or_else(|| format!("its field {} is missing", FIELDS[index]))
    }

    fn list(&self, index: usize) -> &[Packed] {
        match &self.0[index] {
            Packed::List(list) => list,
            _ => &[],
        }
    }

    fn worker(&self, index: usize) -> Read<Option<WorkerId>> {
        let worker = self.given(index).map(WorkerId::new).transpose();
        worker.map_err(|error| error.to_string())
    }

    fn token(&self, index: usize) -> Read<Option<LeaseToken>> {
        let token = self.given(index).map(|text| u128::from_str_radix(text, 16));
        token
            .transpose()
            .map(|token| token.map(LeaseToken::from_u128))
            .map_err(|error| error.to_string())
    }

    fn lease(&self) -> Read<Option<Lease>> {
        let Some(worker) = self.worker(field!("worker"))? else {
            return Ok(None);
        };
        let token = self.token(field!("lease_token"))?;
        Ok(Some(Lease {
            worker,
            until: self.instant(field!("until"))?,
            fence: self.number(field!("fence"))?,
            token: token.ok_or("its lease has no token")?,
            ends: None,
        }))
    }

    fn gates(&self) -> Read<Vec<Gate>> {
        let pairs = self.list(field!("gates")).chunks(2);
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
        let Some(key) = self.given(field!("unique")) else {
            return Ok(None);
        };
        Ok(Some(Arc::new(Unique {
            key: key.into(),
            scope: scope.ok_or("the scope of its key is missing")?,
            until: self.time(field!("unique_until"))?,
        })))
    }

    fn parked(&self, reason: Option<String>) -> Read<Option<Box<Parked>>> {
        let Some(gate) = self.given(field!("parked")) else {
            return Ok(None);
        };
        Ok(Some(Box::new(Parked {
            gate: gate.to_owned(),
            since: self.instant(field!("parked_since"))?,
            reason: reason.unwrap_or_default(),
            opens_at: self.time(field!("opens_at"))?,
        })))
    }

    fn prefer(&self) -> Read<Option<Box<Prefer>>> {
        let Some(worker) = self.worker(field!("prefer"))? else {
            return Ok(None);
        };
        let until = self.instant(field!("prefer_until"))?;
        Ok(Some(Box::new(Prefer { worker, until })))
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

fn assemble(id: &TaskId, header: &Header, parts: Parts) -> Read<TaskStateRecord> {
    let fixed = parts.fixed.ok_or("a part of it is missing")?;
    let fixed: Fixed = serde_json::from_slice(&fixed).map_err(|error| error.to_string())?;
    if fixed.schema_version > SCHEMA_VERSION {
        return Err(format!(
            "it has layout {}; this build reads up to {SCHEMA_VERSION}: use a newer one",
            fixed.schema_version
        ));
    }
    let parent = header.given(field!("parent")).map(TaskId::new).transpose();
    let details = TaskDetails {
        version: header.given(field!("version")).map(Arc::from),
        phase: text(parts.phase)?,
        created_by: fixed.created_by,
        max_attempts: fixed.max_attempts,
        max_lost: fixed.max_lost,
        retry: fixed.retry,
        timeout: fixed.timeout,
        gates: header.gates()?,
        parent: parent.map_err(|error| error.to_string())?,
        tags: fixed.tags,
        headers: fixed.headers,
        state: payload(parts.state)?,
    };
    let holds = header.list(field!("holds")).iter();
    let status: i64 = header.number(field!("status"))?;
    Ok(TaskStateRecord {
        id: id.clone(),
        name: Arc::from(header.text(field!("name"))),
        queue: Arc::from(header.text(field!("queue"))),
        kind: fixed.kind,
        priority: header.number(field!("priority"))?,
        status: status_of(status).ok_or("its status is unknown")?,
        cancel_requested: header.number::<i64>(field!("cancel_requested"))? != 0,
        woken: header.number::<i64>(field!("woken"))? != 0,
        schema_version: fixed.schema_version,
        attempt: header.number(field!("attempt"))?,
        lost: header.number(field!("lost"))?,
        forgiven: header.number(field!("forgiven"))?,
        leases: header.number(field!("leases"))?,
        args: payload(parts.args)?.ok_or("it has no args")?,
        run_at: header.instant(field!("run_at"))?,
        expires_at: header.time(field!("expires_at"))?,
        created_at: header.instant(field!("created_at"))?,
        started_at: header.time(field!("started_at"))?,
        finished_at: header.time(field!("finished_at"))?,
        unique: header.unique(fixed.unique)?,
        schedule: fixed.schedule,
        slot: fixed.slot,
        lease: header.lease()?,
        fence: header.number(field!("fence"))?,
        token: header.token(field!("token"))?,
        holds: holds
            .filter_map(|held| match held {
                Packed::Text(key) => Some(key.clone()),
                _ => None,
            })
            .collect(),
        parked: header.parked(text(parts.reason)?)?,
        prefer: header.prefer()?,
        progress: payload(parts.progress)?,
        result: payload(parts.result)?,
        error: text(parts.error)?,
        error_group: text(parts.group)?,
        attempts: history(&parts.attempts.unwrap_or_default()).ok_or("its history is damaged")?,
        seq: header.number(field!("seq"))?,
        revision: header.number(field!("revision"))?,
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
