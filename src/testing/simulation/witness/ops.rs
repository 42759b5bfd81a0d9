//! What commits did, and what they were refused for.

use std::collections::BTreeMap;

use super::Witness;
use super::change::Allowed;
use crate::id::TaskId;
use crate::store::{Commit, Committed, Create, Effect, Guard, Op, Refusal};
use crate::task::{
    AttemptEnd, Lease, LeaseRef, OnConflict, Settlement, TaskStateRecord, TaskStatus, UniqueScope,
};
use crate::testing::simulation::report::Invariant;
use crate::testing::simulation::situations::Situation;

type AllowedById = BTreeMap<TaskId, Allowed>;

impl Witness {
    pub(super) fn note_commit(&mut self, who: &str, commit: &Commit, answer: &Committed) {
        let ops: Vec<String> = commit.ops.iter().map(words).collect();
        match answer {
            Ok(_) => self.note(format_args!("{who} {}", ops.join(", "))),
            Err(refusal) => {
                let why = crate::Error::from(refusal.clone());
                self.note(format_args!("{who} {} -> refused: {why}", ops.join(", ")));
            }
        }
    }

    fn seen(&self, id: &TaskId) -> Option<&TaskStateRecord> {
        let seen = self.tasks.get(id).filter(|seen| !seen.gone)?;
        Some(&seen.record)
    }

    fn lease_has_ended(&self, id: &TaskId) -> bool {
        let seen = self.tasks.get(id);
        seen.is_some_and(|seen| seen.lease_ends <= self.steady())
    }

    /// A commit that was accepted.
    pub(super) fn applied(
        &mut self,
        commit: &Commit,
        effects: &[Effect],
        allowed: &mut AllowedById,
    ) {
        if effects.len() != commit.ops.len() {
            self.broken(
                Invariant::OwnEnd,
                "a commit was answered with other effects than it has operations".to_owned(),
            );
        }
        for guard in &commit.guards {
            self.guard_held(guard);
        }
        for (op, effect) in commit.ops.iter().zip(effects) {
            self.op_applied(op, effect, commit, allowed);
        }
    }

    fn guard_held(&mut self, guard: &Guard) {
        match guard {
            Guard::Held(id, shown) => {
                let holds = |record: &TaskStateRecord| {
                    record.lease.as_ref().map(Lease::reference) == Some(*shown)
                };
                if !self.seen(id).is_some_and(holds) {
                    let message = format!(
                        "a write under fence {} of \"{id}\" was accepted, and the lease is somebody else's",
                        shown.fence
                    );
                    self.broken(Invariant::Fenced, message);
                }
            }
            Guard::Expired(id, fence) => {
                let is_its = self
                    .seen(id)
                    .is_some_and(|record| record.lease.is_some() && record.fence == *fence);
                if !is_its || !self.lease_has_ended(id) {
                    let message = format!("the lease of \"{id}\" was taken back while it was live");
                    self.broken(Invariant::OneHolder, message);
                }
            }
            _ => {}
        }
    }

    fn op_applied(&mut self, op: &Op, effect: &Effect, commit: &Commit, allowed: &mut AllowedById) {
        let mut allow = |id: &TaskId, change: fn(&mut Allowed)| {
            let allowed = allowed.entry(id.clone()).or_default();
            allowed.ops += 1;
            change(allowed);
        };
        match op {
            Op::Create(create) => match effect {
                Effect::Created { leased, .. } => {
                    allow(&create.task.id, |_| {});
                    if let Some(allowed) = allowed.get_mut(&create.task.id) {
                        let to = create.lease_to.as_ref().filter(|_| leased.is_some());
                        allowed.leased = to.map(|to| to.ttl);
                        allowed.created = Some(Box::new(create.task.clone()));
                    }
                    self.created(create);
                }
                Effect::Existing { id, .. } => {
                    allow(id, |allowed| allowed.patched = true);
                    self.existing(create, id);
                }
                _ => {}
            },
            Op::Settle(id, settlement) => {
                allow(id, |_| {});
                if let Some(allowed) = allowed.get_mut(id) {
                    allowed.settled = Some(Settlement::clone(settlement));
                }
                self.settling(id, settlement, commit);
            }
            Op::Extend(id, ttl) => {
                allow(id, |allowed| allowed.patched = true);
                let late = self.lease_has_ended(id);
                self.met.met_if(late, Situation::ExtendedAfterExpiry);
                let ends = self.steady() + *ttl;
                if let Some(seen) = self.tasks.get_mut(id) {
                    seen.lease_ends = ends;
                }
            }
            Op::Patch(id, patch) => {
                allow(id, |allowed| allowed.patched = true);
                let is_parked = self.seen(id).is_some_and(Self::is_parked);
                self.met.met_if(
                    is_parked && patch.queue.is_some(),
                    Situation::MovedWhileParked,
                );
                self.met.met_if(
                    is_parked && patch.due.is_some(),
                    Situation::PutOffWhileParked,
                );
            }
            Op::Cancel(id, reason) => {
                allow(id, |allowed| allowed.cancelled = true);
                self.cancelling(id, reason);
            }
            Op::Revive(id, _) => {
                allow(id, |allowed| allowed.revived = true);
                self.reviving(id);
            }
            Op::Wake(id) => {
                allow(id, |allowed| allowed.woken = true);
                match self.seen(id).map(|record| record.status) {
                    Some(TaskStatus::Running) => self.meet(Situation::WokenWhileLeased),
                    Some(_) => self.meet(Situation::WokenWhileWaiting),
                    None => {}
                }
            }
            Op::Delete(id) => {
                allow(id, |allowed| allowed.deleted = true);
                let waits = self
                    .seen(id)
                    .is_some_and(|record| record.status == TaskStatus::Pending);
                self.met.met_if(waits, Situation::DeletedWhileWaiting);
            }
            Op::PutMark { key, value, ttl } => {
                let until = ttl.map(|ttl| self.now().saturating_add(ttl));
                self.rule_set(key, value, until);
                self.cursor_set(key, value);
            }
            Op::DropMark(key) => self.rule_dropped(key),
            Op::Append(stream, events) => {
                let skipped = events.iter().any(|event| event.kind == "skipped");
                self.met.met_if(
                    stream.name == "decisions" && skipped,
                    Situation::SlotsSkipped,
                );
            }
            Op::Trim(..) | Op::Import(_) => {}
        }
    }

