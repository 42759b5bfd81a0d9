//! Guards and operations, one after the other.

use std::sync::Arc;

use tlo::store::{
    Change, Commit, Committed, Effect, Event, Guard, Mark, MarkExpect, NewEvent, Op, Patch,
    Refusal, StreamId,
};
use tlo::task::{Due, LeaseRef};
use tlo::{Payload, TaskId, TaskStateRecord, TaskStatus};

use super::{Checked, Model, Stream, want};

pub(super) type Outcome<T = Effect> = Result<T, Refusal>;

impl Model {
    /// One commit and what a store answered to it.
    pub(crate) fn commit(&mut self, commit: &Commit, answer: &Committed) -> Checked {
        let before = self.clone();
        let seen = answer.as_deref().unwrap_or_default();
        let mut wanted = self.attempt(commit, seen);
        if wanted.is_err() {
            *self = before;
        }
        match (&mut wanted, answer) {
            (Ok(wanted), Ok(seen)) => {
                want!(
                    wanted.len() == seen.len(),
                    "{} effects of {} operations",
                    seen.len(),
                    wanted.len()
                );
                for (wanted, seen) in wanted.iter_mut().zip(seen) {
                    match_revisions(wanted, seen);
                    want!(
                        wanted == seen,
                        "the effect was {seen:?}\n  wanted {wanted:?}"
                    );
                }
            }
            (Err(wanted), Err(seen)) => {
                want!(
                    is_same(wanted, seen),
                    "refused with {seen:?}\n  wanted {wanted:?}"
                );
            }
            (wanted, seen) => return Err(format!("answered {seen:?}\n  wanted {wanted:?}")),
        }
        Ok(())
    }

    fn attempt(&mut self, commit: &Commit, seen: &[Effect]) -> Outcome<Vec<Effect>> {
        for guard in &commit.guards {
            self.check(guard)?;
        }
        let mut effects = Vec::new();
        for (n, op) in commit.ops.iter().enumerate() {
            effects.push(self.apply(op, seen.get(n))?);
        }
        Ok(effects)
    }

    pub(super) fn existing(&self, id: &TaskId) -> Outcome<TaskStateRecord> {
        self.task(id)
            .cloned()
            .ok_or_else(|| Refusal::NotFound(id.clone()))
    }

    fn check(&self, guard: &Guard) -> Outcome<()> {
        let refuse = |holds: bool, refusal: Refusal| if holds { Ok(()) } else { Err(refusal) };
        match guard {
            Guard::Absent(id) => refuse(self.task(id).is_none(), Refusal::Exists(id.clone())),
            Guard::Open(id) => {
                let status = self.existing(id)?.status;
                refuse(!status.is_terminal(), refused(id, status, "changed"))
            }
            Guard::Held(id, shown) => held(&self.existing(id)?, *shown),
            Guard::Expired(id, fence) => {
                let record = self.existing(id)?;
                let is_it = record
                    .lease
                    .as_ref()
                    .is_some_and(|lease| lease.fence == *fence);
                refuse(is_it, Refusal::LeaseLost(id.clone()))?;
                refuse(self.has_ended(&record), Refusal::NotExpired(id.clone()))
            }
            Guard::Revision(id, revision) => {
                let now = self.existing(id)?.revision;
                refuse(now == *revision, Refusal::Revision(id.clone()))
            }
            Guard::Length(stream, expected) => {
                let length = self.length(stream);
                refuse(length == *expected, Refusal::Length(stream.clone(), length))
            }
            Guard::Mark(key, expected) => {
                let version = self.mark(key).map(|mark| mark.version);
                let wanted = match expected {
                    MarkExpect::Absent => None,
                    MarkExpect::Version(version) => Some(*version),
                };
                refuse(version == wanted, Refusal::Mark(key.clone(), version))
            }
        }
    }

