//! Whether a claim gave what it should.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use tlo::store::{ClaimRequest, Claims};
use tlo::task::{Ended, decide};
use tlo::{TaskId, TaskStateRecord, TaskStatus, Timestamp};

use super::{Checked, Model, want};

impl Model {
    /// A claim, what was answered, and the records after it, in the order of the model.
    pub(crate) fn claim(
        &mut self,
        request: &ClaimRequest,
        claims: &Claims,
        after: &[Option<TaskStateRecord>],
    ) -> Checked {
        want!(
            claims.now == self.now,
            "the claim says it is {}",
            claims.now
        );
        let after: Vec<_> = after.iter().flatten().collect();
        let mut walk = Walk {
            given: claims.tasks.iter().cloned().collect(),
            left: request.limit,
            passed: Vec::new(),
            passed_on: BTreeSet::new(),
        };
        for queue in &request.lanes.queues {
            self.rates_are_open(true);
            if self.closed(&format!("queue/{queue}"), None).is_some() {
                continue;
            }
            let mut order: VecDeque<_> = self.in_order(request, queue).into();
            walk.passed.clear();
            while walk.left > 0 {
                let Some(id) = walk.late().or_else(|| order.pop_front()) else {
                    break;
                };
                if self.visit(request, &mut walk, &id, &after)? {
                    break;
                }
            }
        }
        if let Some(task) = walk.given.front() {
            return Err(format!("{} was given and should not be: {task:?}", task.id));
        }
        Ok(())
    }

    /// What must hold after a claim, once it is known who is parked.
    pub(crate) fn check_claimed(&mut self, request: &ClaimRequest, claims: &Claims) -> Checked {
        self.rates_are_open(true);
        self.check_turns()?;
        if claims.tasks.len() >= request.limit {
            want!(
                claims.next_due == Some(self.now),
                "a claim that stopped at its limit says {:?}",
                claims.next_due
            );
            return Ok(());
        }
        if claims.next_due != Some(self.now) && self.rates_unknown.is_none() {
            self.check_parked(request)?;
        }
        self.check_next(request, claims.next_due)
    }

    /// What a worker may want of a queue: the due tasks it knows, by priority, due time and creation.
    fn in_order(&self, request: &ClaimRequest, queue: &str) -> Vec<TaskId> {
        let wanted = |task: &&TaskStateRecord| {
            *task.queue == *queue
                && task.status == TaskStatus::Pending
                && task.run_at <= self.high
                && knows(request, task)
        };
        let mut found: Vec<_> = self.tasks.iter().filter(wanted).collect();
        found.sort_by_key(|task| (255 - task.priority, task.run_at, task.seq));
        found.iter().map(|task| task.id.clone()).collect()
    }

    /// One task in its turn; true when nothing more of its queue may be given.
    fn visit(
        &mut self,
        request: &ClaimRequest,
        walk: &mut Walk,
        id: &TaskId,
        after: &[&TaskStateRecord],
    ) -> Checked<bool> {
        let Some(task) = self.task(id).cloned() else {
            return Ok(false);
        };
        let is_given = walk.given.front().is_some_and(|given| given.id == *id);
        if let Some(parked) = task.parked.as_ref().filter(|_| !is_given) {
            walk.passed.push((id.clone(), parked.gate.clone()));
        }
        // A store may find out in this claim, or not before the next, that a gate has opened by time or that a task passed
        // its turn on. And what was due before the clock was set back may be due or not.
        let is_sure = task.parked.is_none() && task.run_at <= self.now;
        if task.expires_at.is_some_and(|at| at <= self.now) {
            let stays = after
                .iter()
                .any(|stored| stored.id == *id && stored.status == TaskStatus::Pending);
            // Behind a rule of its queue or its name nobody looks at it.
            self.rates_are_open(false);
            let implied = self.implied(&task, stands_for(request, &task));
            let is_met = is_sure && implied.iter().all(|gate| self.closed(gate, None).is_none());
            if is_met || !stays {
                walk.pass_turn_on(&task);
                self.settle(id, &decide(Ended::Expired, &task, 0.0));
            }
            return Ok(false);
        }
        if task
            .prefer
            .as_ref()
            .is_some_and(|prefer| prefer.worker != request.worker && prefer.until > self.now)
        {
            return Ok(false);
        }
        self.rates_are_open(true);
        if self
            .closed(&format!("queue/{}", task.queue), None)
            .is_some()
        {
            // Nobody may have met one that waits behind a gate or is due again: what is behind it may be met still.
            return Ok(is_sure);
        }
        self.rates_are_open(is_given);
        let Some(enters) = self.enters(&task, stands_for(request, &task)) else {
            walk.pass_turn_on(&task);
            return Ok(false);
        };
        if !is_given && !is_sure {
            return Ok(false);
        }
        let Some(given) = walk.given.pop_front() else {
            return Err(format!("{id} was not given: {task:?}"));
        };
        want!(
            given.id == *id,
            "{} was given, and {id} comes before it: {task:?}",
            given.id
        );
        walk.left -= 1;
        let Some(lease) = &given.lease else {
            return Err(format!("{id} was given without a lease"));
        };
        let is_new = self.leases.iter().all(|(_, old)| old.token != lease.token);
        want!(is_new, "the token of {id} was given before");
        self.lease(id, enters, &request.worker, request.ttl, lease.token);
        let mut wanted = self.task(id).cloned().unwrap_or_else(|| task.clone());
        if !task.gates.is_empty() && given.revision > wanted.revision {
            wanted.revision = given.revision;
        }
        want!(
            wanted == *given,
            "{id} was given as {given:?}\n  wanted {wanted:?}"
        );
        if let Some(mine) = self.task_mut(id) {
            mine.revision = wanted.revision;
        }
        Ok(false)
    }

