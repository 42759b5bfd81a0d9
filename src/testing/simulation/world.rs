//! One seed: nodes, desk and store, and what chance does to them.

use std::sync::Arc;
use std::time::Duration;

use super::desk::Desk;
use super::ground::Ground;
use super::node::{End, Node, Recipe, Runs, Settings, setting};
use super::program::{Chance, Program};
use super::report::Invariant;
use super::situations::Situation;
use super::trouble::WEATHER;
use super::witness::Witness;
use crate::error::Result;
use crate::store::TaskStateStore;
use crate::task::{TaskStateRecord, TaskStatus};
use crate::testing::ManualClock;
use crate::testing::simulation::Simulation;

/// Nodes of a seed, at least and at most.
const NODES: std::ops::Range<u64> = 3..8;

/// Rounds in which everything that can go on without the clock has gone on.
pub(super) const REST: u64 = 8;

/// How long finished records are kept.
const KEPT_FOR: Duration = Duration::from_secs(600);

pub(super) struct World {
    pub(super) chance: Chance,
    pub(super) clock: Arc<ManualClock>,
    pub(super) ground: Arc<Ground>,
    pub(super) desk: Desk,
    /// By place; `None` is down.
    pub(super) nodes: Vec<Option<Node>>,
    pub(super) program: Program,
    pub(super) settings: Settings,
    /// Wall clocks of nodes differ and are set.
    pub(super) clocks_differ: bool,
    starts: u64,
    pub(super) kills: u64,
}

impl World {
    pub(super) fn new(simulation: &Simulation, seed: u64) -> Result<Self> {
        let mut chance = Chance::seeded(seed);
        let clock = ManualClock::shared();
        let witness = Witness::new(seed, Arc::clone(&clock), KEPT_FOR);
        let program = (simulation.programs)();
        let runtime = super::runtime()?;
        let ground = runtime.block_on(Ground::open(
            Arc::clone(&simulation.factory),
            simulation.wrap.clone(),
            format!("seed-{seed}"),
            Arc::clone(&clock),
            chance.seed(),
            witness,
        ))?;
        let ground = Arc::new(ground);
        let millis = |millis: u64| format!("{millis}ms");
        let lease = *chance.one_of(&[2_000, 5_000, 10_000]).unwrap_or(&5_000);
        let settings = vec![
            setting("lease", millis(lease)),
            setting("concurrency", chance.number(1..5)),
            setting("kill_grace", millis(chance.number(200..2_000))),
            setting("drain_timeout", millis(chance.number(500..8_000))),
            setting("tick_interval", millis(chance.number(500..5_000))),
            setting("retention.age", format!("{}s", KEPT_FOR.as_secs())),
        ];
        let desk = Desk::open(&Recipe {
            name: "desk".to_owned(),
            seed: chance.seed(),
            ahead: 0,
            program: &program,
            settings: &settings,
            ground: &ground,
            clock: &clock,
        })?;
        let nodes = usize::try_from(chance.number(NODES)).unwrap_or(3);
        let clocks_differ = chance.happens(0.5);
        let mut world = Self {
            chance,
            clock,
            ground,
            desk,
            nodes: std::iter::repeat_with(|| None).take(nodes).collect(),
            program,
            settings,
            clocks_differ,
            starts: 0,
            kills: 0,
        };
        for place in 0..nodes {
            world.start(place, Runs::All)?;
        }
        Ok(world)
    }

    pub(super) fn note(&self, what: std::fmt::Arguments<'_>) {
        self.ground.witness.lock().note(what);
    }

    pub(super) fn meet(&self, situation: Situation) {
        self.ground.witness.lock().meet(situation);
    }

    pub(super) fn broken(&self, invariant: Invariant, message: String) {
        self.ground.witness.lock().broken(invariant, message);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.ground.witness.lock().is_broken()
    }

    pub(super) fn start(&mut self, place: usize, runs: Runs) -> Result<()> {
        self.starts += 1;
        let name = format!("n{place}-{}", self.starts);
        let ahead = match self.clocks_differ {
            true => self.some_skew(),
            false => 0,
        };
        self.note(format_args!("{name} starts, {ahead} ms ahead"));
        let recipe = Recipe {
            name,
            seed: self.chance.seed(),
            ahead,
            program: &self.program,
            settings: &self.settings,
            ground: &self.ground,
            clock: &self.clock,
        };
        let node = Node::start(&recipe, runs)?;
        if runs == Runs::All && self.chance.happens(0.25) {
            node.link.set_weather(WEATHER, self.chance.seed());
        }
        self.nodes[place] = Some(node);
        Ok(())
    }

    pub(super) fn some_skew(&mut self) -> i64 {
        let longest = if self.chance.happens(0.8) {
            2_000
        } else {
            60_000
        };
        let by = i64::try_from(self.chance.number(0..longest)).unwrap_or(0);
        if self.chance.happens(0.5) { by } else { -by }
    }

    /// One of the nodes that are up.
    pub(super) fn some_node(&mut self) -> Option<usize> {
        let up: Vec<_> = (0..self.nodes.len())
            .filter(|place| self.nodes[*place].is_some())
            .collect();
        self.chance.one_of(&up).copied()
    }