    fn apply(&mut self, op: &Op, seen: Option<&Effect>) -> Outcome {
        match op {
            Op::Create(create) => self.create(create, seen),
            Op::Settle(id, settlement) => {
                let record = self.existing(id)?;
                match self.settle(id, settlement) {
                    Some(status) => Ok(Effect::Status(status)),
                    None => Err(refused(id, record.status, "settled")),
                }
            }
            Op::Extend(id, ttl) => self.extend(id, *ttl),
            Op::Patch(id, patch) => self.patch(id, patch),
            Op::Cancel(id, reason) => self.cancel(id, reason),
            Op::Revive(id, due) => self.revive(id, *due),
            Op::Wake(id) => self.wake(id),
            Op::Delete(id) => {
                let record = self.existing(id)?;
                if record.status == TaskStatus::Running {
                    return Err(refused(id, record.status, "deleted"));
                }
                self.forget(id);
                Ok(Effect::Done)
            }
            Op::Append(stream, events) => Ok(Effect::Appended(self.append(stream, events))),
            Op::Trim(stream, before) => {
                if let Some(known) = self.streams.iter_mut().find(|known| known.id == *stream) {
                    known.kept.retain(|event| event.number >= *before);
                }
                Ok(Effect::Done)
            }
            Op::PutMark { key, value, ttl } => {
                if key.starts_with("gate/") && value.as_str().contains("nonsense") {
                    return Err(Refusal::Invalid(String::new()));
                }
                self.last_version = match seen {
                    Some(Effect::Marked(version)) if *version > self.last_version => *version,
                    _ => self.last_version + 1,
                };
                self.timers |=
                    key.starts_with("gate/") && (ttl.is_some() || value.as_str().contains("rate"));
                self.put_mark(key, value.clone(), *ttl);
                if let Some(gate) = key.strip_prefix("gate/") {
                    self.rate_changed(gate);
                }
                Ok(Effect::Marked(self.last_version))
            }
            Op::DropMark(key) => {
                self.marks.retain(|mark| mark.key != *key);
                Ok(Effect::Done)
            }
            Op::Import(_) => unreachable!("no script imports"),
        }
    }

    fn put_mark(&mut self, key: &Arc<str>, value: Payload, ttl: Option<std::time::Duration>) {
        self.marks.retain(|mark| mark.key != *key);
        self.marks.push(Mark {
            key: key.clone(),
            value,
            version: self.last_version,
            set_at: self.now,
            until: ttl.map(|ttl| self.now.saturating_add(ttl)),
        });
    }

    fn append(&mut self, stream: &StreamId, events: &[NewEvent]) -> Vec<u64> {
        let at = self.now;
        if !self.streams.iter().any(|known| known.id == *stream) {
            let (id, kept) = (stream.clone(), Vec::new());
            self.streams.push(Stream {
                id,
                length: 0,
                kept,
            });
        }
        let mut numbers = Vec::new();
        for known in self.streams.iter_mut().filter(|known| known.id == *stream) {
            for new in events {
                let same = |old: &&Event| new.key.is_some() && old.key == new.key;
                if let Some(old) = known.kept.iter().find(same) {
                    numbers.push(old.number);
                    continue;
                }
                known.length += 1;
                known.kept.push(Event {
                    number: known.length,
                    at,
                    kind: new.kind.clone(),
                    key: new.key.clone(),
                    data: new.data.clone(),
                });
                numbers.push(known.length);
            }
        }
        numbers
    }

    fn patch(&mut self, id: &TaskId, patch: &Patch) -> Outcome {
        let record = self.existing(id)?;
        let moves = patch.due.is_some()
            || patch.queue.is_some()
            || patch.priority.is_some()
            || patch.args.is_some();
        if moves && record.status != TaskStatus::Pending {
            return Err(refused(id, record.status, "rescheduled or moved"));
        }
        if let Some(queue) = &patch.queue
            && **queue != *record.queue
        {
            self.check_room(queue)?;
        }
        let now = self.now;
        self.change(id, |task| {
            if let Some(due) = patch.due {
                task.run_at = due.resolve(now);
            }
            if let Some(queue) = &patch.queue {
                task.queue = queue.as_str().into();
            }
            if let Some(priority) = patch.priority {
                task.priority = priority;
            }
            if let Some(args) = &patch.args {
                task.args = args.clone();
            }
            if let Some(progress) = &patch.progress {
                task.progress = Some(progress.clone());
            }
            if let Some(state) = &patch.state {
                task.state = Some(state.clone());
            }
            if let Change::Set(phase) = &patch.phase {
                task.phase.clone_from(phase);
            }
            if let Change::Set(prefer) = &patch.prefer {
                task.prefer = prefer.clone().map(Box::new);
            }
        });
        Ok(Effect::Status(record.status))
    }

