//! A run that nobody can run any more must not keep its schedule from firing.

use std::sync::Arc;

use super::Scheduler;
use super::decide::{self, Decision};
use crate::client::live_workers;
use crate::error::{ErrorKind, Result};
use crate::id::TaskId;
use crate::store::{Commit, Op};
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// When slots are passed over because the last run is unfinished, and that run waits for a version of its task that is
/// gone since the definition changed, the run is cancelled and the slots run.
pub(super) async fn unblock(
    scheduler: &Scheduler,
    decision: Decision,
    now: Timestamp,
) -> Result<Decision> {
    let Some(range) = decision.behind.as_ref() else {
        return Ok(decision);
    };
    if !decision.runs.is_empty() {
        return Ok(decision);
    }
    let id = TaskId::new(&range.behind)?;
    let found = match scheduler.store.get(std::slice::from_ref(&id)).await {
        // The store refuses the decision, and the slots after it run.
        Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(decision),
        found => found?.pop().flatten(),
    };
    let Some(record) = found else {
        return Ok(decision);
    };
    let Some(version) = gone(scheduler, decision.index, &record).await? else {
        return Ok(decision);
    };
    let name = &record.name;
    tracing::warn!(%id, "no worker has version \"{version}\" of \"{name}\" any more; its schedule goes on without this run");
    let reason = format!("no worker has version \"{version}\" of the task any more");
    let cancelled = scheduler
        .store
        .commit(vec![Commit::of([Op::Cancel(id, reason)])])
        .await?;
    if cancelled.iter().any(Result::is_err) {
        // It went on in the meantime.
        return Ok(decision);
    }
    let index = decision.index;
    decide::run(&scheduler.entries[index], index, now)
}

/// The version that a run waits for, when neither this process nor any live worker has it.
async fn gone(
    scheduler: &Scheduler,
    index: usize,
    record: &TaskStateRecord,
) -> Result<Option<Arc<str>>> {
    let Some(version) = &record.version else {
        return Ok(None);
    };
    let is_current = scheduler.entries[index].def.version.as_ref() == Some(version);
    let is_here = scheduler
        .versions
        .contains(&(Arc::clone(&record.name), Arc::clone(version)));
    if record.status != TaskStatus::Pending || is_current || is_here {
        return Ok(None);
    }
    let workers = live_workers(&scheduler.store).await?;
    let is_there = workers
        .iter()
        .any(|(_, worker)| worker.runs(&record.name, Some(version)));
    Ok((!is_there).then(|| Arc::clone(version)))
}
