//! The marks of a store in memory.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::store::{GATE_MARK, Mark};

/// Marks by key, and their keys in order. Most writes set a mark that is there: they leave the order alone.
#[derive(Debug, Default)]
pub(super) struct Marks {
    by_key: HashMap<Arc<str>, Arc<Mark>, RandomState>,
    keys: BTreeSet<Arc<str>>,
    /// Those that hold a rule of a gate: every create and claim asks whether there are any.
    rules: usize,
}

impl Marks {
    pub(super) fn get(&self, key: &str) -> Option<&Arc<Mark>> {
        self.by_key.get(key)
    }

    /// Answers what was there before.
    pub(super) fn insert(&mut self, mark: Arc<Mark>) -> Option<Arc<Mark>> {
        let key = Arc::clone(&mark.key);
        let before = self.by_key.insert(Arc::clone(&key), mark);
        if before.is_none() {
            self.rules += usize::from(key.starts_with(GATE_MARK));
            self.keys.insert(key);
        }
        before
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Arc<Mark>> {
        let removed = self.by_key.remove(key)?;
        self.rules -= usize::from(key.starts_with(GATE_MARK));
        self.keys.remove(key);
        Some(removed)
    }

    pub(super) fn has_rules(&self) -> bool {
        self.rules > 0
    }

    /// In the order of their keys, those from `prefix` on, behind `after`.
    pub(super) fn from(
        &self,
        prefix: &str,
        after: Option<&str>,
    ) -> impl Iterator<Item = &Arc<Mark>> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let keys = self.keys.range::<str, _>((from, Bound::Unbounded));
        keys.filter_map(|key| self.by_key.get(key))
    }
}