    fn cancel(&mut self, id: &TaskId, reason: &str) -> Outcome {
        let record = self.existing(id)?;
        let now = self.now;
        match record.status {
            TaskStatus::Running => {
                self.change(id, |task| {
                    task.cancel_requested = true;
                    task.error = Some(reason.to_owned());
                    task.error_group = None;
                });
                Ok(Effect::CancelRequested)
            }
            TaskStatus::Pending => {
                self.change(id, |task| {
                    task.status = TaskStatus::Cancelled;
                    task.parked = None;
                    task.finished_at = Some(now);
                    // What it was cancelled for is no failure.
                    task.error = Some(reason.to_owned());
                    task.error_group = None;
                });
                self.free_key(id, true);
                Ok(Effect::Status(TaskStatus::Cancelled))
            }
            status => Err(refused(id, status, "cancelled")),
        }
    }

    fn revive(&mut self, id: &TaskId, due: Due) -> Outcome {
        let record = self.existing(id)?;
        if !matches!(record.status, TaskStatus::Failed | TaskStatus::Cancelled) {
            return Err(refused(id, record.status, "revived"));
        }
        self.check_room(&record.queue)?;
        if let Some(unique) = &record.unique {
            match self.owner(&unique.key) {
                Some(owner) if owner != *id => {
                    let key = unique.key.clone();
                    return Err(Refusal::KeyTaken { key, owner });
                }
                _ => self.take_key(id),
            }
        }
        let now = self.now;
        self.change(id, |task| {
            task.status = TaskStatus::Pending;
            task.run_at = due.resolve(now);
            task.finished_at = None;
            task.expires_at = None;
            task.cancel_requested = false;
            task.lost = 0;
            task.forgiven = task.attempt;
        });
        Ok(Effect::Status(TaskStatus::Pending))
    }

    fn wake(&mut self, id: &TaskId) -> Outcome {
        let record = self.existing(id)?;
        let now = self.now;
        match record.status {
            TaskStatus::Running => self.change(id, |task| task.woken = true),
            TaskStatus::Pending => self.change(id, |task| task.run_at = task.run_at.min(now)),
            status => return Err(refused(id, status, "woken")),
        }
        Ok(Effect::Status(record.status))
    }

    /// Every write to a record raises its revision. What is put off waits no longer behind a gate.
    pub(super) fn change(&mut self, id: &TaskId, change: impl FnOnce(&mut TaskStateRecord)) {
        let now = self.now;
        if let Some(task) = self.task_mut(id) {
            change(task);
            task.revision += 1;
            if task.run_at > now {
                task.parked = None;
            }
        }
    }

    /// A record goes, with its streams and the key that does not outlive it.
    pub(super) fn forget(&mut self, id: &TaskId) {
        self.free_key(id, true);
        self.streams.retain(|stream| stream.id.owner != id.as_str());
        self.tasks.retain(|task| task.id != *id);
    }
}

pub(super) fn refused(id: &TaskId, status: TaskStatus, wanted: &'static str) -> Refusal {
    Refusal::Status {
        id: id.clone(),
        status,
        wanted,
    }
}

/// Who shows the lease may write; who shows the last one after its end was there before; anybody else comes too late.
fn held(record: &TaskStateRecord, shown: LeaseRef) -> Outcome<()> {
    match &record.lease {
        Some(lease) if lease.reference() == shown => Ok(()),
        None if record.fence == shown.fence && record.token == Some(shown.token) => {
            Err(Refusal::AlreadyDone(record.id.clone()))
        }
        _ => Err(Refusal::LeaseLost(record.id.clone())),
    }
}

/// Messages are for people and may say it in other words.
fn is_same(wanted: &Refusal, seen: &Refusal) -> bool {
    match (wanted, seen) {
        (Refusal::Invalid(_), Refusal::Invalid(why)) => !why.is_empty(),
        _ => wanted == seen,
    }
}

/// A record in an effect, too, may have been parked and brought back meanwhile.
fn match_revisions(wanted: &mut Effect, seen: &Effect) {
    if let (
        Effect::Created {
            leased: Some(wanted),
            ..
        },
        Effect::Created {
            leased: Some(seen), ..
        },
    ) = (wanted, seen)
        && !wanted.gates.is_empty()
        && seen.revision >= wanted.revision
    {
        Arc::make_mut(wanted).revision = seen.revision;
    }
}
