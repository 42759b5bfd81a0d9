//! The one record: queue entry, lease, lock holder and result at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::attempt::Attempt;
use super::gate::Gate;
use super::new::NewTask;
use super::retry::RetryPolicy;
use super::status::TaskStatus;
use super::unique::Unique;
use crate::clock::Steady;
use crate::id::{LeaseToken, TaskId, WorkerId};
use crate::payload::Payload;
use crate::schedule::optional_duration_text;
use crate::timestamp::Timestamp;

/// The layout of records that this build writes. Records of a newer one are kept and reported, never guessed at.
pub const SCHEMA_VERSION: u16 = 1;

/// What a record stands for. Stores treat all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TaskKind {
    /// A submitted task.
    #[default]
    Task,
    /// One occurrence of a recurring task.
    Occurrence,
    /// A step of a workflow.
    Activity,
    /// A workflow run.
    Workflow,
    /// A node of a pipeline.
    Node,
}

/// Who runs a task now, and until when nobody else may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The holder.
    pub worker: WorkerId,
    /// The end, by the store's clock, unless it is extended.
    pub until: Timestamp,
    /// Grows with every lease of the task.
    pub fence: u64,
    /// The holder's secret.
    pub token: LeaseToken,
    /// The end on the steady clock of this machine, for stores that use it: setting the wall clock then changes
    /// nothing, and a reboot ends every lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Steady>,
}

/// What a holder shows to write to its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRef {
    /// The fence of the lease.
    pub fence: u64,
    /// The token of the lease.
    pub token: LeaseToken,
}

impl Lease {
    /// Whether it has ended, by the store's clocks.
    #[must_use]
    pub fn has_ended(&self, now: Timestamp, steady: Steady) -> bool {
        match self.ends {
            Some(ends) => ends.boot != steady.boot || ends.at <= steady.at,
            None => self.until <= now,
        }
    }

    /// What its holder shows.
    #[must_use]
    pub const fn reference(&self) -> LeaseRef {
        LeaseRef {
            fence: self.fence,
            token: self.token,
        }
    }
}

/// Why a pending task is out of the ready set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// The gate it waits behind.
    pub gate: String,
    /// Since when.
    pub since: Timestamp,
    /// Which rule closed the gate, for people.
    pub reason: String,
}

/// Lets one worker claim first, for a short while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefer {
    /// That worker.
    pub worker: WorkerId,
    /// How long.
    pub until: Timestamp,
}

/// The durable state of one task.
///
/// Terminal records keep the fence and token of the run that ended them, so a settle that is sent twice is
/// recognised. Times are the store's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "the fields that say more than their name are documented"
)]
pub struct TaskStateRecord {
    pub id: TaskId,
    #[serde(default, skip_serializing_if = "is_default")]
    pub kind: TaskKind,
    pub name: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Arc<str>>,
    pub queue: Arc<str>,
    /// 0 to 255; larger runs first.
    pub priority: u8,
    pub status: TaskStatus,
    /// What an engine on top calls the step it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    pub args: Payload,
    /// When it is (or was last) due. For an occurrence, its slot plus jitter.
    pub run_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// The start of the latest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The number of the latest run, from 1; 0 before the first.
    pub attempt: u32,
    /// Total runs that may fail, at least 1.
    pub max_attempts: u32,
    /// Leases that ended without a word from the worker.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lost: u32,
    /// Losses before it fails; 0 means at most once.
    pub max_lost: u32,
    /// How often it was leased; never given back.
    #[serde(default, skip_serializing_if = "is_default")]
    pub leases: u64,
    /// Failed attempts before the latest revive: they do not count against the fresh budget.
    #[serde(default, skip_serializing_if = "is_default")]
    pub forgiven: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: RetryPolicy,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_duration_text"
    )]
    pub timeout: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// The fence of the latest lease.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fence: u64,
    /// The token of the latest lease, after it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<LeaseToken>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub cancel_requested: bool,
    /// A wake came while it was leased: its next snooze is over at once.
    #[serde(default, skip_serializing_if = "is_default")]
    pub woken: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
    /// Keys of the gates it holds a place in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<String>,
    /// Set while a closed gate keeps it out of the ready set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<Parked>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique: Option<Unique>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TaskId>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What the handler last reported.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "given"
    )]
    pub progress: Option<Payload>,
    /// What an engine on top keeps with it.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "given"
    )]
    pub state: Option<Payload>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "given"
    )]
    pub result: Option<Payload>,
    /// What the latest failed run said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The error without its numbers and ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_group: Option<String>,
    /// The first run and the last twenty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefer: Option<Prefer>,
    /// The creation sequence in its store: lists are in this order.
    pub seq: u64,
    /// Grows with every write to the record.
    pub revision: u64,
    pub schema_version: u16,
}

