//! Applying the end of a run. What it means was decided before; this only writes it.

use std::sync::Arc;

use super::table::Table;
use super::{gates, index};
use crate::error::Result;
use crate::task::{
    Attempt, AttemptEnd, ERROR_LIMIT, Settlement, TaskEvent, TaskStateRecord, TaskStatus, cut_text,
    push_attempt, transition,
};

/// Writes a settlement over a record that is running, or pending and about to expire. `taken` says that its ready row
/// is gone already.
pub(super) fn apply(
    table: &mut dyn Table,
    record: &Arc<TaskStateRecord>,
    settlement: Settlement,
    taken: bool,
) -> Result<Option<Arc<TaskStateRecord>>> {
    let now = table.moment().now;
    let mut status = settlement.status;
    // A cancel that came after the worker last looked wins over another run.
    if status == TaskStatus::Pending && record.cancel_requested {
        status = TaskStatus::Cancelled;
    }
    let event = match status {
        TaskStatus::Succeeded => TaskEvent::Succeed,
        TaskStatus::Failed => TaskEvent::Fail,
        TaskStatus::Cancelled => TaskEvent::Cancel,
        TaskStatus::Pending | TaskStatus::Running => TaskEvent::Requeue,
    };
    // What the table says counts: a settlement that asks for `Running` goes back to wait, it has no lease to run on.
    let Ok(status) = transition(record.status, event) else {
        return Ok(None);
    };
    let error = settlement.error.map(|error| cut_text(error, ERROR_LIMIT));
    let mut settled = Arc::clone(record);
    let next = Arc::make_mut(&mut settled);
    next.status = status;
    next.parked = None;
    if let (Some(end), Some(lease)) = (settlement.end, &record.lease) {
        let attempt = Attempt {
            attempt: record.attempt,
            worker: lease.worker.clone(),
            started_at: record.started_at.unwrap_or(now),
            finished_at: now,
            outcome: end,
            error: error.clone(),
        };
        push_attempt(&mut next.attempts, attempt);
    }
    // A lost holder must not recognise its late settle as its own.
    next.token = record
        .lease
        .as_ref()
        .map(|lease| lease.token)
        .filter(|_| !settlement.lost);
    next.lease = None;
    next.holds = Vec::new();
    if settlement.give_back {
        next.attempt = next.attempt.saturating_sub(1);
    }
    if settlement.lost {
        next.lost = next.lost.saturating_add(1);
    }
    if status == TaskStatus::Cancelled && record.cancel_requested {
        // Its error is the reason that came with the request. What the run itself said is in its history.
        next.error_group = None;
    } else if let Some(error) = error {
        next.error = Some(error);
        next.error_group = settlement.error_group;
    }
    if let Some(phase) = settlement.phase {
        next.phase = Some(phase);
    }
    if let Some(state) = settlement.state {
        next.state = Some(state);
    }
    if status == TaskStatus::Pending {
        let woken = next.woken && settlement.end == Some(AttemptEnd::Snoozed);
        next.run_at = if woken {
            now
        } else {
            settlement.due.resolve(now)
        };
        next.woken = false;
    } else {
        next.finished_at = Some(now);
        next.result = settlement.result;
        if status == TaskStatus::Succeeded {
            next.error = None;
            next.error_group = None;
        }
    }
    let settled = index::replace(table, record, settled, taken)?;
    gates::exit(table, record)?;
    Ok(Some(settled))
}