    /// The time to look again is never after anything that comes by itself.
    fn check_next(&self, request: &ClaimRequest, next: Option<Timestamp>) -> Checked {
        let by = |at: Timestamp, what: &str| -> Checked {
            let in_time = next.is_some_and(|next| next <= at.max(self.now));
            want!(
                in_time,
                "look again at {next:?}; {what} at {at:?}, now is {:?}",
                self.now
            );
            Ok(())
        };
        for task in &self.tasks {
            if let Some(end) = self.end_of(task) {
                by(end, &format!("the lease of {} ends", task.id))?;
            }
            let mine = request.lanes.queues.contains(&task.queue) && knows(request, task);
            if task.status != TaskStatus::Pending || !mine {
                continue;
            }
            if task.run_at > self.high {
                by(task.run_at, &format!("{} is due", task.id))?;
            } else if let Some(at) = self.opens(request, task).filter(|_| !self.is_set_back()) {
                by(at, &format!("{} may start", task.id))?;
            }
        }
        let waits = |task: &TaskStateRecord| {
            task.lease.is_some()
                || (task.status == TaskStatus::Pending
                    && request.lanes.queues.contains(&task.queue))
        };
        let quiet = !self.timers && !self.tasks.iter().any(waits);
        want!(
            !quiet || next.is_none(),
            "nothing waits, and the claim says to look again at {next:?}"
        );
        Ok(())
    }

    /// When a due task that was not given may be, if nobody does anything.
    fn opens(&self, request: &ClaimRequest, task: &TaskStateRecord) -> Option<Timestamp> {
        let mut at = self.now;
        if let Some(prefer) = task
            .prefer
            .as_ref()
            .filter(|prefer| prefer.worker != request.worker)
        {
            at = at.max(prefer.until);
        }
        // The gate it is parked behind may be open, for another that has the turn.
        let behind = task.parked.as_ref().map(|parked| &parked.gate);
        let own = task.gates.iter().find(|gate| Some(&gate.key) == behind);
        if own.is_some_and(|gate| self.closed(&gate.key, Some(gate.limit)).is_none()) {
            return None;
        }
        let implied = self.implied(task, stands_for(request, task));
        let implied = implied.iter().map(|gate| (gate.as_str(), None));
        let own = task
            .gates
            .iter()
            .map(|gate| (gate.key.as_str(), Some(gate.limit)));
        for (gate, limit) in implied.chain(own) {
            if let Some(closed) = self.closed(gate, limit) {
                at = at.max(closed.opens_at?);
            }
        }
        // What could start now waits for its turn: somebody has it.
        (at > self.now).then_some(at)
    }

    /// Who was met at a closed gate of its own is parked behind one.
    fn check_parked(&self, request: &ClaimRequest) -> Checked {
        for queue in &request.lanes.queues {
            for id in self.in_order(request, queue) {
                let Some(task) = self.task(&id) else { continue };
                let is_closed =
                    |gate: &tlo::task::Gate| self.closed(&gate.key, Some(gate.limit)).is_some();
                let hindered = task.prefer.is_some()
                    || task.run_at > self.now
                    || self
                        .implied(task, stands_for(request, task))
                        .iter()
                        .any(|gate| self.closed(gate, None).is_some())
                    || self.closed(&format!("queue/{queue}"), None).is_some();
                want!(
                    hindered || task.parked.is_some() || !task.gates.iter().any(is_closed),
                    "{id} waits for a closed gate and is not parked"
                );
            }
        }
        Ok(())
    }
}

struct Walk {
    given: VecDeque<Arc<TaskStateRecord>>,
    left: usize,
    /// Those that waited behind a gate when it was their turn, and that gate.
    passed: Vec<(TaskId, String)>,
    /// Gates of those that met the claim and did not run.
    passed_on: BTreeSet<String>,
}

impl Walk {
    /// What is given next, when it was passed: one that met the claim later passed its turn on to it.
    fn late(&mut self) -> Option<TaskId> {
        let given = self.given.front()?;
        let came_back =
            |(id, gate): &(TaskId, String)| *id == given.id && self.passed_on.contains(gate);
        let at = self.passed.iter().position(came_back)?;
        Some(self.passed.swap_remove(at).0)
    }

    /// This one met the claim and did not run.
    fn pass_turn_on(&mut self, task: &TaskStateRecord) {
        let gates = task.gates.iter().map(|gate| gate.key.clone());
        self.passed_on.extend(gates);
    }
}

fn knows(request: &ClaimRequest, task: &TaskStateRecord) -> bool {
    request.lanes.names.iter().any(|(name, version)| {
        *name == task.name && (task.version.is_none() || *version == task.version)
    })
}

fn stands_for<'a>(request: &'a ClaimRequest, task: &TaskStateRecord) -> Option<&'a str> {
    request.lanes.aliases.get(&task.name).map(|name| &**name)
}
