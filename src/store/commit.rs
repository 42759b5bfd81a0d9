//! The one write: guards and operations, applied wholly or not at all.

use std::sync::Arc;
use std::time::Duration;

use super::event::{NewEvent, StreamId};
use super::import::Import;
use super::mark::MarkExpect;
use crate::error::{Error, ErrorKind};
use crate::id::{TaskId, WorkerId};
use crate::payload::Payload;
use crate::task::{Due, LeaseRef, NewTask, Prefer, Settlement, TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// Guards and operations that stand or fall together.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// All must hold.
    pub guards: Vec<Guard>,
    /// Then all are applied, in order.
    pub ops: Vec<Op>,
}

impl Commit {
    /// A commit of operations without guards.
    #[must_use]
    pub fn of(ops: impl IntoIterator<Item = Op>) -> Self {
        Self {
            guards: Vec::new(),
            ops: ops.into_iter().collect(),
        }
    }

    /// The same commit with one more guard.
    #[must_use]
    pub fn when(mut self, guard: Guard) -> Self {
        // Most have one: no room for more is taken.
        if self.guards.is_empty() {
            self.guards.reserve_exact(1);
        }
        self.guards.push(guard);
        self
    }

    /// The same commit with one more operation.
    #[must_use]
    pub fn then(mut self, op: Op) -> Self {
        if self.ops.is_empty() {
            self.ops.reserve_exact(1);
        }
        self.ops.push(op);
        self
    }
}

/// A condition that the store checks inside the write.
#[derive(Clone, Debug)]
pub enum Guard {
    /// No record of this id.
    Absent(TaskId),
    /// The record exists and has not ended.
    Open(TaskId),
    /// The record is leased, and this is its lease.
    Held(TaskId, LeaseRef),
    /// The record is leased with this fence, and the lease has ended by the store's clock.
    Expired(TaskId, u64),
    /// The record has this revision.
    Revision(TaskId, u64),
    /// The stream has this many events ever appended.
    Length(StreamId, u64),
    /// The mark is as expected.
    Mark(Arc<str>, MarkExpect),
}

/// One change.
#[derive(Clone, Debug)]
pub enum Op {
    /// Makes a record.
    Create(Box<Create>),
    /// Writes the end of a run, as [`decide`](crate::task::decide) says. Guard it with `Held` or `Expired`.
    Settle(TaskId, Box<Settlement>),
    /// Moves the end of the lease to this long from now. Guard it with `Held`.
    Extend(TaskId, Duration),
    /// Changes fields.
    Patch(TaskId, Box<Patch>),
    /// Cancels: what waits is cancelled at once, what runs is asked to stop. The text is the reason.
    Cancel(TaskId, String),
    /// Runs a failed or cancelled task again, with a fresh budget.
    Revive(TaskId, Due),
    /// Makes a waiting task due now; a running one snoozes no longer than now the next time.
    Wake(TaskId),
    /// Removes a record that is not running, with its streams.
    Delete(TaskId),
    /// Adds events to a stream.
    Append(StreamId, Vec<NewEvent>),
    /// Removes the events of a stream before this number.
    Trim(StreamId, u64),
    /// Sets a mark. One whose key starts with [`GATE_MARK`](super::GATE_MARK) must hold a
    /// [`GateRule`](crate::task::GateRule).
    PutMark {
        /// Its key.
        key: Arc<str>,
        /// Its new value.
        value: Payload,
        /// When it goes away by itself.
        ttl: Option<Duration>,
    },
    /// Removes a mark.
    DropMark(Arc<str>),
    /// Puts in what another store had.
    Import(Box<Import>),
}

/// The making of a record.
#[derive(Clone, Debug)]
pub struct Create {
    /// The record's first fields.
    pub task: NewTask,
    /// Leases it in the same write when its gates allow and it is due. Rules of gates hold as in a claim, but nothing here
    /// says which task an older name stands for: of a task made under an alias, only rules of the alias are looked at.
    /// When the answer does not arrive, because its caller went away or the reply was lost, nobody renews the lease. Stores
    /// in this process hand such a task back at once, unless it has `max_lost` 0; else the lease ends by itself and
    /// counts as lost, so at most its length is lost.
    pub lease_to: Option<LeaseTo>,
}

/// Who gets a lease on what was just created.
#[derive(Clone, Debug)]
pub struct LeaseTo {
    /// The worker.
    pub worker: WorkerId,
    /// How long.
    pub ttl: Duration,
}

/// A field that may be changed: kept, or set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// Stays as it is.
    #[default]
    Keep,
    /// Gets this value.
    Set(T),
}

/// Changes to a record. Fields that place a task in a queue can only change while it is pending.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// When it is due; only while pending.
    pub due: Option<Due>,
    /// Its queue; only while pending.
    pub queue: Option<String>,
    /// Its priority; only while pending.
    pub priority: Option<u8>,
    /// Its args; only while pending.
    pub args: Option<Payload>,
    /// What the handler reports.
    pub progress: Option<Payload>,
    /// What an engine on top keeps.
    pub state: Option<Payload>,
    /// What an engine on top calls its step.
    pub phase: Change<Option<String>>,
    /// Who may claim first.
    pub prefer: Change<Option<Prefer>>,
}

