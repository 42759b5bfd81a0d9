//! What a simulation found.

use std::fmt;

use super::situations::{Met, Situation};

/// One of the rules that hold whatever goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// I1: no task that was created is lost.
    NothingLost,
    /// I2: every task ends once, and what has ended stays as it ended.
    EndsOnce,
    /// I3: while a lease is live nobody else has the task.
    OneHolder,
    /// I4: the fence only grows, and a write under an old one is refused and changes nothing.
    Fenced,
    /// I5: what is recorded is what the holder of the lease said.
    OwnEnd,
    /// I6: attempts, losses and leases stay within their limits.
    Bounded,
    /// I7: one task per unique key, as long as its scope lasts.
    OneOwner,
    /// I8: one task per slot of a schedule, and no slot without a decision.
    OncePerSlot,
    /// I9: streams have no gaps.
    Gapless,
    /// I10: gates never let more in than their limit, and never stay shut without a holder.
    Gated,
    /// I11: nothing is left behind.
    NothingLeft,
    /// I12: what can run runs, in time.
    Live,
    /// I13: a stop ends in time.
    Stops,
    /// I14: reading changes nothing.
    ReadsOnly,
    /// I15: what cannot be read is told of, and the others go on.
    Told,
    /// What the program itself says must hold.
    Program,
}

impl Invariant {
    /// Its number among the invariants, such as `I3`.
    #[must_use]
    pub fn number(self) -> String {
        match self {
            Self::Program => "program".to_owned(),
            other => format!("I{}", other as u8 + 1),
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let says = match self {
            Self::NothingLost => "no task that was created is lost",
            Self::EndsOnce => "every task ends once",
            Self::OneHolder => "while a lease is live nobody else has the task",
            Self::Fenced => "the fence only grows, and a write under an old one changes nothing",
            Self::OwnEnd => "what is recorded is what the holder of the lease said",
            Self::Bounded => "attempts, losses and leases stay within their limits",
            Self::OneOwner => "one task per unique key",
            Self::OncePerSlot => "one task per slot, and no slot without a decision",
            Self::Gapless => "streams have no gaps",
            Self::Gated => "gates keep their limits and do not stay shut",
            Self::NothingLeft => "nothing is left behind",
            Self::Live => "what can run runs, in time",
            Self::Stops => "a stop ends in time",
            Self::ReadsOnly => "reading changes nothing",
            Self::Told => "what cannot be read is told of, and the others go on",
            Self::Program => "what the program says must hold",
        };
        write!(f, "{}: {says}", self.number())
    }
}

/// A rule that was broken, and how to see it again.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed that leads there.
    pub seed: u64,
    /// The rule.
    pub invariant: Invariant,
    /// What was seen.
    pub message: String,
    /// The last things that happened, the latest at the end.
    pub last: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} broke {}", self.seed, self.invariant)?;
        writeln!(f, "  {}", self.message)?;
        writeln!(f, "  the last that happened:")?;
        for line in &self.last {
            writeln!(f, "    {line}")?;
        }
        write!(f, "  once more: TLO_SIM_SEED={}", self.seed)
    }
}

/// What one seed came to.
#[derive(Clone, Debug)]
pub struct SeedReport {
    /// The seed.
    pub seed: u64,
    /// One number for everything that happened, in its order: equal for two runs of one seed.
    pub history: u64,
    /// Things that happened.
    pub events: u64,
    /// Tasks that were created.
    pub tasks: u64,
    /// Runs that were begun.
    pub runs: u64,
    /// Nodes that were killed.
    pub kills: u64,
    /// The first rule that was broken.
    pub violation: Option<Violation>,
    pub(super) met: Met,
}

impl SeedReport {
    /// How often it was in this situation.
    #[must_use]
    pub fn times(&self, situation: Situation) -> u64 {
        self.met.times(situation)
    }
}

/// What all seeds came to. Its text is the table of situations and all violations.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Seeds that were run.
    pub seeds: u64,
    /// The first of them.
    pub first_seed: u64,
    /// Things that happened, in all.
    pub events: u64,
    /// Tasks that were created, in all.
    pub tasks: u64,
    /// Runs that were begun, in all.
    pub runs: u64,
    /// Nodes that were killed, in all.
    pub kills: u64,
    /// What was broken; the first of each seed.
    pub violations: Vec<Violation>,
    pub(super) met: Met,
}

impl Report {
    pub(super) fn add(&mut self, seed: SeedReport) {
        self.seeds += 1;
        self.events += seed.events;
        self.tasks += seed.tasks;
        self.runs += seed.runs;
        self.kills += seed.kills;
        self.met.add(&seed.met);
        self.violations.extend(seed.violation);
        self.violations.sort_by_key(|violation| violation.seed);
    }

    /// How often it was in this situation.
    #[must_use]
    pub fn times(&self, situation: Situation) -> u64 {
        self.met.times(situation)
    }

    /// The situations that no seed was in.
    #[must_use]
    pub fn never(&self) -> Vec<Situation> {
        let all = Situation::ALL.iter().copied();
        all.filter(|situation| self.times(*situation) == 0)
            .collect()
    }

    /// Fails when a rule was broken.
    ///
    /// # Panics
    /// With the violations.
    #[track_caller]
    pub fn assert_ok(&self) {
        let all: Vec<_> = self.violations.iter().map(ToString::to_string).collect();
        assert!(all.is_empty(), "{}", all.join("\n\n"));
    }

    /// Fails when no seed was in one of these situations.
    ///
    /// # Panics
    /// With those that are missing.
    #[track_caller]
    pub fn assert_met(&self, situations: &[Situation]) {
        let missing: Vec<_> = situations
            .iter()
            .filter(|situation| self.times(**situation) == 0)
            .map(|situation| situation.says())
            .collect();
        assert!(
            missing.is_empty(),
            "no seed was in these situations:\n  {}",
            missing.join("\n  ")
        );
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seeds,
            first_seed,
            events,
            tasks,
            runs,
            kills,
            ..
        } = self;
        writeln!(
            f,
            "{seeds} seeds from {first_seed}: {tasks} tasks, {runs} runs, {kills} kills, {events} events; {} seeds broke a rule",
            self.violations.len()
        )?;
        let met = Situation::ALL.len() - self.never().len();
        writeln!(f, "situations: {met} of {}", Situation::ALL.len())?;
        for situation in Situation::ALL {
            writeln!(f, "{:>9}  {}", self.times(*situation), situation.says())?;
        }
        for violation in &self.violations {
            writeln!(f, "\n{violation}")?;
        }
        Ok(())
    }
}