    /// The next thing that happens.
    pub(super) fn act(&mut self) -> Result<()> {
        match self.chance.number(0..1_000) {
            0..370 => {
                if let Some(place) = self.some_node() {
                    let rounds = self.chance.number(1..6);
                    self.turn(place, rounds);
                }
            }
            370..500 => self.let_all_go_on(),
            500..690 => self.advance(),
            690..795 => {
                self.desk.submit(&mut self.chance);
                self.desk_turn(2);
            }
            795..885 => self.steer(),
            885..920 => self.rule(),
            920..945 => self.desk_turn(3),
            945..960 => self.sweep(),
            960..978 => self.trouble_on_the_way(),
            978..984 => self.crash_or_reopen()?,
            _ => self.trouble_with_a_node()?,
        }
        Ok(())
    }

    pub(super) fn turn(&mut self, place: usize, rounds: u64) {
        let Some(node) = &mut self.nodes[place] else {
            return;
        };
        node.turn(rounds);
        let Some(end) = node.ended() else { return };
        let name = node.name.clone();
        self.note(format_args!("{name} ended: {end:?}"));
        match end {
            End::Stopped => self.meet(Situation::Drained),
            End::NotStarted => self.meet(Situation::StartedInVain),
            End::Broken(why) => {
                self.broken(Invariant::Stops, format!("{name} ended by itself: {why}"));
            }
        }
        if let Some(node) = self.nodes[place].take() {
            node.kill();
        }
    }

    pub(super) fn desk_turn(&mut self, rounds: u64) {
        self.desk.turn(rounds);
        for answered in self.desk.answered() {
            let mut witness = self.ground.witness.lock();
            if let Some(situation) = answered.situation() {
                witness.meet(situation);
            }
            if !witness.knows(&answered.id) {
                let message = format!("\"{}\" was answered, and it is not there", answered.id);
                witness.broken(Invariant::NothingLost, message);
            }
        }
    }

    pub(super) fn let_all_go_on(&mut self) {
        for place in 0..self.nodes.len() {
            self.turn(place, 4);
        }
        self.desk_turn(2);
    }

    fn advance(&mut self) {
        let by = match self.chance.number(0..20) {
            0..8 => self.clock.next_wake().unwrap_or(Duration::from_millis(100)),
            8..14 => self.chance.up_to(Duration::from_millis(400)),
            14..18 => self.chance.up_to(Duration::from_secs(2)),
            18 => self.chance.up_to(Duration::from_secs(8)),
            _ => self.chance.up_to(Duration::from_secs(40)),
        };
        self.pass(by);
        if self.chance.happens(0.7) {
            self.let_all_go_on();
        }
    }

    /// Lets time pass. Stores keep times in microseconds, so it comes in those.
    pub(super) fn pass(&self, by: Duration) {
        let micros = u64::try_from(by.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        self.clock.advance(Duration::from_micros(micros));
    }

    fn steer(&mut self) {
        let wanted = self.chance.number(0..6);
        let (ids, queues) = {
            let witness = self.ground.witness.lock();
            // Where something is going on: what runs, what is parked, what has failed, what came last.
            let fits = |record: &TaskStateRecord| match wanted {
                0 | 1 => record.status == TaskStatus::Running,
                2 => record.parked.is_some(),
                3 => matches!(record.status, TaskStatus::Failed | TaskStatus::Cancelled),
                _ => true,
            };
            let found = witness.present().filter(|record| fits(record));
            let mut ids: Vec<_> = found.map(|record| record.id.clone()).collect();
            let from = ids.len().saturating_sub(24);
            ids.drain(..from);
            let mut queues: Vec<_> = witness
                .records()
                .map(|record| Arc::clone(&record.queue))
                .collect();
            queues.sort();
            queues.dedup();
            (ids, queues)
        };
        if let Some(id) = self.chance.one_of(&ids).cloned() {
            self.desk.steer(&id, wanted, &queues, &mut self.chance);
            self.desk_turn(2);
        }
    }

    fn rule(&mut self) {
        let mut gates: Vec<String> = {
            let witness = self.ground.witness.lock();
            let of_names = witness.records().flat_map(|record| {
                [
                    format!("queue/{}", record.queue),
                    format!("task/{}", record.name),
                ]
            });
            let gates = witness.gate_keys();
            gates.into_iter().chain(of_names).collect()
        };
        gates.sort();
        gates.dedup();
        // Those of queues stop most, those that tasks carry park.
        match self.chance.number(0..10) {
            0..3 => gates.retain(|gate| gate.starts_with("queue/")),
            3..8 => gates.retain(|gate| !gate.starts_with("queue/") && !gate.starts_with("task/")),
            _ => {}
        }
        if let Some(gate) = self.chance.one_of(&gates).cloned() {
            self.desk.rule(&gate, &mut self.chance);
            self.desk_turn(2);
        }
    }

    /// Compares everything that is there with what was seen.
    pub(super) fn sweep(&mut self) {
        if let Ok(all) = self.desk.wait(self.ground.all()) {
            self.ground.witness.lock().sweep(all);
        }
    }

    /// Whether the store holds what it should: what the store itself says.
    pub(super) fn check_store(&mut self) {
        let wrong = self.desk.wait(self.desk.link.check());
        if let Ok(wrong) = wrong
            && !wrong.is_empty()
        {
            self.broken(
                Invariant::Told,
                format!("the store says: {}", wrong.join("; ")),
            );
        }
    }

    pub(super) fn close(self) {
        let Self {
            nodes,
            desk,
            ground,
            ..
        } = self;
        nodes.into_iter().flatten().for_each(Node::kill);
        desk.wait(ground.discard());
        desk.close();
    }
}