/// What became of one commit.
pub type Committed = std::result::Result<Vec<Effect>, Refusal>;

/// What one operation did; in the order of the operations.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Nothing to tell.
    Done,
    /// A record was made; with it when it was leased to the creator.
    Created {
        /// The creation sequence.
        seq: u64,
        /// The leased record, when `lease_to` was asked for and possible.
        leased: Option<Arc<TaskStateRecord>>,
    },
    /// There was one already, of the same id or owning the unique key.
    Existing {
        /// Its id.
        id: TaskId,
        /// Its status.
        status: TaskStatus,
    },
    /// The lease was extended.
    Extended {
        /// Its new end.
        until: Timestamp,
        /// Somebody asked to cancel.
        cancel_requested: bool,
        /// A wake came.
        woken: bool,
    },
    /// The record has this status now.
    Status(TaskStatus),
    /// A running task was asked to stop.
    CancelRequested,
    /// Events were appended, or were there already; their numbers.
    Appended(Vec<u64>),
    /// The mark has this version now.
    Marked(u64),
}

/// Why a commit was refused. Nothing of it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such record.
    NotFound(TaskId),
    /// A record of this id exists.
    Exists(TaskId),
    /// The unique key is owned by this task.
    KeyTaken {
        /// The key.
        key: Arc<str>,
        /// Its owner.
        owner: TaskId,
    },
    /// The lease is somebody else's now, or was taken back.
    LeaseLost(TaskId),
    /// The lease is still live.
    NotExpired(TaskId),
    /// This very settle was applied before.
    AlreadyDone(TaskId),
    /// The record's status does not allow it.
    Status {
        /// The record.
        id: TaskId,
        /// Its status.
        status: TaskStatus,
        /// What was asked.
        wanted: &'static str,
    },
    /// The record changed since it was read.
    Revision(TaskId),
    /// The stream has another length.
    Length(StreamId, u64),
    /// The mark is not as expected; with its version, if it exists.
    Mark(Arc<str>, Option<u64>),
    /// The queue is full.
    QueueFull {
        /// The queue.
        queue: String,
        /// Its limit.
        max_depth: u64,
    },
    /// An input is not valid; the message names it.
    Invalid(String),
    /// An input is above its limit; the message names it and the limit.
    TooLarge(String),
    /// Stored data that the commit needs cannot be read; the message names it.
    Corrupt(String),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let (kind, message) = match refusal {
            Refusal::NotFound(id) => (ErrorKind::NotFound, format!("there is no task \"{id}\"")),
            Refusal::Exists(id) => (
                ErrorKind::AlreadyExists,
                format!("a task with the id \"{id}\" exists already"),
            ),
            Refusal::KeyTaken { key, owner } => (
                ErrorKind::Conflict,
                format!("the unique key \"{key}\" is owned by the task \"{owner}\""),
            ),
            Refusal::LeaseLost(id) => (
                ErrorKind::LeaseLost,
                format!("the lease of \"{id}\" was lost; the write changed nothing"),
            ),
            Refusal::NotExpired(id) => (
                ErrorKind::Conflict,
                format!("the lease of \"{id}\" has not ended"),
            ),
            Refusal::AlreadyDone(id) => (
                ErrorKind::Conflict,
                format!("this end of \"{id}\" was recorded before"),
            ),
            Refusal::Status { id, status, wanted } => (
                ErrorKind::Conflict,
                format!("\"{id}\" is {status}; it cannot be {wanted}"),
            ),
            Refusal::Revision(id) => (
                ErrorKind::Conflict,
                format!("\"{id}\" changed since it was read; read it again"),
            ),
            Refusal::Length(stream, length) => (
                ErrorKind::Conflict,
                format!("the stream \"{stream}\" has {length} events; read it again"),
            ),
            Refusal::Mark(key, Some(version)) => (
                ErrorKind::Conflict,
                format!("the mark \"{key}\" is at version {version}; read it again"),
            ),
            Refusal::Mark(key, None) => (
                ErrorKind::Conflict,
                format!(
                    "there is no mark \"{key}\" any more: it was removed, or its time is over; read it again, or set it as a new one"
                ),
            ),
            Refusal::QueueFull { queue, max_depth } => (
                ErrorKind::QueueFull,
                format!("the queue \"{queue}\" holds {max_depth} waiting tasks, its limit"),
            ),
            Refusal::Invalid(message) => (ErrorKind::Invalid, message),
            Refusal::TooLarge(message) => (ErrorKind::TooLarge, message),
            Refusal::Corrupt(message) => (ErrorKind::Corrupt, message),
        };
        Self::new(kind, "commit", message)
    }
}