    fn created(&mut self, create: &Create) {
        let task = &create.task;
        if self.seen(&task.id).is_some() {
            let message = format!("\"{}\" was created twice", task.id);
            self.broken(Invariant::NothingLost, message);
        }
        if let Some(unique) = &task.unique {
            self.key_was_free(&unique.key, &task.id);
            let mut running = self.running.iter().map(|id| &self.tasks[id].record);
            let runs_with_it = running.any(|record| {
                let its = record.unique.as_ref();
                its.is_some_and(|its| {
                    its.key == unique.key && its.scope == UniqueScope::WhileQueued
                })
            });
            self.met
                .met_if(runs_with_it, Situation::KeyFreeWhileRunning);
            let over = self.present().any(|record| {
                let its = record.unique.as_ref();
                !record.status.is_terminal()
                    && its.is_some_and(|its| {
                        its.key == unique.key && matches!(its.scope, UniqueScope::For(_))
                    })
            });
            self.met.met_if(over, Situation::KeyTimeOver);
        }
        self.slot_created(task);
    }

    fn existing(&mut self, create: &Create, found: &TaskId) {
        let task = &create.task;
        if *found == task.id {
            // A key that outlives its task still answers for it.
            let key = task.unique.as_ref().map(|unique| &*unique.key);
            let is_kept = key.is_some_and(|key| self.owns_key(found, key));
            if self.seen(found).is_none() && !is_kept {
                let message = format!("\"{found}\" is there, it is said, and it is not");
                self.broken(Invariant::NothingLost, message);
            }
            return;
        }
        self.meet(Situation::KeyOwned);
        self.met.met_if(
            matches!(
                task.on_conflict,
                OnConflict::Replace | OnConflict::Debounce(_)
            ),
            Situation::Replaced,
        );
        if let Some(unique) = &task.unique {
            self.key_was_taken(&unique.key, found);
        }
    }

    fn settling(&mut self, id: &TaskId, settlement: &Settlement, commit: &Commit) {
        let late = self.lease_has_ended(id);
        let Some(record) = self.seen(id).cloned() else {
            return;
        };
        let is_guarded = commit
            .guards
            .iter()
            .any(|guard| matches!(guard, Guard::Held(of, _) | Guard::Expired(of, _) if of == id));
        if record.status == TaskStatus::Running && !is_guarded {
            let message = format!("\"{id}\" was settled without its lease");
            self.broken(Invariant::Fenced, message);
        }
        let met = &mut self.met;
        met.met_if(late && !settlement.lost, Situation::SettledAfterExpiry);
        let failed = settlement.status == TaskStatus::Failed;
        if settlement.lost {
            met.met(Situation::TakenBack);
            let begun = self.begun.contains(&(id.clone(), record.fence));
            met.met_if(!begun, Situation::ClaimAnswerLost);
            met.met_if(failed && record.max_lost > 0, Situation::LostTooOften);
            met.met_if(failed && record.max_lost == 0, Situation::LostAtMostOnce);
            met.met_if(record.cancel_requested, Situation::LostWhileCancelled);
            return;
        }
        let waits = settlement.status == TaskStatus::Pending;
        match settlement.end {
            Some(AttemptEnd::Succeeded) => {
                met.met_if(record.cancel_requested, Situation::SucceededDespiteCancel);
            }
            Some(AttemptEnd::Snoozed) => {
                met.met(Situation::Snoozed);
                met.met_if(record.woken, Situation::SnoozeWithWake);
            }
            Some(AttemptEnd::Released) => met.met(Situation::DrainReleased),
            Some(AttemptEnd::TimedOut) => met.met(Situation::TimedOut),
            Some(AttemptEnd::Panicked) => met.met(Situation::Panicked),
            _ => {}
        }
        let tried = matches!(
            settlement.end,
            Some(AttemptEnd::Failed | AttemptEnd::TimedOut | AttemptEnd::Panicked)
        );
        met.met_if(tried && waits, Situation::Retried);
        let spent = record.spent() >= record.max_attempts;
        met.met_if(tried && failed && spent, Situation::OutOfAttempts);
        met.met_if(tried && failed && !spent, Situation::FailedForGood);
        met.met_if(
            waits && record.cancel_requested,
            Situation::CancelWonOverRetry,
        );
    }

