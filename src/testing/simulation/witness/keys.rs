//! Who owns which unique key.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Witness;
use crate::id::TaskId;
use crate::task::{TaskStateRecord, TaskStatus, UniqueScope};
use crate::testing::simulation::report::Invariant;
use crate::timestamp::Timestamp;

#[derive(Debug)]
struct Key {
    owner: TaskId,
    scope: UniqueScope,
    until: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct Keys(BTreeMap<Arc<str>, Key>);

impl Keys {
    /// A record was made or revived.
    pub(super) fn taken(&mut self, record: &TaskStateRecord) {
        if let Some(unique) = &record.unique {
            let key = Key {
                owner: record.id.clone(),
                scope: unique.scope,
                until: unique.until,
            };
            self.0.insert(Arc::clone(&unique.key), key);
        }
    }

    pub(super) fn claimed(&mut self, record: &TaskStateRecord) {
        self.free(record, |scope| scope == UniqueScope::WhileQueued);
    }

    pub(super) fn ended(&mut self, record: &TaskStateRecord) {
        self.free(record, |scope| {
            matches!(
                scope,
                UniqueScope::WhileQueued | UniqueScope::WhileUnfinished
            )
        });
    }

    pub(super) fn deleted(&mut self, record: &TaskStateRecord) {
        self.ended(record);
    }

    fn free(&mut self, record: &TaskStateRecord, leaves: impl Fn(UniqueScope) -> bool) {
        if let Some(unique) = &record.unique
            && let Some(key) = self.0.get(&unique.key)
            && key.owner == record.id
            && leaves(key.scope)
        {
            self.0.remove(&unique.key);
        }
    }

    fn owner(&self, key: &str, now: Timestamp) -> Option<&TaskId> {
        let key = self.0.get(key)?;
        key.until
            .is_none_or(|until| until > now)
            .then_some(&key.owner)
    }

    /// The keys that nobody owns though tasks had them.
    fn is_free(&self, key: &str, now: Timestamp) -> bool {
        self.owner(key, now).is_none()
    }
}

impl Witness {
    /// A key was found free; `id` has it now.
    pub(super) fn key_was_free(&mut self, key: &str, id: &TaskId) {
        let now = self.now();
        let Some(owner) = self.keys.owner(key, now).cloned() else {
            return;
        };
        // An owner that has expired is ended by the claim that meets it, and nobody says so.
        if owner != *id && !self.may_have_expired(&owner) {
            let message = format!("\"{id}\" got the key \"{key}\" that \"{owner}\" owns");
            self.broken(Invariant::OneOwner, message);
        }
    }

    /// A key was found taken.
    pub(super) fn key_was_taken(&mut self, key: &str, by: &TaskId) {
        let now = self.now();
        let owner = self.keys.owner(key, now).cloned();
        if owner.as_ref() != Some(by) {
            let message =
                format!("the key \"{key}\" is \"{by}\"'s, it is said, and it is {owner:?}'s");
            self.broken(Invariant::OneOwner, message);
        }
    }

    pub(super) fn owns_key(&self, id: &TaskId, key: &str) -> bool {
        self.keys.owner(key, self.now()) == Some(id)
    }

    fn may_have_expired(&self, id: &TaskId) -> bool {
        let now = self.now();
        self.tasks.get(id).is_some_and(|seen| {
            seen.record.status == TaskStatus::Pending
                && seen.record.expires_at.is_some_and(|at| at <= now)
        })
    }

    /// The keys that tasks had and that nobody owns now.
    pub(in super::super) fn free_keys(&self) -> Vec<Arc<str>> {
        let now = self.now();
        let mut keys: Vec<_> = self
            .records()
            .filter_map(|record| record.unique.as_ref())
            .map(|unique| Arc::clone(&unique.key))
            .filter(|key| self.keys.is_free(key, now))
            .collect();
        keys.sort();
        keys.dedup();
        keys
    }
}
