//! What may become of one record.

use std::sync::Arc;
use std::time::Duration;

use super::{Seen, Witness};
use crate::id::TaskId;
use crate::task::{AttemptEnd, NewTask, Settlement, TaskStateRecord, TaskStatus, Unique};
use crate::testing::simulation::report::Invariant;
use crate::testing::simulation::situations::Situation;

/// What the commits of a call may do to one record.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed {
    /// As what it is to be created.
    pub(super) created: Option<Box<NewTask>>,
    pub(super) claimed: bool,
    /// It was leased for this long in the write that made it.
    pub(super) leased: Option<Duration>,
    pub(super) settled: Option<Settlement>,
    pub(super) cancelled: bool,
    pub(super) revived: bool,
    pub(super) woken: bool,
    pub(super) patched: bool,
    pub(super) deleted: bool,
    /// Operations on it that were accepted.
    pub(super) ops: usize,
}

impl Witness {
    /// A record as it is now.
    pub(super) fn see(
        &mut self,
        id: &TaskId,
        after: Option<Arc<TaskStateRecord>>,
        allowed: &Allowed,
    ) {
        let before = self
            .tasks
            .get(id)
            .map(|seen| (Arc::clone(&seen.record), seen.gone));
        match (before, after) {
            (None | Some((_, true)), None) => {}
            (None, Some(new)) => {
                if allowed.created.is_none() {
                    self.broken(Invariant::NothingLost, format!("\"{id}\" was not created"));
                }
                self.ids.push(id.clone());
                self.first_seen(new, allowed);
            }
            (Some((_, true)), Some(new)) => {
                if allowed.created.is_none() {
                    let message = format!("\"{id}\" came back after it was removed");
                    self.broken(Invariant::EndsOnce, message);
                }
                self.first_seen(new, allowed);
            }
            (Some((old, false)), None) => {
                let over = old.finished_at.is_some_and(|at| {
                    at.saturating_add(self.kept_for) <= self.now() && old.status.is_terminal()
                });
                if over && !allowed.deleted {
                    self.meet(Situation::Retired);
                } else if !allowed.deleted {
                    let message = format!("\"{id}\" is gone, and was {}", old.status);
                    self.broken(Invariant::NothingLost, message);
                }
                self.keys.deleted(&old);
                self.running.remove(id);
                if let Some(seen) = self.tasks.get_mut(id) {
                    seen.gone = true;
                }
            }
            (Some((old, false)), Some(new)) => {
                if *old != *new || allowed.ops > 0 {
                    self.compare(&old, &new, allowed);
                    self.follow(&old, new, allowed);
                }
            }
        }
    }

    fn first_seen(&mut self, new: Arc<TaskStateRecord>, allowed: &Allowed) {
        let id = new.id.clone();
        if let Some(task) = &allowed.created
            && !is_made_of(&new, task)
        {
            let message = format!("\"{id}\" is not what was created: {new:?}");
            self.broken(Invariant::NothingLost, message);
        }
        self.keys.taken(&new);
        let claims = u64::from(allowed.leased.is_some());
        let is_leased = new.status == TaskStatus::Running;
        if is_leased != allowed.leased.is_some() || new.leases != claims {
            let message = format!("\"{id}\" was not leased at its creation as was answered");
            self.broken(Invariant::OneHolder, message);
        }
        if is_leased {
            self.runs += 1;
            self.enter_gates(&new);
            self.keys.claimed(&new);
            self.running.insert(id.clone());
            self.meet_late(&new);
        }
        let seen = Seen {
            lease_ends: self.steady() + allowed.leased.unwrap_or_default(),
            record: new,
            claims,
            gone: false,
        };
        self.tasks.insert(id, seen);
    }

