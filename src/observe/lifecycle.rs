//! [`Lifecycle`]: what observers are told.

use std::sync::Arc;
use std::time::Duration;

use crate::handler::Interruption;
use crate::id::{TaskId, WorkerId};
use crate::schedule::Skipped;
use crate::task::{AttemptEnd, Due, Settlement, TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// Something that happened in this process. It is told after the store has it.
///
/// Records are as they were claimed; what the run changed is beside them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Lifecycle {
    /// A task was submitted; `existing` when another one owned its id or unique key.
    Submitted {
        /// The task.
        id: TaskId,
        /// Its name.
        name: Arc<str>,
        /// Its queue.
        queue: Arc<str>,
        /// Nothing was created: this one was there.
        existing: bool,
    },
    /// A worker leased a task and runs it, or has it wait for a place, when it leases ahead.
    Started {
        /// The task.
        record: Arc<TaskStateRecord>,
        /// The worker.
        worker: WorkerId,
        /// The time between being due and being claimed.
        waited: Duration,
    },
    /// A run ended well.
    Succeeded {
        /// The task.
        record: Arc<TaskStateRecord>,
        /// How long it ran.
        took: Duration,
    },
    /// A run failed, and the task is tried again.
    Retrying {
        /// The task.
        record: Arc<TaskStateRecord>,
        /// How long it ran.
        took: Duration,
        /// How the run ended.
        end: AttemptEnd,
        /// What it said.
        error: String,
        /// When it is tried again.
        due: Due,
    },
    /// A task failed for good.
    Failed {
        /// The task.
        record: Arc<TaskStateRecord>,
        /// How long its last run ran.
        took: Duration,
        /// How that run ended.
        end: AttemptEnd,
        /// What it said.
        error: String,
    },
    /// A run ended as cancelled.
    Cancelled {
        /// The task.
        record: Arc<TaskStateRecord>,
        /// How long it ran.
        took: Duration,
        /// Why.
        reason: String,
    },
    /// A run asked to go on later.
    Snoozed {
        /// The task.
        record: Arc<TaskStateRecord>,
        /// How long it ran.
        took: Duration,
        /// When it goes on.
        due: Due,
    },
    /// A worker that stops handed a task back.
    Released {
        /// The task.
        record: Arc<TaskStateRecord>,
        /// How long it ran.
        took: Duration,
    },
    /// A handler was asked to end and did not in its grace: the run ends without it, as the next event says, and its place
    /// is free. What waits for something is dropped; what does not, as a function without `async`, goes on for itself, and
    /// nothing that it still does is recorded.
    LeftBehind {
        /// The task.
        record: Arc<TaskStateRecord>,
        /// Why it was asked to end.
        why: Interruption,
    },
    /// The lease of a task ended without a word from its worker, and this process took it back.
    Lost {
        /// The task, with the lease that ended.
        record: Arc<TaskStateRecord>,
        /// What became of it.
        status: TaskStatus,
    },
    /// This process lost the lease of a task it was running; what the run still does is not recorded.
    LeaseLost {
        /// The task.
        record: Arc<TaskStateRecord>,
    },
    /// A slot of a schedule came and its occurrence was created.
    ScheduleFired {
        /// The recurring task.
        schedule: Arc<str>,
        /// The slot.
        slot: Timestamp,
        /// The occurrence.
        id: TaskId,
    },
    /// Slots of a schedule were passed over.
    SlotsSkipped {
        /// The recurring task.
        schedule: Arc<str>,
        /// Which slots, and why.
        skipped: Skipped,
    },
    /// A slot was passed over because the previous run is unfinished.
    SlotOverlapped {
        /// The recurring task.
        schedule: Arc<str>,
        /// The slot.
        slot: Timestamp,
        /// The run that is unfinished.
        unfinished: TaskId,
    },
    /// A schedule has no slots any more.
    ScheduleEnded {
        /// The recurring task.
        schedule: Arc<str>,
    },
    /// A schedule could not be served now; others go on, and it is tried again.
    ScheduleFailed {
        /// The recurring task.
        schedule: Arc<str>,
        /// Why.
        error: String,
    },
    /// Somebody steered through this process: cancelled, revived, moved or removed tasks, paused, resumed or limited something,
    /// ran a schedule. It is told once for each audit event, when it was done; of a bulk operation in many steps at its end.
    Steered {
        /// What was done, as the audit event says it: `cancel`, `revive`, `move`, `pause`, `limit`, `trigger`, `purge` …
        action: String,
        /// To what: an id, `queue "mail"`, or the filter of a bulk operation.
        target: String,
        /// Who did it.
        who: Option<String>,
        /// Why, in the words of who did it.
        why: Option<String>,
        /// The new value, where there is one: a queue, a priority, a limit, the id of a run.
        to: Option<String>,
        /// How many tasks it changed; `None` where it is not about tasks.
        count: Option<u64>,
        /// How many tasks of a bulk operation refused it.
        refused: u64,
    },
    /// A worker began to claim.
    WorkerStarted {
        /// The worker.
        worker: WorkerId,
        /// Its queues.
        queues: Vec<Arc<str>>,
        /// The most tasks it runs at once.
        concurrency: usize,
    },
    /// A worker stopped.
    WorkerStopped {
        /// The worker.
        worker: WorkerId,
        /// How many tasks it handed back.
        released: usize,
    },
    /// The store refused or could not be reached; the engine goes on and tries again.
    StoreFailed {
        /// What was being done.
        operation: &'static str,
        /// What it said.
        error: String,
    },
}

