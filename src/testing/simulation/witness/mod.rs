//! [`Witness`]: sees every call that takes effect in the store, in their order, and knows what each may change.

mod change;
mod claims;
mod gates;
mod keys;
mod ops;
mod slots;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use change::Allowed;
use gates::Gates;
use keys::Keys;

use super::history::History;
use super::report::{Invariant, Violation};
use super::situations::{Met, Situation};
use crate::clock::Clock;
use crate::id::TaskId;
use crate::store::{Commit, Committed, Maintained};
use crate::task::TaskStateRecord;
use crate::testing::ManualClock;
use crate::timestamp::Timestamp;

/// What is known of one task.
#[derive(Debug)]
struct Seen {
    record: Arc<TaskStateRecord>,
    /// The end of its lease, on the steady clock.
    lease_ends: Duration,
    /// Claims that were seen.
    claims: u64,
    /// It was deleted, or its time was over.
    gone: bool,
}

/// The other half of a simulation: what must be true, whatever the engine says.
#[derive(Debug)]
pub(super) struct Witness {
    seed: u64,
    clock: Arc<ManualClock>,
    /// How long finished records are kept.
    kept_for: Duration,
    tasks: BTreeMap<TaskId, Seen>,
    running: BTreeSet<TaskId>,
    /// Runs that their nodes know of, by task and fence.
    begun: BTreeSet<(TaskId, u64)>,
    /// The order in which tasks were first seen.
    ids: Vec<TaskId>,
    keys: Keys,
    gates: Gates,
    /// How far each schedule was decided.
    cursors: BTreeMap<String, i64>,
    /// Somebody set a clock back: slots may come again.
    pub(super) clock_was_set_back: bool,
    pub(super) history: History,
    pub(super) met: Met,
    pub(super) runs: u64,
    violation: Option<Violation>,
}

impl Witness {
    pub(super) fn new(seed: u64, clock: Arc<ManualClock>, kept_for: Duration) -> Self {
        Self {
            seed,
            clock,
            kept_for,
            tasks: BTreeMap::new(),
            running: BTreeSet::new(),
            begun: BTreeSet::new(),
            ids: Vec::new(),
            keys: Keys::default(),
            gates: Gates::default(),
            cursors: BTreeMap::new(),
            clock_was_set_back: false,
            history: History::default(),
            met: Met::default(),
            runs: 0,
            violation: None,
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn steady(&self) -> Duration {
        self.clock.steady().at
    }

    /// Adds a line to the history.
    pub(super) fn note(&mut self, what: fmt::Arguments<'_>) {
        let at = self.steady();
        self.history
            .note(format_args!("{:>11.3} {what}", at.as_secs_f64()));
    }

    /// A rule was broken; the first is kept.
    pub(super) fn broken(&mut self, invariant: Invariant, message: String) {
        self.note(format_args!("BROKEN {}: {message}", invariant.number()));
        if self.violation.is_none() {
            self.violation = Some(Violation {
                seed: self.seed,
                invariant,
                message,
                last: self.history.last(),
            });
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.violation.is_some()
    }

    pub(super) fn violation(&self) -> Option<Violation> {
        self.violation.clone()
    }

    /// The records as they were last seen, in the order of their creation, removed ones among them.
    pub(super) fn records(&self) -> impl Iterator<Item = &Arc<TaskStateRecord>> {
        let seen = self.ids.iter().filter_map(|id| self.tasks.get(id));
        seen.map(|seen| &seen.record)
    }

    /// Those that are still there.
    pub(super) fn present(&self) -> impl Iterator<Item = &Arc<TaskStateRecord>> {
        let seen = self.ids.iter().filter_map(|id| self.tasks.get(id));
        seen.filter(|seen| !seen.gone).map(|seen| &seen.record)
    }

    pub(super) fn count(&self) -> u64 {
        self.ids.len() as u64
    }

    pub(super) fn knows(&self, id: &TaskId) -> bool {
        self.tasks.contains_key(id)
    }

    pub(super) fn has_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// Whether a worker of this name holds a lease.
    pub(super) fn holds_lease(&self, name: &str) -> bool {
        self.running.iter().any(|id| {
            let lease = self.tasks[id].record.lease.as_ref();
            lease.is_some_and(|lease| lease.worker.as_str().split('#').next() == Some(name))
        })
    }

    /// A node got the answer to its claim and runs this.
    pub(super) fn begun(&mut self, record: &TaskStateRecord) {
        self.begun.insert((record.id.clone(), record.fence));
    }

    fn is_parked(record: &TaskStateRecord) -> bool {
        record.parked.is_some() && record.status == crate::task::TaskStatus::Pending
    }

    /// A call to commit took effect; `after` has the records it may have changed, as they are now.
    pub(super) fn committed(
        &mut self,
        who: &str,
        commits: &[Commit],
        answers: &[Committed],
        after: impl Iterator<Item = (TaskId, Option<TaskStateRecord>)>,
    ) {
        let after: BTreeMap<_, _> = after.collect();
        let mut allowed: BTreeMap<TaskId, Allowed> = BTreeMap::new();
        for (commit, answer) in commits.iter().zip(answers) {
            self.note_commit(who, commit, answer);
            match answer {
                Ok(effects) => self.applied(commit, effects, &mut allowed),
                Err(refusal) => self.refused(commit, refusal),
            }
        }
        let nothing = Allowed::default();
        for (id, record) in after {
            let allowed = allowed.get(&id).unwrap_or(&nothing);
            self.see(&id, record.map(Arc::new), allowed);
        }
    }

    /// Upkeep was done.
    pub(super) fn maintained(&mut self, who: &str, done: Maintained) {
        if done != Maintained::default() {
            self.note(format_args!(
                "{who} tidies: {} removed, {} unparked",
                done.removed, done.unparked
            ));
        }
    }

    /// All records there are now: what changed since they were seen last may only be what changes by itself.
    pub(super) fn sweep(&mut self, all: Vec<TaskStateRecord>) {
        let nothing = Allowed::default();
        let mut there = BTreeSet::new();
        for record in all {
            let id = record.id.clone();
            if !there.insert(id.clone()) {
                self.broken(Invariant::NothingLost, format!("\"{id}\" is listed twice"));
            }
            self.see(&id, Some(Arc::new(record)), &nothing);
        }
        let missing: Vec<TaskId> = self
            .tasks
            .iter()
            .filter(|(id, seen)| !seen.gone && !there.contains(*id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in missing {
            self.see(&id, None, &nothing);
        }
    }

    pub(super) fn meet(&mut self, situation: Situation) {
        self.met.met(situation);
    }
}