    /// Takes over what was seen.
    fn follow(&mut self, old: &TaskStateRecord, new: Arc<TaskStateRecord>, allowed: &Allowed) {
        let id = &new.id;
        if new.status == TaskStatus::Running {
            self.running.insert(id.clone());
        } else {
            self.running.remove(id);
        }
        if new.status.is_terminal() && !old.status.is_terminal() {
            self.keys.ended(&new);
        } else if allowed.revived && !new.status.is_terminal() {
            // Not by what was seen of it before: a task that expired is ended by a claim, and nobody says so.
            self.keys.taken(&new);
        }
        if let Some(seen) = self.tasks.get_mut(id) {
            seen.record = new;
        }
    }

    fn compare(&mut self, old: &TaskStateRecord, new: &TaskStateRecord, allowed: &Allowed) {
        let mut wrong: Vec<(Invariant, String)> = Vec::new();
        let mut must = |holds: bool, invariant: Invariant, message: &str| {
            if !holds {
                wrong.push((invariant, message.to_owned()));
            }
        };
        must(
            (old.seq, old.created_at, &old.name, old.kind, old.slot)
                == (new.seq, new.created_at, &new.name, new.kind, new.slot),
            Invariant::NothingLost,
            "is another task now",
        );
        must(
            new.revision > old.revision || *old == *new,
            Invariant::Fenced,
            "changed without a new revision",
        );
        must(
            new.fence == old.fence || (allowed.claimed && new.fence > old.fence),
            Invariant::Fenced,
            "has another fence, and nobody claimed it",
        );
        if old.status.is_terminal() && !allowed.revived {
            let ended = |record: &TaskStateRecord| {
                let TaskStateRecord {
                    status,
                    result,
                    error,
                    finished_at,
                    attempts,
                    ..
                } = record;
                (
                    *status,
                    result.clone(),
                    error.clone(),
                    *finished_at,
                    attempts.len(),
                )
            };
            must(
                ended(old) == ended(new),
                Invariant::EndsOnce,
                "had ended, and changed",
            );
        }
        let is_expired = new.expires_at.is_some_and(|at| at <= self.now());
        let may_follow = match (old.status, new.status) {
            (from, to) if from == to => true,
            (_, TaskStatus::Running) => allowed.claimed,
            (TaskStatus::Running, _) => allowed.settled.is_some(),
            (TaskStatus::Pending, TaskStatus::Cancelled) => allowed.cancelled || is_expired,
            (TaskStatus::Failed | TaskStatus::Cancelled, TaskStatus::Pending) => allowed.revived,
            _ => allowed.ops > 1,
        };
        must(
            may_follow,
            Invariant::EndsOnce,
            "has a status that nobody gave it",
        );
        must(
            new.lease.is_some() == (new.status == TaskStatus::Running),
            Invariant::OneHolder,
            "has a lease and does not run, or runs without one",
        );
        let lease = |record: &TaskStateRecord| record.lease.as_ref().map(|lease| lease.token);
        must(
            lease(old) == lease(new) || allowed.claimed || allowed.settled.is_some(),
            Invariant::OneHolder,
            "has another lease, and nobody claimed it",
        );
        must(
            new.spent() <= new.max_attempts && new.lost <= new.max_lost.max(1),
            Invariant::Bounded,
            "has run more often than it may",
        );
        let claims = self.tasks.get(&new.id).map_or(0, |seen| seen.claims);
        must(
            new.leases == claims + u64::from(allowed.claimed),
            Invariant::Bounded,
            "counts other leases than it had",
        );
        must(
            if new.status == TaskStatus::Running {
                new.gates.iter().all(|gate| new.holds.contains(&gate.key))
            } else {
                new.holds.is_empty()
            },
            Invariant::Gated,
            "holds other places than it should",
        );
        must(
            !old.cancel_requested || new.cancel_requested || allowed.revived,
            Invariant::Stops,
            "was asked to stop, and forgot it",
        );
        if allowed.ops == 1 {
            must(
                !allowed.cancelled || new.cancel_requested || new.status == TaskStatus::Cancelled,
                Invariant::Stops,
                "was not cancelled, as was answered",
            );
            must(
                !allowed.woken || new.woken || new.run_at <= self.now(),
                Invariant::Live,
                "was not woken, as was answered",
            );
            must(
                !allowed.revived || new.status == TaskStatus::Pending,
                Invariant::Live,
                "was not revived, as was answered",
            );
            if let Some(settlement) = &allowed.settled {
                settled(old, new, settlement, &mut must);
            }
        }
        let id = &new.id;
        for (invariant, message) in wrong {
            let message = format!("\"{id}\" {message}: {} -> {}", words(old), words(new));
            self.broken(invariant, message);
        }
        self.meet_change(old, new, allowed);
    }

