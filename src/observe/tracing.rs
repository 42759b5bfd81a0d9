//! [`TracingObserver`]: events as log lines.

use tracing::{debug, error, info, warn};

use super::lifecycle::Lifecycle;
use super::observers::Observer;
use crate::schedule::short_duration;
use crate::task::{Due, TaskStateRecord};

/// Writes events with `tracing`. What a task does is at most `info` or, when it fails for good, `warn`; `error` is left
/// for faults of the store.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingObserver;

impl Observer for TracingObserver {
    fn observe(&self, event: &Lifecycle) {
        match event {
            Lifecycle::Submitted { .. }
            | Lifecycle::Started { .. }
            | Lifecycle::Succeeded { .. }
            | Lifecycle::Retrying { .. }
            | Lifecycle::Failed { .. }
            | Lifecycle::Cancelled { .. }
            | Lifecycle::Snoozed { .. }
            | Lifecycle::Released { .. }
            | Lifecycle::LeftBehind { .. }
            | Lifecycle::Lost { .. }
            | Lifecycle::LeaseLost { .. } => task(event),
            _ => engine(event),
        }
    }
}

fn task(event: &Lifecycle) {
    match event {
        Lifecycle::Submitted {
            id,
            name,
            queue,
            existing,
        } => debug!(%id, %name, %queue, existing, "submitted"),
        Lifecycle::Started { record, worker, .. } => {
            debug!(id = %record.id, name = %record.name, attempt = record.attempt, %worker, "started");
        }
        Lifecycle::Succeeded { record, took } => {
            info!(id = %record.id, name = %record.name, took = short_duration(*took), "succeeded");
        }
        Lifecycle::Retrying {
            record,
            took,
            error,
            due,
            ..
        } => {
            let (attempt, of) = attempts(record);
            let (took, due) = (short_duration(*took), when(*due));
            info!(id = %record.id, name = %record.name, attempt, of, took, due, error, "failed, is tried again");
        }
        Lifecycle::Failed {
            record,
            took,
            error,
            ..
        } => {
            let (attempt, of) = attempts(record);
            let took = short_duration(*took);
            warn!(id = %record.id, name = %record.name, attempt, of, took, error, "failed for good");
        }
        Lifecycle::Cancelled { record, reason, .. } => {
            info!(id = %record.id, name = %record.name, reason, "cancelled");
        }
        Lifecycle::Snoozed { record, due, .. } => {
            debug!(id = %record.id, name = %record.name, due = when(*due), "snoozed");
        }
        Lifecycle::Released { record, .. } => {
            info!(id = %record.id, name = %record.name, "handed back");
        }
        Lifecycle::LeftBehind { record, why } => {
            warn!(id = %record.id, name = %record.name, why = why.as_str(), "its handler was left behind");
        }
        Lifecycle::Lost { record, status } => {
            warn!(id = %record.id, name = %record.name, %status, "its worker was lost");
        }
        Lifecycle::LeaseLost { record } => {
            warn!(id = %record.id, name = %record.name, "the lease was lost");
        }
        _ => {}
    }
}

fn engine(event: &Lifecycle) {
    match event {
        Lifecycle::ScheduleFired { schedule, slot, id } => {
            debug!(%schedule, %slot, %id, "slot fired");
        }
        Lifecycle::SlotsSkipped { schedule, skipped } => {
            let why = skipped.why.as_str();
            info!(%schedule, from = %skipped.from, to = %skipped.to, count = skipped.count, why, "slots skipped");
        }
        Lifecycle::SlotOverlapped {
            schedule,
            slot,
            unfinished,
        } => info!(%schedule, %slot, %unfinished, "slot skipped: the previous run is unfinished"),
        Lifecycle::ScheduleEnded { schedule } => info!(%schedule, "schedule ended"),
        Lifecycle::ScheduleFailed { schedule, error } => warn!(%schedule, error, "schedule failed"),
        Lifecycle::Steered {
            action,
            target,
            who,
            why,
            to,
            count,
            refused,
        } => info!(action, target, who, why, to, count, refused, "steered"),
        Lifecycle::WorkerStarted {
            worker,
            queues,
            concurrency,
        } => info!(%worker, ?queues, concurrency, "worker started"),
        Lifecycle::WorkerStopped { worker, released } => {
            info!(%worker, released, "worker stopped");
        }
        Lifecycle::StoreFailed { operation, error } => error!(operation, error, "store failed"),
        _ => {}
    }
}

fn attempts(record: &TaskStateRecord) -> (u32, u32) {
    (record.attempt, record.max_attempts)
}

fn when(due: Due) -> String {
    match due {
        Due::Now => "now".to_owned(),
        Due::At(instant) => instant.to_string(),
        Due::In(wait) => format!("in {}", short_duration(wait)),
    }
}