    fn cancelling(&mut self, id: &TaskId, reason: &str) {
        let Some(record) = self.seen(id) else { return };
        let situation = match record.status {
            TaskStatus::Running => Situation::CancelledWhileClaimed,
            _ if Self::is_parked(record) => Situation::CancelledWhileParked,
            _ => Situation::CancelledWhileWaiting,
        };
        self.meet(situation);
        self.met.met_if(
            reason.starts_with("replaced by"),
            Situation::OccurrenceReplaced,
        );
    }

    fn reviving(&mut self, id: &TaskId) {
        let Some(record) = self.seen(id).cloned() else {
            return;
        };
        if let Some(unique) = &record.unique {
            self.key_was_free(&unique.key, id);
        }
        self.meet(if record.status == TaskStatus::Failed {
            Situation::RevivedFailed
        } else {
            Situation::RevivedCancelled
        });
    }

    /// A commit that was refused.
    pub(super) fn refused(&mut self, commit: &Commit, refusal: &Refusal) {
        let settles = commit.ops.iter().any(|op| matches!(op, Op::Settle(..)));
        let taken_back = commit
            .guards
            .iter()
            .any(|guard| matches!(guard, Guard::Expired(..)));
        match refusal {
            Refusal::LeaseLost(_) if taken_back => self.meet(Situation::TakenBackTwice),
            Refusal::LeaseLost(id) | Refusal::NotFound(id) if settles => {
                self.meet(Situation::ReapedWhileSettling);
                self.lost_rightly(id, commit);
            }
            Refusal::LeaseLost(id) => {
                let reports = commit.ops.iter().any(|op| matches!(op, Op::Patch(..)));
                self.meet(Situation::ZombieExtendRefused);
                self.met.met_if(reports, Situation::ZombieProgressRefused);
                self.lost_rightly(id, commit);
            }
            Refusal::NotExpired(_) => self.meet(Situation::CameBackInTime),
            Refusal::AlreadyDone(_) => self.meet(Situation::SettleAlreadyDone),
            Refusal::KeyTaken { key, owner } => {
                let revives = commit.ops.iter().any(|op| matches!(op, Op::Revive(..)));
                self.key_was_taken(key, owner);
                if revives {
                    self.meet(Situation::ReviveWhileKeyTaken);
                } else if key.starts_with("schedule/") {
                    self.meet(Situation::SlotOverlapped);
                } else {
                    self.meet(Situation::KeyRefused);
                }
            }
            Refusal::Mark(key, _) if key.starts_with("cursor/") => {
                self.meet(Situation::SlotDecidedTwice);
            }
            Refusal::QueueFull { .. } => self.meet(Situation::QueueFull),
            _ => {}
        }
    }

    /// Whoever holds the lease must not be told that it is lost.
    fn lost_rightly(&mut self, id: &TaskId, commit: &Commit) {
        let shown = |guard: &Guard| -> Option<LeaseRef> {
            match guard {
                Guard::Held(of, shown) if of == id => Some(*shown),
                _ => None,
            }
        };
        let Some(shown) = commit.guards.iter().find_map(shown) else {
            return;
        };
        let holds = self
            .seen(id)
            .is_some_and(|record| record.lease.as_ref().map(Lease::reference) == Some(shown));
        if holds {
            let message = format!("the holder of \"{id}\" was refused as if its lease were lost");
            self.broken(Invariant::OneHolder, message);
        }
    }
}

/// An operation in a few words.
fn words(op: &Op) -> String {
    match op {
        Op::Create(create) => format!("creates {}", create.task.id),
        Op::Settle(id, settlement) => match settlement.end {
            Some(end) => format!("settles {id} {:?} {}", end, settlement.status),
            None => format!("settles {id} {}", settlement.status),
        },
        Op::Extend(id, _) => format!("extends {id}"),
        Op::Patch(id, _) => format!("changes {id}"),
        Op::Cancel(id, _) => format!("cancels {id}"),
        Op::Revive(id, _) => format!("revives {id}"),
        Op::Wake(id) => format!("wakes {id}"),
        Op::Delete(id) => format!("deletes {id}"),
        Op::Append(stream, events) => format!("appends {} to {stream}", events.len()),
        Op::Trim(stream, before) => format!("trims {stream} before {before}"),
        Op::PutMark { key, value, .. } if key.starts_with("gate/") => {
            format!("sets {key} to {}", value.as_str())
        }
        Op::PutMark { key, .. } => format!("sets {key}"),
        Op::DropMark(key) => format!("drops {key}"),
        Op::Import(_) => "imports".to_owned(),
    }
}