/// A payload that is there, also when it is `null`: a run that ended with `null` has a result.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Payload>, D::Error> {
    Payload::deserialize(deserializer).map(Some)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The fields that the stored form leaves out when they are empty, and what they are then.
const OMITTED: &[(&str, &str)] = &[
    ("kind", "\"task\""),
    ("version", "null"),
    ("phase", "null"),
    ("expires_at", "null"),
    ("created_by", "null"),
    ("started_at", "null"),
    ("finished_at", "null"),
    ("lost", "0"),
    ("leases", "0"),
    ("timeout", "null"),
    ("lease", "null"),
    ("cancel_requested", "false"),
    ("gates", "[]"),
    ("parked", "null"),
    ("unique", "null"),
    ("schedule", "null"),
    ("slot", "null"),
    ("parent", "null"),
    ("tags", "[]"),
    ("headers", "{}"),
    ("progress", "null"),
    ("state", "null"),
    ("result", "null"),
    ("error", "null"),
    ("error_group", "null"),
    ("attempts", "[]"),
    ("prefer", "null"),
];

impl TaskStateRecord {
    /// The record of a new task, stamped with the store's time and its next creation sequence.
    #[must_use]
    pub fn create(new: NewTask, now: Timestamp, seq: u64) -> Self {
        Self {
            run_at: new.due.resolve(now),
            expires_at: new.expires.map(|due| due.resolve(now)),
            id: new.id,
            kind: new.kind,
            name: new.name,
            version: new.version,
            queue: new.queue,
            priority: new.priority,
            status: TaskStatus::Pending,
            phase: new.phase,
            args: new.args,
            created_at: now,
            created_by: new.created_by,
            started_at: None,
            finished_at: None,
            attempt: 0,
            max_attempts: new.max_attempts.max(1),
            lost: 0,
            max_lost: new.max_lost,
            leases: 0,
            forgiven: 0,
            retry: new.retry,
            timeout: new.timeout,
            lease: None,
            fence: 0,
            token: None,
            cancel_requested: false,
            woken: false,
            gates: new.gates,
            holds: Vec::new(),
            parked: None,
            unique: new.unique,
            schedule: new.schedule,
            slot: new.slot,
            parent: new.parent,
            tags: new.tags,
            headers: new.headers,
            progress: None,
            state: new.state,
            result: None,
            error: None,
            error_group: None,
            attempts: Vec::new(),
            prefer: None,
            seq,
            revision: 1,
            schema_version: SCHEMA_VERSION,
        }
    }

    /// Failed or timed-out runs that count against `max_attempts`.
    #[must_use]
    pub fn spent(&self) -> u32 {
        self.attempt
            .saturating_sub(self.lost)
            .saturating_sub(self.forgiven)
    }

    /// The record for people and programs outside: every field, and no lease token.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let mut json = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = json.as_object_mut() {
            fields.remove("token");
            if let Some(lease) = fields
                .get_mut("lease")
                .and_then(serde_json::Value::as_object_mut)
            {
                lease.remove("token");
                lease.remove("ends");
            }
            for (name, empty) in OMITTED {
                if !fields.contains_key(*name) {
                    fields.insert(
                        (*name).to_owned(),
                        serde_json::from_str(empty).unwrap_or_default(),
                    );
                }
            }
            if !fields.contains_key("retry") {
                fields.insert(
                    "retry".to_owned(),
                    serde_json::to_value(&self.retry).unwrap_or_default(),
                );
            }
        }
        json
    }
}

/// A line of a list: the record with its args and result cut short.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSummary {
    /// The record; `args`, `progress`, `state` and `result` above 1 KiB are replaced by a text that starts like them.
    pub record: TaskStateRecord,
    /// Whether something was cut.
    pub cut: bool,
}

/// Payloads in a summary have at most this many bytes.
const SUMMARY_LIMIT: usize = 1024;

impl From<TaskStateRecord> for TaskSummary {
    fn from(mut record: TaskStateRecord) -> Self {
        let mut cut = shorten(&mut record.args);
        for payload in [&mut record.progress, &mut record.state, &mut record.result]
            .into_iter()
            .flatten()
        {
            cut |= shorten(payload);
        }
        Self { record, cut }
    }
}

fn shorten(payload: &mut Payload) -> bool {
    let long = payload.as_str().len() > SUMMARY_LIMIT;
    if long {
        let text = super::attempt::cut_text(payload.as_str().to_owned(), SUMMARY_LIMIT);
        *payload = Payload::from(serde_json::Value::String(text));
    }
    long
}
