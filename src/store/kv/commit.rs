//! Guards and operations.

use std::sync::Arc;

use super::table::{Source, Table};
use super::{create, import, index, leases, marks, reopen, settle, streams, unique};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{TaskId, check_name};
use crate::payload::PAYLOAD_LIMIT;
use crate::store::import::check_mark;
use crate::store::{
    Change, Commit, Committed, Effect, Guard, Hint, MarkExpect, Op, Patch, Refusal,
};
use crate::task::{Due, TaskEvent, TaskStateRecord, TaskStatus, cut_text, transition};

/// Why a commit does not go on.
pub(super) enum Stop {
    /// The commit is refused; others of the transaction go on.
    Refused(Refusal),
    /// The transaction failed.
    Failed(Error),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Invalid => Self::Refused(Refusal::Invalid(error.to_string())),
            ErrorKind::TooLarge => Self::Refused(Refusal::TooLarge(error.to_string())),
            _ => Self::Failed(error),
        }
    }
}

/// Applies one commit wholly or not at all.
///
/// # Errors
/// When the engine failed: then the transaction must not be kept.
pub(crate) fn commit(table: &mut dyn Table, commit: Commit) -> Result<Committed> {
    let savepoint = table.savepoint();
    match apply(table, commit) {
        Ok(effects) => Ok(Ok(effects)),
        Err(Stop::Refused(refusal)) => {
            table.rollback(savepoint);
            Ok(Err(refusal))
        }
        // A record that cannot be read spoils its own commit, never the transaction of the others.
        Err(Stop::Failed(error)) if error.kind() == ErrorKind::Corrupt => {
            table.rollback(savepoint);
            Ok(Err(Refusal::Corrupt(error.to_string())))
        }
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn apply(table: &mut dyn Table, commit: Commit) -> Result<Vec<Effect>, Stop> {
    for guard in &commit.guards {
        check(table, guard)?;
    }
    let mut effects = Vec::with_capacity(commit.ops.len());
    for op in commit.ops {
        effects.push(run(table, op)?);
    }
    Ok(effects)
}

fn existing(table: &dyn Source, id: &TaskId) -> Result<Arc<TaskStateRecord>, Stop> {
    table
        .record(id)?
        .ok_or_else(|| Refusal::NotFound(id.clone()).into())
}

fn check(table: &dyn Table, guard: &Guard) -> Result<(), Stop> {
    match guard {
        Guard::Absent(id) => match table.record(id)? {
            Some(_) => Err(Refusal::Exists(id.clone()).into()),
            None => Ok(()),
        },
        Guard::Open(id) => {
            let record = existing(table, id)?;
            if record.status.is_terminal() {
                return Err(Refusal::Status {
                    id: id.clone(),
                    status: record.status,
                    wanted: "changed",
                }
                .into());
            }
            Ok(())
        }
        Guard::Held(id, shown) => Ok(leases::check_held(&*existing(table, id)?, *shown)?),
        Guard::Expired(id, fence) => {
            let record = existing(table, id)?;
            let moment = table.moment();
            match &record.lease {
                Some(lease) if lease.fence == *fence => {
                    if lease.has_ended(moment.now, moment.steady) {
                        Ok(())
                    } else {
                        Err(Refusal::NotExpired(id.clone()).into())
                    }
                }
                _ => Err(Refusal::LeaseLost(id.clone()).into()),
            }
        }
        Guard::Revision(id, revision) => {
            if existing(table, id)?.revision != *revision {
                return Err(Refusal::Revision(id.clone()).into());
            }
            Ok(())
        }
        Guard::Length(stream, expected) => {
            let length = streams::length(table, stream)?;
            if length != *expected {
                return Err(Refusal::Length(stream.clone(), length).into());
            }
            Ok(())
        }
        Guard::Mark(key, expected) => {
            let version = marks::get(table, key)?.map(|mark| mark.version);
            let holds = match expected {
                MarkExpect::Absent => version.is_none(),
                MarkExpect::Version(expected) => version == Some(*expected),
            };
            if holds {
                Ok(())
            } else {
                Err(Refusal::Mark(key.clone(), version).into())
            }
        }
    }
}

fn run(table: &mut dyn Table, op: Op) -> Result<Effect, Stop> {
    match op {
        Op::Create(new) => create::create(table, *new),
        Op::Settle(id, settlement) => {
            let record = existing(table, &id)?;
            for payload in [&settlement.result, &settlement.state]
                .into_iter()
                .flatten()
            {
                payload.check_size("settle", PAYLOAD_LIMIT)?;
            }
            match settle::apply(table, &record, *settlement, false)? {
                Some(settled) => Ok(Effect::Status(settled.status)),
                None => Err(Refusal::Status {
                    id,
                    status: record.status,
                    wanted: "settled",
                }
                .into()),
            }
        }
        Op::Extend(id, ttl) => {
            let record = existing(table, &id)?;
            let mut extended = TaskStateRecord::clone(&record);
            let moment = table.moment();
            let Some(lease) = &mut extended.lease else {
                return Err(Refusal::LeaseLost(id).into());
            };
            leases::extend(moment, lease, ttl);
            let until = lease.until;
            let effect = Effect::Extended {
                until,
                cancel_requested: record.cancel_requested,
                woken: record.woken,
            };
            index::replace(table, &record, extended, false)?;
            Ok(effect)
        }
        Op::Patch(id, change) => patch(table, &id, *change),
        Op::Cancel(id, reason) => cancel(table, &id, reason),
        Op::Revive(id, due) => revive(table, &id, due),
        Op::Wake(id) => wake(table, &id),
        Op::Delete(id) => {
            let record = existing(table, &id)?;
            if record.status == TaskStatus::Running {
                return Err(Refusal::Status {
                    id,
                    status: record.status,
                    wanted: "deleted",
                }
                .into());
            }
            index::remove(table, &record)?;
            Ok(Effect::Done)
        }
        Op::Append(stream, events) => {
            check_name("the owner of a stream", &stream.owner)?;
            check_name("a stream", &stream.name)?;
            for event in &events {
                event.data.check_size("event", PAYLOAD_LIMIT)?;
            }
            Ok(Effect::Appended(streams::append(table, &stream, &events)?))
        }
        Op::Trim(stream, before) => {
            streams::trim(table, &stream, before)?;
            Ok(Effect::Done)
        }
        Op::PutMark { key, value, ttl } => {
            check_mark(&key, &value)?;
            Ok(Effect::Marked(marks::put(table, &key, value, ttl)?))
        }
        Op::DropMark(key) => {
            marks::remove(table, &key)?;
            Ok(Effect::Done)
        }
        Op::Import(import) => import::import(table, *import),
    }
}

fn patch(table: &mut dyn Table, id: &TaskId, change: Patch) -> Result<Effect, Stop> {
    let record = existing(table, id)?;
    let moves = change.due.is_some()
        || change.queue.is_some()
        || change.priority.is_some()
        || change.args.is_some();
    if moves && record.status != TaskStatus::Pending {
        return Err(Refusal::Status {
            id: id.clone(),
            status: record.status,
            wanted: "rescheduled or moved",
        }
        .into());
    }
    for payload in [&change.args, &change.progress, &change.state]
        .into_iter()
        .flatten()
    {
        payload.check_size("patch", PAYLOAD_LIMIT)?;
    }
    let mut patched = TaskStateRecord::clone(&record);
    if let Some(due) = change.due {
        patched.run_at = due.resolve(table.moment().now);
    }
    if let Some(queue) = &change.queue {
        check_name("a queue name", queue)?;
        if **queue != *record.queue {
            create::check_depth(table, queue)?;
        }
        patched.queue = Arc::from(queue.as_str());
    }
    patched.priority = change.priority.unwrap_or(patched.priority);
    patched.args = change.args.unwrap_or(patched.args);
    patched.progress = change.progress.or(patched.progress);
    if let Some(state) = change.state {
        patched.state = Some(state);
    }
    if let Change::Set(phase) = change.phase {
        patched.phase = phase;
    }
    if let Change::Set(prefer) = change.prefer {
        patched.prefer = prefer.map(Box::new);
    }
    index::replace(table, &record, patched, false)?;
    Ok(Effect::Status(record.status))
}

fn cancel(table: &mut dyn Table, id: &TaskId, reason: String) -> Result<Effect, Stop> {
    let record = existing(table, id)?;
    let mut cancelled = TaskStateRecord::clone(&record);
    // What it is cancelled for takes the place of what failed before, with its group: that is of errors.
    cancelled.error = Some(cut_text(reason, crate::task::ERROR_LIMIT));
    cancelled.error_group = None;
    match record.status {
        TaskStatus::Running => {
            cancelled.cancel_requested = true;
            index::replace(table, &record, cancelled, false)?;
            table.hint(Hint::Woken(id.clone()));
            Ok(Effect::CancelRequested)
        }
        status => match transition(status, TaskEvent::Cancel) {
            Ok(next) => {
                cancelled.status = next;
                cancelled.parked = None;
                cancelled.finished_at = Some(table.moment().now);
                index::replace(table, &record, cancelled, false)?;
                Ok(Effect::Status(next))
            }
            Err(_) => Err(Refusal::Status {
                id: id.clone(),
                status,
                wanted: "cancelled",
            }
            .into()),
        },
    }
}

fn revive(table: &mut dyn Table, id: &TaskId, due: Due) -> Result<Effect, Stop> {
    let record = existing(table, id)?;
    let Ok(status) = transition(record.status, TaskEvent::Revive) else {
        return Err(Refusal::Status {
            id: id.clone(),
            status: record.status,
            wanted: "revived",
        }
        .into());
    };
    create::check_depth(table, &record.queue)?;
    let mut revived = TaskStateRecord::clone(&record);
    if let Some(wanted) = &record.unique {
        match unique::owner(table, &wanted.key)? {
            Some(owner) if owner != *id => {
                return Err(Refusal::KeyTaken {
                    key: wanted.key.clone(),
                    owner,
                }
                .into());
            }
            owner => {
                if owner.is_some() {
                    unique::release(table, &wanted.key)?;
                }
                unique::take(table, &mut revived)?;
            }
        }
    }
    revived.status = status;
    revived.run_at = due.resolve(table.moment().now);
    revived.finished_at = None;
    revived.expires_at = None;
    revived.cancel_requested = false;
    revived.lost = 0;
    revived.forgiven = revived.attempt;
    index::replace(table, &record, revived, false)?;
    Ok(Effect::Status(status))
}

fn wake(table: &mut dyn Table, id: &TaskId) -> Result<Effect, Stop> {
    let record = existing(table, id)?;
    let mut woken = TaskStateRecord::clone(&record);
    match record.status {
        TaskStatus::Running => {
            woken.woken = true;
            table.hint(Hint::Woken(id.clone()));
        }
        TaskStatus::Pending => woken.run_at = woken.run_at.min(table.moment().now),
        status => {
            return Err(Refusal::Status {
                id: id.clone(),
                status,
                wanted: "woken",
            }
            .into());
        }
    }
    let parked = record.parked.as_ref().map(|parked| parked.gate.clone());
    index::replace(table, &record, woken, false)?;
    if let Some(gate) = parked {
        reopen::reopen(table, &gate)?;
    }
    Ok(Effect::Status(record.status))
}
