//! Runs that were asked to end and whose handlers do not even wait for anything: nobody can drop those, so the worker
//! goes on without them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::execute::Finished;
use super::held::HeldTask;
use super::{Shared, Worker, starters};
use crate::handler::Interruption;
use crate::id::LeaseToken;
use crate::task::LeaseRef;

/// How long after its grace a run is given up that cannot be dropped. One that waits for something is dropped by then.
const MARGIN: Duration = Duration::from_secs(1);

/// Runs that were asked to end.
#[derive(Debug, Default)]
pub(super) struct Asked {
    any: AtomicBool,
    runs: Mutex<Vec<AskedRun>>,
}

#[derive(Debug)]
struct AskedRun {
    lease: LeaseRef,
    /// When it was asked, and when it is given up unless it said by then that it needs longer; on the steady clock.
    at: Duration,
    until: Duration,
}

impl Shared {
    /// Asks a run to end.
    pub(super) fn interrupt(&self, task: &HeldTask, why: Interruption) {
        let is_first = task.context.interruption().is_none();
        task.context.interrupt(why);
        if is_first && !starters::end_waiting(self, task.lease, why) {
            let now = self.parts.clock.steady().at;
            self.asked.runs.lock().push(AskedRun {
                lease: task.lease,
                at: now,
                until: given_up_at(now, self.parts.options.kill_grace),
            });
            self.asked.any.store(true, Ordering::Release);
        }
    }

    /// When the next run has to be given up, on the steady clock, unless it ends before.
    pub(super) fn gives_up_at(&self) -> Option<Duration> {
        if !self.asked.any.load(Ordering::Acquire) {
            return None;
        }
        let asked = self.asked.runs.lock();
        asked.iter().map(|run| run.until).min()
    }

    /// The runs that did not end in time.
    fn overdue(&self, now: Duration) -> Vec<HeldTask> {
        let mut asked = self.asked.runs.lock();
        let mut overdue = Vec::new();
        asked.retain_mut(|run| {
            let Some(task) = self.held.get(run.lease) else {
                return false;
            };
            let grace = self.parts.options.kill_grace;
            run.until = given_up_at(run.at, grace.max(task.context.needed_grace()));
            let is_overdue = now >= run.until;
            if is_overdue {
                overdue.push(task);
            }
            !is_overdue
        });
        self.asked.any.store(!asked.is_empty(), Ordering::Release);
        overdue
    }
}

/// No grace is too long to be given.
const fn given_up_at(asked_at: Duration, grace: Duration) -> Duration {
    asked_at.saturating_add(grace).saturating_add(MARGIN)
}

/// Runs that were given up and whose handlers have not come back.
pub(super) type GivenUp = HashSet<LeaseToken>;

impl Worker {
    /// Takes the runs that ended, without the ends of those that were given up before.
    pub(super) fn take_ends(&mut self) {
        let had = self.ended.len();
        self.shared.ends.take(&mut self.ended);
        if !self.given_up.is_empty() {
            let ended = self.ended.split_off(had);
            let (late, ended): (Vec<_>, Vec<_>) = ended
                .into_iter()
                .partition(|finished| self.given_up.remove(&finished.lease.token));
            self.ended.extend(ended);
            for finished in late {
                tracing::warn!(id = %finished.record().id, "the handler of a run that was given up has come back; what it answered is not recorded");
                self.shared.stuck.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.give_up();
    }

    /// Gives up the runs that did not end in time.
    fn give_up(&mut self) {
        let now = self.now();
        if self.shared.gives_up_at().is_none_or(|at| now < at) {
            return;
        }
        for task in self.shared.overdue(now) {
            let token = task.lease.token;
            if self.ended.iter().any(|ended| ended.lease.token == token) {
                continue;
            }
            let why = task.context.interruption();
            let why = why.unwrap_or(Interruption::Cancelled);
            tracing::warn!(id = %task.record().id, why = why.as_str(), "a handler blocks its thread and cannot be dropped; its run is given up");
            task.context.leave_behind();
            self.given_up.insert(token);
            self.shared.stuck.fetch_add(1, Ordering::Relaxed);
            let finished = Finished::new(task.context, task.lease, why.ended());
            self.ended.push(finished);
            starters::more(&self.shared);
        }
    }
}
