//! What a task must pass to run.

use std::time::Duration;

use tlo::store::GATE_MARK;
use tlo::task::{GateRule, Rate};
use tlo::{TaskStateRecord, TaskStatus, Timestamp};

use super::{Bucket, Checked, Model, want};

/// Why a gate lets nobody through now.
pub(super) struct Closed {
    /// When it may open by itself; `None` when somebody must open it.
    pub(super) opens_at: Option<Timestamp>,
}

impl Model {
    /// What an operator set for a gate, while it holds.
    pub(super) fn rule(&self, gate: &str) -> Option<GateRule> {
        self.mark(&format!("{GATE_MARK}{gate}"))?
            .value
            .decode()
            .ok()
    }

    /// Where the rates are not known, the answer of the store tells.
    pub(super) fn rates_are_open(&mut self, open: bool) {
        self.rates_unknown = self.rates_unknown.map(|_| open);
    }

    /// Those that run and hold a place in the gate.
    fn holders(&self, gate: &str) -> u32 {
        let holds = |task: &&TaskStateRecord| task.holds.iter().any(|held| held == gate);
        u32::try_from(self.tasks.iter().filter(holds).count()).unwrap()
    }

    /// Whether the gate is closed for a task with this limit of its own.
    pub(super) fn closed(&self, gate: &str, limit: Option<u32>) -> Option<Closed> {
        let rule = self.rule(gate).unwrap_or_default();
        let rule_ends = self
            .mark(&format!("{GATE_MARK}{gate}"))
            .and_then(|mark| mark.until);
        let is_full = |max: Option<u32>| max.is_some_and(|max| self.holders(gate) >= max);
        if rule.paused || is_full(rule.max) {
            return Some(Closed {
                opens_at: rule_ends,
            });
        }
        if rule.max.is_none() && is_full(limit) {
            return Some(Closed { opens_at: None });
        }
        let opens_at = match self.rates_unknown {
            None => self.next_start(gate, rule.rate?),
            Some(open) => {
                let _has_rate = rule.rate?;
                return (!open).then_some(Closed { opens_at: None });
            }
        };
        let by_itself = rule_ends.map_or(opens_at, |ends| ends.min(opens_at));
        let opens_at = Some(by_itself);
        (self.next_start(gate, rule.rate?) > self.now).then_some(Closed { opens_at })
    }

    /// A bucket of as many tokens as may start at once; a start takes one, and each interval brings one back.
    fn next_start(&self, gate: &str, rate: Rate) -> Timestamp {
        let interval = rate.per / rate.n;
        let full = interval * rate.burst.unwrap_or(rate.n);
        let wait = (self.used(gate) + interval).saturating_sub(full);
        self.now.saturating_add(wait)
    }

    /// How much of the bucket is empty.
    fn used(&self, gate: &str) -> Duration {
        let known = self.buckets.iter().find(|bucket| bucket.gate == gate);
        known.map_or(Duration::ZERO, |bucket| bucket.empty_at.since(self.now))
    }

    fn set_used(&mut self, gate: &str, used: Duration) {
        let (gate, empty_at) = (gate.to_owned(), self.now.saturating_add(used));
        self.buckets.retain(|bucket| bucket.gate != gate);
        self.buckets.push(Bucket { gate, empty_at });
    }

    /// A task starts behind a gate: if it has a rate now, that counts it.
    pub(super) fn count_start(&mut self, gate: &str) {
        if let Some(rate) = self.rule(gate).and_then(|rule| rule.rate) {
            self.set_used(gate, self.used(gate) + rate.per / rate.n);
        }
    }

    /// The bucket of a new rate is never emptier than empty.
    pub(super) fn rate_changed(&mut self, gate: &str) {
        if let Some(rate) = self.rule(gate).and_then(|rule| rule.rate) {
            let full = rate.per / rate.n * rate.burst.unwrap_or(rate.n);
            self.set_used(gate, self.used(gate).min(full));
        }
    }

    /// The gates that a task has by its queue and its name, as far as there is a rule for them; a name that stands for
    /// another has the rules of both.
    pub(super) fn implied(&self, task: &TaskStateRecord, stands_for: Option<&str>) -> Vec<String> {
        let mut gates = vec![
            format!("queue/{}", task.queue),
            format!("task/{}", task.name),
        ];
        let older = stands_for.filter(|name| **name != *task.name);
        gates.extend(older.map(|name| format!("task/{name}")));
        gates.retain(|gate| self.rule(gate).is_some());
        gates
    }

    /// All gates that a task would enter now, or `None` when one is closed.
    pub(super) fn enters(
        &self,
        task: &TaskStateRecord,
        stands_for: Option<&str>,
    ) -> Option<Vec<String>> {
        let mut gates = Vec::new();
        for gate in self.implied(task, stands_for) {
            if self.closed(&gate, None).is_some() {
                return None;
            }
            gates.push(gate);
        }
        for gate in &task.gates {
            if self.closed(&gate.key, Some(gate.limit)).is_some() {
                return None;
            }
            if !gates.contains(&gate.key) {
                gates.push(gate.key.clone());
            }
        }
        Some(gates)
    }

    /// Nobody waits behind an open gate without somebody in front who has the turn. What opens by time opens with the next
    /// claim, so this is asked after claims and after upkeep.
    pub(crate) fn check_turns(&self) -> Checked {
        for task in &self.tasks {
            let Some(parked) = &task.parked else { continue };
            let limit = task
                .gates
                .iter()
                .find(|gate| gate.key == parked.gate)
                .map(|gate| gate.limit);
            let by_rate = self
                .rule(&parked.gate)
                .is_some_and(|rule| rule.rate.is_some());
            // One that was over holds again when the clock is set back: nothing is written then that could open the gate.
            let is_back = self
                .mark(&format!("{GATE_MARK}{}", parked.gate))
                .is_some_and(|mark| self.over.contains(&(mark.key.to_string(), mark.version)));
            if self.closed(&parked.gate, limit).is_some()
                || (by_rate && self.rates_unknown.is_some())
                || is_back
            {
                continue;
            }
            let has_turn = |other: &TaskStateRecord| {
                other.status == TaskStatus::Pending
                    && other.parked.is_none()
                    && other.run_at <= self.high
                    && other.gates.iter().any(|gate| gate.key == parked.gate)
            };
            want!(
                self.tasks.iter().any(has_turn),
                "{} waits behind {}, which is open, and nobody has the turn",
                task.id,
                parked.gate
            );
        }
        Ok(())
    }
}