impl Lifecycle {
    /// What a settled run is told as: `record` as it was claimed, what became of it, and how long it ran.
    #[must_use]
    pub fn settled(record: Arc<TaskStateRecord>, settlement: &Settlement, took: Duration) -> Self {
        let error = || settlement.error.clone().unwrap_or_default();
        let end = settlement.end.unwrap_or(AttemptEnd::Failed);
        match settlement.status {
            TaskStatus::Succeeded => Self::Succeeded { record, took },
            TaskStatus::Cancelled => Self::Cancelled {
                record,
                took,
                reason: error(),
            },
            TaskStatus::Failed => Self::Failed {
                record,
                took,
                end,
                error: error(),
            },
            TaskStatus::Pending | TaskStatus::Running => match settlement.end {
                Some(AttemptEnd::Released) => Self::Released { record, took },
                Some(AttemptEnd::Snoozed) => Self::Snoozed {
                    record,
                    took,
                    due: settlement.due,
                },
                _ => Self::Retrying {
                    record,
                    took,
                    end,
                    error: error(),
                    due: settlement.due,
                },
            },
        }
    }

    /// The event in one word, such as `succeeded` or `slots_skipped`; for labels of metrics and logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Submitted { .. } => "submitted",
            Self::Started { .. } => "started",
            Self::Succeeded { .. } => "succeeded",
            Self::Retrying { .. } => "retrying",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
            Self::Snoozed { .. } => "snoozed",
            Self::Released { .. } => "released",
            Self::LeftBehind { .. } => "left_behind",
            Self::Lost { .. } => "lost",
            Self::LeaseLost { .. } => "lease_lost",
            Self::ScheduleFired { .. } => "schedule_fired",
            Self::SlotsSkipped { .. } => "slots_skipped",
            Self::SlotOverlapped { .. } => "slot_overlapped",
            Self::ScheduleEnded { .. } => "schedule_ended",
            Self::ScheduleFailed { .. } => "schedule_failed",
            Self::Steered { .. } => "steered",
            Self::WorkerStarted { .. } => "worker_started",
            Self::WorkerStopped { .. } => "worker_stopped",
            Self::StoreFailed { .. } => "store_failed",
        }
    }
}
