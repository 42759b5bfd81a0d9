//! Who may pass which gate.

use std::collections::{BTreeMap, BTreeSet};

use super::Witness;
use crate::payload::Payload;
use crate::store::GATE_MARK;
use crate::task::{GateRule, Rate, TaskStateRecord};
use crate::testing::simulation::report::Invariant;
use crate::testing::simulation::situations::Situation;
use crate::timestamp::Timestamp;

#[derive(Debug, Default)]
pub(super) struct Gates {
    rules: BTreeMap<String, Rule>,
}

#[derive(Debug)]
struct Rule {
    rule: GateRule,
    until: Option<Timestamp>,
    /// Starts since it was set.
    starts: Vec<Timestamp>,
}

impl Gates {
    fn of(&mut self, key: &str, now: Timestamp) -> Option<&mut Rule> {
        let rule = self.rules.get_mut(key)?;
        rule.until.is_none_or(|until| until > now).then_some(rule)
    }
}

/// The gates that a task has by its queue and its name.
fn implied(record: &TaskStateRecord) -> [String; 2] {
    [
        format!("queue/{}", record.queue),
        format!("task/{}", record.name),
    ]
}

impl Witness {
    pub(super) fn rule_set(&mut self, mark: &str, value: &Payload, until: Option<Timestamp>) {
        let Some(gate) = mark.strip_prefix(GATE_MARK) else {
            return;
        };
        let Ok(rule) = value.decode::<GateRule>() else {
            return;
        };
        let queue = gate.strip_prefix("queue/");
        let is_at_work = queue.is_some_and(|queue| {
            let mut running = self.running.iter().map(|id| &self.tasks[id].record);
            running.any(|record| *record.queue == *queue)
        });
        self.met
            .met_if(rule.paused && is_at_work, Situation::PausedWhileRunning);
        let rule = Rule {
            rule,
            until,
            starts: Vec::new(),
        };
        self.gates.rules.insert(gate.to_owned(), rule);
    }

    pub(super) fn rule_dropped(&mut self, mark: &str) {
        if let Some(gate) = mark.strip_prefix(GATE_MARK) {
            self.gates.rules.remove(gate);
        }
    }

    /// Whether a rule keeps the task from starting.
    pub(super) fn is_paused(&mut self, record: &TaskStateRecord) -> bool {
        let now = self.now();
        let own = record.gates.iter().map(|gate| gate.key.clone());
        own.chain(implied(record)).any(|key| {
            self.gates
                .of(&key, now)
                .is_some_and(|rule| rule.rule.paused)
        })
    }

    /// A task starts: each of its gates had a place for it.
    pub(super) fn enter_gates(&mut self, record: &TaskStateRecord) {
        let now = self.now();
        let own = record.gates.iter();
        let own = own.map(|gate| (gate.key.clone(), Some(gate.limit)));
        let implied = implied(record).map(|key| (key, None));
        for (key, limit) in own.chain(implied) {
            let held = self.holders(&key, record);
            let rule = self.gates.of(&key, now);
            let max = rule.as_ref().and_then(|rule| rule.rule.max).or(limit);
            let is_paused = rule.as_ref().is_some_and(|rule| rule.rule.paused);
            let is_too_often = rule.is_some_and(|rule| {
                rule.starts.push(now);
                let rate = rule.rule.rate;
                rate.is_some_and(|rate| exceeds(rate, &rule.starts))
            });
            let id = &record.id;
            if is_paused {
                let message = format!("\"{id}\" started while \"{key}\" is paused");
                self.broken(Invariant::Gated, message);
            }
            if is_too_often {
                let message = format!("\"{id}\" started above the rate of \"{key}\"");
                self.broken(Invariant::Gated, message);
            }
            if let Some(max) = max {
                if held >= max {
                    let message = format!(
                        "\"{id}\" started as number {} of {max} in \"{key}\"",
                        held + 1
                    );
                    self.broken(Invariant::Gated, message);
                }
                self.met
                    .met_if(max > 1 && held + 1 == max, Situation::GateFilled);
            }
        }
        self.met
            .met_if(record.gates.len() > 1, Situation::InTwoGates);
    }

    /// Those that run and hold a place of the gate, besides this one.
    fn holders(&self, key: &str, but: &TaskStateRecord) -> u32 {
        let running = self.running.iter().filter(|id| **id != but.id);
        let holds = running.filter(|id| {
            let holds = &self.tasks[*id].record.holds;
            holds.iter().any(|held| held == key)
        });
        u32::try_from(holds.count()).unwrap_or(u32::MAX)
    }

    /// The gates that tasks carried.
    pub(in super::super) fn gate_keys(&self) -> BTreeSet<String> {
        let gates = self.records().flat_map(|record| &record.gates);
        gates.map(|gate| gate.key.clone()).collect()
    }

    /// The gates that have a rule.
    pub(in super::super) fn ruled(&self) -> Vec<String> {
        self.gates.rules.keys().cloned().collect()
    }
}

/// Whether more started at some time than a bucket that was full gives.
fn exceeds(rate: Rate, starts: &[Timestamp]) -> bool {
    let Some(last) = starts.last() else {
        return false;
    };
    let capacity = u128::from(rate.capacity());
    starts.iter().enumerate().any(|(index, first)| {
        let count = (starts.len() - index) as u128;
        let filled = last.since(*first).as_micros() / rate.interval().as_micros().max(1);
        count > capacity + filled
    })
}