    fn meet_change(&mut self, old: &TaskStateRecord, new: &TaskStateRecord, allowed: &Allowed) {
        let quiet = allowed.ops == 0;
        if quiet && new.status == TaskStatus::Cancelled && old.status == TaskStatus::Pending {
            self.meet(if old.attempt == 0 {
                Situation::ExpiredBeforeStart
            } else {
                Situation::ExpiredBetweenAttempts
            });
        }
        if new.parked.is_some() && old.parked.is_none() {
            let parked = new.parked.as_ref();
            let reason = parked
                .map(|parked| parked.reason.clone())
                .unwrap_or_default();
            self.meet(Situation::Parked);
            self.met
                .met_if(reason.starts_with("rate"), Situation::ParkedByRate);
            self.met
                .met_if(reason.starts_with("paused"), Situation::ParkedByPause);
        }
        let is_back = old.parked.is_some() && new.parked.is_none();
        if is_back && new.status == TaskStatus::Pending && quiet && self.is_paused(new) {
            self.meet(Situation::UnparkedWhilePaused);
        }
    }
}

/// Whether a record is what was asked for.
fn is_made_of(record: &TaskStateRecord, task: &NewTask) -> bool {
    let key = |unique: &Option<Arc<Unique>>| {
        let unique = unique.as_ref();
        unique.map(|unique| (Arc::clone(&unique.key), unique.scope))
    };
    (&record.name, &record.queue, record.kind, record.priority)
        == (&task.name, &task.queue, task.kind, task.priority)
        && (&record.args, &record.schedule, record.slot) == (&task.args, &task.schedule, task.slot)
        && key(&record.unique) == key(&task.unique)
        && record.details == task.details
}

/// What was answered about the end of a run is what is there.
fn settled(
    old: &TaskStateRecord,
    new: &TaskStateRecord,
    settlement: &Settlement,
    must: &mut impl FnMut(bool, Invariant, &str),
) {
    let status = match settlement.status {
        TaskStatus::Pending if old.cancel_requested => TaskStatus::Cancelled,
        status => status,
    };
    must(
        new.status == status && new.finished_at.is_some() == status.is_terminal(),
        Invariant::OwnEnd,
        "did not end as was answered",
    );
    must(
        status != TaskStatus::Succeeded || new.result == settlement.result,
        Invariant::OwnEnd,
        "has another result than its holder gave",
    );
    let attempt = old.attempt.saturating_sub(u32::from(settlement.give_back));
    must(
        new.attempt == attempt && new.lost == old.lost + u32::from(settlement.lost),
        Invariant::Bounded,
        "counts its attempts or losses wrongly",
    );
    let entered = |end: AttemptEnd| {
        let last = new.attempts.last();
        last.is_some_and(|attempt| attempt.outcome == end)
    };
    must(
        settlement.end.is_none_or(entered),
        Invariant::OwnEnd,
        "has a run that is not in its history",
    );
}

/// What matters of a record.
fn words(record: &TaskStateRecord) -> String {
    let holder = record
        .lease
        .as_ref()
        .map_or("nobody", |lease| lease.worker.as_str());
    format!(
        "{} rev {} attempt {} lost {} forgiven {} leases {} fence {} held by {holder} holds {:?}{}",
        record.status,
        record.revision,
        record.attempt,
        record.lost,
        record.forgiven,
        record.leases,
        record.fence,
        record.holds,
        record
            .parked
            .as_ref()
            .map(|parked| format!(" parked at {}", parked.gate))
            .unwrap_or_default(),
    )
}
