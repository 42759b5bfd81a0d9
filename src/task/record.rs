//! The one record: queue entry, lease, lock holder and result at once.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::details::TaskDetails;
use super::new::NewTask;
use super::status::TaskStatus;
use super::unique::Unique;
use crate::clock::Steady;
use crate::id::{LeaseToken, TaskId, WorkerId};
use crate::payload::Payload;
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

/// How much longer a lease lives that is measured on the wall clock, which somebody may set: one heartbeat of a lease of
/// the default length.
const WALL_GRACE: Duration = Duration::from_secs(10);

impl Lease {
    /// Whether it has ended, by the store's clocks.
    #[must_use]
    pub fn has_ended(&self, now: Timestamp, steady: Steady) -> bool {
        match self.ends {
            Some(ends) if steady.boot != Steady::NO_BOOT => {
                ends.boot != steady.boot || ends.at <= steady.at
            }
            _ => self.ends_by_the_wall() <= now,
        }
    }

    /// Its end where no steady clock tells it.
    pub(crate) fn ends_by_the_wall(&self) -> Timestamp {
        self.until.saturating_add(WALL_GRACE)
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
    /// When the gate was to open by itself for the next task, as it was seen then: a rate lets one start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Timestamp>,
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
/// recognised. Times are the store's. The fields of [`TaskDetails`] are fields of a record, too.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    missing_docs,
    reason = "the fields that say more than their name are documented"
)]
pub struct TaskStateRecord {
    pub id: TaskId,
    pub name: Arc<str>,
    pub queue: Arc<str>,
    pub kind: TaskKind,
    /// 0 to 255; larger runs first.
    pub priority: u8,
    pub status: TaskStatus,
    pub cancel_requested: bool,
    /// A wake came while it was leased: its next snooze is over at once.
    pub woken: bool,
    pub schema_version: u16,
    /// The number of the latest run, from 1; 0 before the first.
    pub attempt: u32,
    /// Leases that ended without a word from the worker.
    pub lost: u32,
    /// Failed attempts before the latest revive: they do not count against the fresh budget.
    pub forgiven: u32,
    /// How often it was leased; never given back.
    pub leases: u64,
    pub args: Payload,
    /// When it is (or was last) due. For an occurrence, its slot plus jitter.
    pub run_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// The start of the latest run.
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub unique: Option<Arc<Unique>>,
    /// The recurring task that it is an occurrence of.
    pub schedule: Option<Arc<str>>,
    /// Its slot of that schedule.
    pub slot: Option<Timestamp>,
    pub lease: Option<Lease>,
    /// The fence of the latest lease.
    pub fence: u64,
    /// The token of the latest lease, after it ended.
    pub token: Option<LeaseToken>,
    /// Keys of the gates it holds a place in.
    pub holds: Vec<String>,
    /// Set while a closed gate keeps it out of the ready set.
    pub parked: Option<Box<Parked>>,
    pub prefer: Option<Box<Prefer>>,
    /// What the handler last reported.
    pub progress: Option<Payload>,
    pub result: Option<Payload>,
    /// What the latest failed run said.
    pub error: Option<String>,
    /// The error without its numbers and ids.
    pub error_group: Option<String>,
    /// The first run and the last twenty.
    pub attempts: Vec<Attempt>,
    /// The creation sequence in its store: lists are in this order.
    pub seq: u64,
    /// Grows with every write to the record.
    pub revision: u64,
    pub details: Arc<TaskDetails>,
}

impl Deref for TaskStateRecord {
    type Target = TaskDetails;

    fn deref(&self) -> &TaskDetails {
        &self.details
    }
}

impl DerefMut for TaskStateRecord {
    /// The details of this record alone: shared ones are copied.
    fn deref_mut(&mut self) -> &mut TaskDetails {
        Arc::make_mut(&mut self.details)
    }
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
        let mut details = new.details;
        if details.max_attempts == 0 {
            Arc::make_mut(&mut details).max_attempts = 1;
        }
        Self {
            run_at: new.due.resolve(now),
            expires_at: new.expires.map(|due| due.resolve(now)),
            id: new.id,
            name: new.name,
            queue: new.queue,
            kind: new.kind,
            priority: new.priority,
            status: TaskStatus::Pending,
            cancel_requested: false,
            woken: false,
            schema_version: SCHEMA_VERSION,
            attempt: 0,
            lost: 0,
            forgiven: 0,
            leases: 0,
            args: new.args,
            created_at: now,
            started_at: None,
            finished_at: None,
            unique: new.unique,
            schedule: new.schedule,
            slot: new.slot,
            lease: None,
            fence: 0,
            token: None,
            holds: Vec::new(),
            parked: None,
            prefer: None,
            progress: None,
            result: None,
            error: None,
            error_group: None,
            attempts: Vec::new(),
            seq,
            revision: 1,
            details,
        }
    }

    /// Failed or timed-out runs that count against `max_attempts`.
    #[must_use]
    pub fn spent(&self) -> u32 {
        self.attempt
            .saturating_sub(self.lost)
            .saturating_sub(self.forgiven)
    }

    /// The record for people and programs outside: every field, and no lease token. Its payloads are in it as they are
    /// kept, also where other programs could not hold their numbers or their depth.
    #[must_use]
    pub fn to_json(&self) -> Payload {
        let kept = serde_json::to_string(self).unwrap_or_default();
        let mut fields: BTreeMap<String, Payload> = serde_json::from_str(&kept).unwrap_or_default();
        fields.remove("token");
        let lease = fields.get_mut("lease");
        if let Some((lease, Ok(mut shown))) = lease.map(|lease| {
            let shown = lease.decode::<serde_json::Map<String, serde_json::Value>>();
            (lease, shown)
        }) {
            shown.remove("token");
            shown.remove("ends");
            *lease = Payload::from(serde_json::Value::Object(shown));
        }
        for (name, empty) in OMITTED {
            if !fields.contains_key(*name) {
                let empty = Payload::parse(*empty).unwrap_or_default();
                fields.insert((*name).to_owned(), empty);
            }
        }
        if !fields.contains_key("retry") {
            let retry = Payload::of(&self.retry).unwrap_or_default();
            fields.insert("retry".to_owned(), retry);
        }
        Payload::of(&fields).unwrap_or_default()
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
        for payload in [&mut record.progress, &mut record.result]
            .into_iter()
            .flatten()
        {
            cut |= shorten(payload);
        }
        if record.state.as_ref().is_some_and(is_long)
            && let Some(state) = &mut record.state
        {
            cut |= shorten(state);
        }
        Self { record, cut }
    }
}

fn is_long(payload: &Payload) -> bool {
    payload.as_str().len() > SUMMARY_LIMIT
}

fn shorten(payload: &mut Payload) -> bool {
    let long = is_long(payload);
    if long {
        let text = super::attempt::cut_text(payload.as_str().to_owned(), SUMMARY_LIMIT);
        *payload = Payload::from(serde_json::Value::String(text));
    }
    long
}
