//! The stored form of a record: one flat JSON object, whichever way the fields lie in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::attempt::Attempt;
use super::details::TaskDetails;
use super::gate::Gate;
use super::record::{Lease, Parked, Prefer, TaskKind, TaskStateRecord};
use super::retry::RetryPolicy;
use super::status::TaskStatus;
use super::unique::Unique;
use crate::id::{LeaseToken, TaskId};
use crate::payload::Payload;
use crate::schedule::{format_duration, optional_duration_text};
use crate::timestamp::Timestamp;

/// Fields at most, a hint for formats that want to know.
const FIELDS: usize = 47;

impl Serialize for TaskStateRecord {
    /// Fields that are empty are left out.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut to = serializer.serialize_struct("TaskStateRecord", FIELDS)?;
        macro_rules! field {
            ($name:ident) => {
                to.serialize_field(stringify!($name), &self.$name)?;
            };
            ($name:ident if $given:expr) => {
                if $given {
                    field!($name);
                }
            };
        }
        field!(id);
        field!(kind if self.kind != TaskKind::default());
        field!(name);
        field!(version if self.version.is_some());
        field!(queue);
        field!(priority);
        field!(status);
        field!(phase if self.phase.is_some());
        field!(args);
        field!(run_at);
        field!(expires_at if self.expires_at.is_some());
        field!(created_at);
        field!(created_by if self.created_by.is_some());
        field!(started_at if self.started_at.is_some());
        field!(finished_at if self.finished_at.is_some());
        field!(attempt);
        field!(max_attempts);
        field!(lost if self.lost != 0);
        field!(max_lost);
        field!(leases if self.leases != 0);
        field!(forgiven if self.forgiven != 0);
        field!(retry if self.retry != RetryPolicy::default());
        if let Some(timeout) = self.timeout {
            to.serialize_field("timeout", &format_duration(timeout))?;
        }
        field!(lease if self.lease.is_some());
        field!(fence if self.fence != 0);
        field!(token if self.token.is_some());
        field!(cancel_requested if self.cancel_requested);
        field!(woken if self.woken);
        field!(gates if !self.gates.is_empty());
        field!(holds if !self.holds.is_empty());
        field!(parked if self.parked.is_some());
        if let Some(unique) = &self.unique {
            to.serialize_field("unique", &**unique)?;
        }
        field!(schedule if self.schedule.is_some());
        field!(slot if self.slot.is_some());
        field!(parent if self.parent.is_some());
        field!(tags if !self.tags.is_empty());
        field!(headers if !self.headers.is_empty());
        field!(progress if self.progress.is_some());
        field!(state if self.state.is_some());
        field!(result if self.result.is_some());
        field!(error if self.error.is_some());
        field!(error_group if self.error_group.is_some());
        field!(attempts if !self.attempts.is_empty());
        field!(prefer if self.prefer.is_some());
        field!(seq);
        field!(revision);
        field!(schema_version);
        to.end()
    }
}

#[derive(Deserialize)]
struct Stored {
    id: TaskId,
    #[serde(default)]
    kind: TaskKind,
    name: Arc<str>,
    #[serde(default)]
    version: Option<Arc<str>>,
    queue: Arc<str>,
    priority: u8,
    status: TaskStatus,
    #[serde(default)]
    phase: Option<String>,
    args: Payload,
    run_at: Timestamp,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    created_at: Timestamp,
    #[serde(default)]
    created_by: Option<String>,
    #[serde(default)]
    started_at: Option<Timestamp>,
    #[serde(default)]
    finished_at: Option<Timestamp>,
    attempt: u32,
    max_attempts: u32,
    #[serde(default)]
    lost: u32,
    max_lost: u32,
    #[serde(default)]
    leases: u64,
    #[serde(default)]
    forgiven: u32,
    #[serde(default)]
    retry: RetryPolicy,
    #[serde(default, with = "optional_duration_text")]
    timeout: Option<Duration>,
    #[serde(default)]
    lease: Option<Lease>,
    #[serde(default)]
    fence: u64,
    #[serde(default)]
    token: Option<LeaseToken>,
    #[serde(default)]
    cancel_requested: bool,
    #[serde(default)]
    woken: bool,
    #[serde(default)]
    gates: Vec<Gate>,
    #[serde(default)]
    holds: Vec<String>,
    #[serde(default)]
    parked: Option<Box<Parked>>,
    #[serde(default)]
    unique: Option<Unique>,
    #[serde(default)]
    schedule: Option<Arc<str>>,
    #[serde(default)]
    slot: Option<Timestamp>,
    #[serde(default)]
    parent: Option<TaskId>,
    #[serde(default)]
    tags: BTreeSet<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "given")]
    progress: Option<Payload>,
    #[serde(default, deserialize_with = "given")]
    state: Option<Payload>,
    #[serde(default, deserialize_with = "given")]
    result: Option<Payload>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    error_group: Option<String>,
    #[serde(default)]
    attempts: Vec<Attempt>,
    #[serde(default)]
    prefer: Option<Box<Prefer>>,
    seq: u64,
    revision: u64,
    schema_version: u16,
}

/// A payload that is there, also when it is `null`: a run that ended with `null` has a result.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Payload>, D::Error> {
    Payload::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for TaskStateRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        let details = TaskDetails {
            version: stored.version,
            phase: stored.phase,
            created_by: stored.created_by,
            max_attempts: stored.max_attempts,
            max_lost: stored.max_lost,
            retry: stored.retry,
            timeout: stored.timeout,
            gates: stored.gates,
            parent: stored.parent,
            tags: stored.tags,
            headers: stored.headers,
            state: stored.state,
        };
        Ok(Self {
            id: stored.id,
            name: stored.name,
            queue: stored.queue,
            kind: stored.kind,
            priority: stored.priority,
            status: stored.status,
            cancel_requested: stored.cancel_requested,
            woken: stored.woken,
            schema_version: stored.schema_version,
            attempt: stored.attempt,
            lost: stored.lost,
            forgiven: stored.forgiven,
            leases: stored.leases,
            args: stored.args,
            run_at: stored.run_at,
            expires_at: stored.expires_at,
            created_at: stored.created_at,
            started_at: stored.started_at,
            finished_at: stored.finished_at,
            unique: stored.unique.map(Arc::new),
            schedule: stored.schedule,
            slot: stored.slot,
            lease: stored.lease,
            fence: stored.fence,
            token: stored.token,
            holds: stored.holds,
            parked: stored.parked,
            prefer: stored.prefer,
            progress: stored.progress,
            result: stored.result,
            error: stored.error,
            error_group: stored.error_group,
            attempts: stored.attempts,
            seq: stored.seq,
            revision: stored.revision,
            details: details.share(),
        })
    }
}
