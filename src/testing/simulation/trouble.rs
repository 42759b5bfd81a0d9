//! What goes wrong: on the way to the store, with the store, with nodes and their clocks.

use std::sync::Arc;
use std::time::Duration;

use super::node::{Node, Runs};
use super::situations::Situation;
use super::world::World;
use crate::clock::Clock;
use crate::error::Result;
use crate::settings::StopBehavior;
use crate::testing::{Fault, Verb, Weather};

/// A bad way to the store.
pub(super) const WEATHER: Weather = Weather {
    fail: 0.04,
    lose: 0.04,
    slow: 0.35,
    longest: Duration::from_millis(1_500),
};

impl World {
    /// Something goes wrong between a node, or the desk, and the store.
    pub(super) fn trouble_on_the_way(&mut self) {
        let place = self.some_node();
        let link = match place.and_then(|place| self.nodes[place].as_ref()) {
            Some(node) if self.chance.happens(0.8) => Arc::clone(&node.link),
            _ => Arc::clone(&self.desk.link),
        };
        let verbs = [Verb::Commit, Verb::Claim, Verb::Any, Verb::Read];
        let verb = *self.chance.one_of(&verbs).unwrap_or(&Verb::Any);
        let call = 1 + self.chance.number(0..3);
        match self.chance.number(0..8) {
            0 => link.plan(Fault::fail(verb).call(call)),
            1 => link.plan(Fault::fail(Verb::Commit).call(call).after_effect()),
            2 => link.plan(Fault::fail(Verb::Claim).after_effect()),
            3 => {
                let by = self.chance.up_to(Duration::from_secs(12));
                link.plan(Fault::delay(verb, by).call(call));
            }
            4 => {
                let by = self.chance.up_to(Duration::from_secs(12));
                link.plan(Fault::delay(verb, by).call(call).after_effect());
            }
            5 => {
                self.meet(Situation::StoreAway);
                link.be_away(true);
            }
            6 => {
                link.set_weather(WEATHER, self.chance.seed());
            }
            _ => link.heal(),
        }
    }

    pub(super) fn crash_or_reopen(&mut self) -> Result<()> {
        if self.ground.is_open() {
            self.note(format_args!("the store crashes"));
            let has_leases = self.ground.witness.lock().has_running();
            if has_leases {
                self.meet(Situation::StoreCrashedWithLeases);
            }
            self.ground.crash();
        }
        if self.chance.happens(0.6) {
            self.reopen()?;
        }
        Ok(())
    }

    pub(super) fn reopen(&mut self) -> Result<()> {
        if !self.ground.is_open() {
            self.note(format_args!("the store is opened again"));
            self.desk.wait(self.ground.reopen())?;
        }
        Ok(())
    }

    pub(super) fn trouble_with_a_node(&mut self) -> Result<()> {
        // A store that is down for long would be all there is.
        if !self.ground.is_open() && self.chance.happens(0.5) {
            return self.reopen();
        }
        let down = (0..self.nodes.len()).find(|place| self.nodes[*place].is_none());
        if let Some(place) = down
            && self.chance.happens(0.5)
        {
            return self.start(place, Runs::All);
        }
        let Some(place) = self.some_node() else {
            return Ok(());
        };
        match self.chance.number(0..10) {
            0..3 => self.kill(place),
            3..6 => self.pause_or_go_on(place),
            6..8 => self.set_clock(place),
            8 => {
                let place = self.stopping_node().unwrap_or(place);
                self.stop(place);
            }
            _ => {
                if let Some(node) = &self.nodes[place] {
                    node.link.heal();
                }
            }
        }
        Ok(())
    }

    fn kill(&mut self, place: usize) {
        let Some(node) = self.nodes[place].take() else {
            return;
        };
        self.note(format_args!("{} is killed", node.name));
        self.kills += 1;
        if node.link.under_way() > 0 {
            self.meet(Situation::KilledInACall);
        }
        let runs = self.ground.witness.lock().holds_lease(&node.name);
        if runs {
            self.meet(Situation::KilledWhileRunning);
        }
        node.kill();
    }

    fn pause_or_go_on(&mut self, place: usize) {
        let Some(node) = &mut self.nodes[place] else {
            return;
        };
        node.paused = !node.paused;
        let (name, paused) = (node.name.clone(), node.paused);
        let verb = if paused { "is paused" } else { "goes on" };
        self.note(format_args!("{name} {verb}"));
        let now = self.clock.steady().at;
        let holds = self.ground.witness.lock().holds_lease(&name);
        let lease = self.desk.context.settings().lease;
        let Some(node) = &mut self.nodes[place] else {
            return;
        };
        if paused {
            node.paused_with_leases = holds.then_some(now);
        } else if node
            .paused_with_leases
            .is_some_and(|since| now > since + lease)
        {
            self.meet(Situation::PausedBeyondLease);
        }
    }

    fn set_clock(&mut self, place: usize) {
        if !self.clocks_differ {
            return;
        }
        let ahead = self.some_skew();
        let Some(node) = &self.nodes[place] else {
            return;
        };
        self.note(format_args!(
            "{}'s clock is set {ahead} ms ahead",
            node.name
        ));
        if ahead < node.clock.ahead() {
            self.ground.witness.lock().clock_was_set_back = true;
        }
        node.clock.set_ahead(ahead);
    }

    fn stop(&mut self, place: usize) {
        let behaviors = [
            None,
            Some(StopBehavior::Drain),
            Some(StopBehavior::Cancel),
            Some(StopBehavior::Ignore),
        ];
        let behavior = self.chance.one_of(&behaviors).copied().flatten();
        let Some(node) = &mut self.nodes[place] else {
            return;
        };
        let again = node.stopping;
        node.stop(behavior);
        let name = node.name.clone();
        self.note(format_args!("{name} is told to stop: {behavior:?}"));
        if again {
            self.meet(Situation::StoppedTwice);
        } else if self.chance.happens(0.3) {
            self.turn(place, 1);
            if self.nodes[place].is_some() {
                self.stop(place);
            }
        }
    }

    /// Now and then a node that stops already, to be told again.
    fn stopping_node(&mut self) -> Option<usize> {
        let is_stopping = |node: &Option<Node>| node.as_ref().is_some_and(|node| node.stopping);
        let place = self.nodes.iter().position(is_stopping)?;
        self.chance.happens(0.5).then_some(place)
    }
}
