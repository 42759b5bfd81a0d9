//! Making tasks, and the keys that keep them from being made twice.

use std::sync::Arc;

use tlo::store::{Create, Effect, Refusal};
use tlo::task::{Due, NewTask, OnConflict, UniqueScope};
use tlo::{LeaseToken, TaskId, TaskStateRecord, TaskStatus};

use super::commit::Outcome;
use super::{Key, Model};

impl Model {
    pub(super) fn create(&mut self, create: &Create, seen: Option<&Effect>) -> Outcome {
        let new = &create.task;
        if let Some(known) = self.task(&new.id) {
            let (id, status) = (known.id.clone(), known.status);
            return match new.on_conflict {
                OnConflict::Fail => Err(Refusal::Exists(id)),
                _ => Ok(Effect::Existing { id, status }),
            };
        }
        if let Some(unique) = &new.unique
            && let Some(owner) = self.owner(&unique.key)
        {
            return self.conflict(new, &unique.key, owner);
        }
        self.check_room(&new.queue)?;
        let (seq, leased) = match seen {
            Some(Effect::Created { seq, leased }) => (*seq, leased.clone()),
            _ => (self.last_seq + 1, None),
        };
        // A number that does not grow is not taken over, and the comparison shows it.
        self.last_seq = seq.max(self.last_seq + 1);
        let seq = self.last_seq;
        let record = TaskStateRecord::create(new.clone(), self.now, seq);
        let id = record.id.clone();
        let may_start =
            record.run_at <= self.now && record.expires_at.is_none_or(|at| at > self.now);
        self.tasks.push(record);
        self.take_key(&id);
        let Some(to) = create.lease_to.as_ref().filter(|_| may_start) else {
            return Ok(Effect::Created { seq, leased: None });
        };
        let record = self.existing(&id)?;
        self.rates_are_open(leased.is_some());
        let Some(enters) = self.enters(&record, None) else {
            return Ok(Effect::Created { seq, leased: None });
        };
        let token = leased.as_ref().and_then(|record| record.lease.as_ref());
        let token = token.map_or(LeaseToken::from_u128(0), |lease| lease.token);
        self.lease(&id, enters, &to.worker, to.ttl, token);
        let leased = Some(Arc::new(self.existing(&id)?));
        Ok(Effect::Created { seq, leased })
    }

    /// Another task owns the key.
    fn conflict(&mut self, new: &NewTask, key: &Arc<str>, owner: TaskId) -> Outcome {
        // The owner may be gone while its key lives on; then it has ended well, for all that is known.
        let status = self
            .task(&owner)
            .map_or(TaskStatus::Succeeded, |record| record.status);
        let due = match new.on_conflict {
            OnConflict::Fail => {
                let key = key.clone();
                return Err(Refusal::KeyTaken { key, owner });
            }
            OnConflict::Existing => None,
            OnConflict::Replace => Some(new.due),
            OnConflict::Debounce(wait) => Some(Due::In(wait)),
        };
        if let Some(due) = due.filter(|_| status == TaskStatus::Pending) {
            let now = self.now;
            self.change(&owner, |task| {
                task.args = new.args.clone();
                task.gates.clone_from(&new.gates);
                task.parked = None;
                task.priority = new.priority;
                task.run_at = due.resolve(now);
                task.expires_at = new.expires.map(|due| due.resolve(now));
            });
        }
        Ok(Effect::Existing { id: owner, status })
    }

    /// A queue takes no more than its rule says.
    pub(super) fn check_room(&self, queue: &str) -> Outcome<()> {
        let Some(max_depth) = self
            .rule(&format!("queue/{queue}"))
            .and_then(|rule| rule.max_depth)
        else {
            return Ok(());
        };
        let waits =
            |task: &&TaskStateRecord| task.status == TaskStatus::Pending && *task.queue == *queue;
        if self.tasks.iter().filter(waits).count() as u64 >= max_depth {
            let queue = queue.to_owned();
            return Err(Refusal::QueueFull { queue, max_depth });
        }
        Ok(())
    }

    /// Who owns a key now.
    pub(super) fn owner(&self, key: &str) -> Option<TaskId> {
        let owns =
            |known: &&Key| known.key == key && known.until.is_none_or(|until| until > self.now);
        self.keys.iter().find(owns).map(|known| known.owner.clone())
    }

    /// Makes a task the owner of its key, which is free.
    pub(super) fn take_key(&mut self, id: &TaskId) {
        let now = self.now;
        let Some(unique) = self.task_mut(id).and_then(|task| task.unique.as_mut()) else {
            return;
        };
        let until = match unique.scope {
            UniqueScope::For(time) => Some(now.saturating_add(time)),
            _ => None,
        };
        Arc::make_mut(unique).until = until;
        let (key, owner) = (unique.key.to_string(), id.clone());
        self.keys.retain(|known| known.key != key);
        self.keys.push(Key { key, owner, until });
    }

    /// A task leaves the queue, or ends: a key that it keeps no longer is free, if it is still its own.
    pub(super) fn free_key(&mut self, id: &TaskId, ends: bool) {
        let Some(unique) = self.task(id).and_then(|task| task.unique.clone()) else {
            return;
        };
        let leaves = match unique.scope {
            UniqueScope::WhileQueued => true,
            UniqueScope::WhileUnfinished => ends,
            UniqueScope::For(_) | UniqueScope::Forever => false,
        };
        if leaves {
            self.keys
                .retain(|known| known.key != *unique.key || known.owner != *id);
        }
    }
}
