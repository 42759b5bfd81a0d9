//! The life of a lease.

use std::time::Duration;

use tlo::store::{Effect, Refusal};
use tlo::task::{ATTEMPTS_KEPT, Attempt, AttemptEnd, Lease, Settlement};
use tlo::{LeaseToken, Steady, TaskId, TaskStatus, WorkerId};

use super::Model;
use super::commit::Outcome;

impl Model {
    pub(super) fn lease(
        &mut self,
        id: &TaskId,
        enters: Vec<String>,
        worker: &WorkerId,
        ttl: Duration,
        token: LeaseToken,
    ) {
        for gate in &enters {
            self.count_start(gate);
        }
        let (now, ends) = (self.now, self.ends_in(ttl));
        self.change(id, |task| {
            task.status = TaskStatus::Running;
            task.attempt += 1;
            task.leases += 1;
            task.fence += 1;
            task.started_at = Some(now);
            task.holds = enters;
            task.parked = None;
            task.token = None;
            task.prefer = None;
            task.woken = false;
            task.lease = Some(Lease {
                worker: worker.clone(),
                until: now.saturating_add(ttl),
                fence: task.fence,
                token,
                ends,
            });
        });
        self.free_key(id, false);
        let given = self
            .task(id)
            .and_then(|task| task.lease.as_ref())
            .map(Lease::reference);
        self.leases.extend(given.map(|lease| (id.clone(), lease)));
    }

    fn ends_in(&self, ttl: Duration) -> Option<Steady> {
        Some(Steady {
            boot: self.steady.boot,
            at: self.steady.at.saturating_add(ttl),
        })
    }

    pub(super) fn extend(&mut self, id: &TaskId, ttl: Duration) -> Outcome {
        let record = self.existing(id)?;
        if record.lease.is_none() {
            return Err(Refusal::LeaseLost(id.clone()));
        }
        let (until, ends) = (self.now.saturating_add(ttl), self.ends_in(ttl));
        self.change(id, |task| {
            if let Some(lease) = &mut task.lease {
                lease.until = until;
                lease.ends = ends;
            }
        });
        Ok(Effect::Extended {
            until,
            cancel_requested: record.cancel_requested,
            woken: record.woken,
        })
    }

    /// The end of a run, or of the wait for one; the new status, or `None` when there is nothing to end.
    pub(super) fn settle(&mut self, id: &TaskId, settlement: &Settlement) -> Option<TaskStatus> {
        let record = self.task(id)?.clone();
        let wanted = match settlement.status {
            TaskStatus::Pending if record.cancel_requested => TaskStatus::Cancelled,
            TaskStatus::Running => TaskStatus::Pending,
            wanted => wanted,
        };
        let may = match record.status {
            TaskStatus::Running => true,
            TaskStatus::Pending => matches!(wanted, TaskStatus::Failed | TaskStatus::Cancelled),
            _ => false,
        };
        if !may {
            return None;
        }
        let now = self.now;
        let asked = wanted == TaskStatus::Cancelled && record.cancel_requested;
        self.change(id, |task| {
            task.status = wanted;
            task.parked = None;
            task.holds.clear();
            let lease = task.lease.take();
            if let (Some(outcome), Some(lease)) = (settlement.end, &lease) {
                task.attempts.push(Attempt {
                    attempt: record.attempt,
                    worker: lease.worker.clone(),
                    started_at: record.started_at.unwrap_or(now),
                    finished_at: now,
                    outcome,
                    error: settlement.error.clone(),
                });
                // The first and the last twenty.
                if task.attempts.len() > ATTEMPTS_KEPT + 1 {
                    task.attempts.remove(1);
                }
            }
            // Who lost its lease is not told later that it settled.
            task.token = lease.map(|lease| lease.token).filter(|_| !settlement.lost);
            if settlement.give_back {
                task.attempt = task.attempt.saturating_sub(1);
            }
            if settlement.lost {
                task.lost += 1;
            }
            if asked {
                task.error_group = None;
            } else if settlement.error.is_some() {
                task.error.clone_from(&settlement.error);
                task.error_group.clone_from(&settlement.error_group);
            }
            if settlement.phase.is_some() {
                task.phase.clone_from(&settlement.phase);
            }
            if settlement.state.is_some() {
                task.state.clone_from(&settlement.state);
            }
            match wanted {
                TaskStatus::Pending => {
                    let snoozed = settlement.end == Some(AttemptEnd::Snoozed);
                    task.run_at = if task.woken && snoozed {
                        now
                    } else {
                        settlement.due.resolve(now)
                    };
                    task.woken = false;
                }
                _ => {
                    task.finished_at = Some(now);
                    task.result.clone_from(&settlement.result);
                }
            }
            if wanted == TaskStatus::Succeeded {
                task.error = None;
                task.error_group = None;
            }
        });
        if wanted.is_terminal() {
            self.free_key(id, true);
        }
        Some(wanted)
    }
}
