//! [`Reason`]: the decisions that a chain is made of.

use std::time::Duration;

use serde::Serialize;

use crate::id::{TaskId, WorkerId};
use crate::schedule::{SkipReason, duration_text};
use crate::task::{AttemptEnd, UniqueScope};
use crate::timestamp::Timestamp;

/// One decision about a task or a slot. Its `Display` says it in a line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[non_exhaustive]
#[allow(
    missing_docs,
    reason = "the fields that say more than their name are documented"
)]
pub enum Reason {
    /// Somebody, or a task, made it.
    Created {
        by: Option<String>,
        parent: Option<TaskId>,
        queue: String,
        priority: u8,
    },
    /// A slot of a schedule came and it was made for it.
    SlotFired {
        schedule: String,
        slot: Timestamp,
        id: TaskId,
    },
    /// It owns an idempotency key: submits of the same key were not made, and got this id.
    OwnsKey {
        key: String,
        scope: UniqueScope,
        until: Option<Timestamp>,
    },
    /// It gave its idempotency key up: a submit of the same key makes a new task.
    GaveKeyUp { key: String },
    /// A run of it, and how that ended. The time is its start.
    Attempt {
        attempt: u32,
        max_attempts: u32,
        worker: WorkerId,
        #[serde(with = "duration_text")]
        took: Duration,
        end: AttemptEnd,
        error: Option<String>,
    },
    /// It was taken back from a worker that said nothing any more. The time is that of the taking back.
    Reclaimed {
        attempt: u32,
        worker: WorkerId,
        /// Since the worker claimed it.
        #[serde(with = "duration_text")]
        after: Duration,
    },
    /// Somebody steered it.
    Steered {
        /// Such as `cancel`, `revive` or `move`.
        action: String,
        who: Option<String>,
        why: Option<String>,
        to: Option<String>,
    },
    /// It was revived together with others, and its attempts before that do not count.
    Revived { forgiven: u32 },
    /// It is not due yet.
    Delayed,
    /// Its last run failed or was lost, and it is tried again.
    RetryAt { attempt: u32, max_attempts: u32 },
    /// Its last run asked to go on later.
    SnoozedUntil,
    /// It is cancelled unless it has started by then.
    ExpiresAt,
    /// A pause keeps it from starting. The time is that of the pause.
    Paused {
        /// The gate: a key, `queue/<name>` or `task/<name>`.
        gate: String,
        by: Option<String>,
        why: Option<String>,
    },
    /// A gate has no place free.
    GateFull {
        /// The gate: a key, `queue/<name>` or `task/<name>`.
        gate: String,
        limit: u32,
        /// Who holds places, at most 20 of them.
        held_by: Vec<TaskId>,
    },
    /// A gate lets so many start in a period. The time is that of its next start, where it is known.
    GateRate {
        /// The gate: a key, `queue/<name>` or `task/<name>`.
        gate: String,
        starts: u32,
        #[serde(with = "duration_text")]
        per: Duration,
    },
    /// It waits behind a gate that is open again: it comes back with the next look.
    GateOpens { gate: String },
    /// No live worker serves its queue and has a handler of its name and version.
    NoWorker {
        name: String,
        version: Option<String>,
        queue: String,
        /// How many workers live.
        alive: usize,
        /// The nearest of what they offer.
        nearest: Option<String>,
    },
    /// Others start first.
    BehindOthers {
        queue: String,
        /// How many, up to 1,000.
        ahead: usize,
        /// There are more than that.
        at_least: bool,
        /// How many of them have a higher priority.
        higher_priority: usize,
        /// The first of them.
        first: TaskId,
    },
    /// All workers that could run it have as many tasks as they run at once.
    WorkersBusy { running: u64, places: u64 },
    /// Nothing is in its way.
    Ready,
    /// A worker runs it. The time is that of the claim.
    Leased {
        attempt: u32,
        worker: WorkerId,
        until: Timestamp,
        fence: u64,
    },
    /// The lease ended and no word came: the next node that looks takes it back. The time is the end of the lease.
    LeaseEnded { worker: WorkerId },
    /// It was asked to stop, and still runs.
    CancelRequested,
    /// It ended with a result.
    Succeeded,
    /// It ended without one.
    Failed { error: String },
    /// It was cancelled.
    Cancelled { why: String },
    /// It did not start in time.
    Expired { why: String },
    /// Its slot, and those around it, came while a run was unfinished.
    SlotOverlapped {
        behind: TaskId,
        from: Timestamp,
        to: Timestamp,
        count: u64,
    },
    /// Nobody was there in time, and the policy passed over it.
    SlotSkipped {
        from: Timestamp,
        to: Timestamp,
        count: u64,
        why: SkipReason,
    },
    /// The store refused to make its run.
    SlotRefused {
        from: Timestamp,
        to: Timestamp,
        why: String,
    },
    /// The schedule was paused when it came, or still is. The time is that of the pause.
    SchedulePaused {
        by: Option<String>,
        why: Option<String>,
        /// `None` while it goes on.
        until: Option<Timestamp>,
    },
    /// The schedule has no such slot.
    NoSuchSlot {
        before: Option<Timestamp>,
        after: Option<Timestamp>,
    },
    /// It comes; the time is that of the decision.
    SlotToCome,
    /// It is due and nobody has decided about it: no runner serves the schedule now. The time is that of the slot.
    SlotUndecided,
    /// It was decided, and its record is not kept any more.
    SlotForgotten,
    /// It lies before the first that was decided, when the schedule was taken up or changed. The time is that.
    SlotBeforeStart,
    /// The schedule ran as often as it may.
    ScheduleUsedUp { runs: u64 },
    /// The schedule is not defined here: which slots it has cannot be told. The time is that of the last it decided.
    ScheduleUndefined,
    /// The schedule has no further slot, or runs once for each boot.
    NoFurtherSlot,
}
