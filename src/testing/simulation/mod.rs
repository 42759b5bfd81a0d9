//! A seeded simulation: nodes, schedules and a store that crashes, in one process and on one clock that is moved by hand.
//!
//! Each seed is a history of its own. Three to seven nodes run a [`Program`], each the real
//! [`Runner`](crate::Runner) on a runtime, a clock and a way to the store of its own; a desk submits tasks and steers them.
//! Chance, and nothing else, says who goes on next and what goes wrong: nodes are killed, paused beyond their leases, stopped
//! and started; wall clocks differ and are set; calls to the store fail, are slow, lose their answers; the store crashes and
//! is opened again; gates get rules; tasks are cancelled, woken, revived, moved, put off and deleted. No thread is
//! started: heartbeats, schedules and upkeep go on when their node does. Then all faults end, and everything must.
//!
//! All the while a witness at the store compares what each call did with what it may do, by the fifteen [`Invariant`]s;
//! and it counts the [`Situation`]s that were met, so that a run that never got into trouble is seen to have proven nothing.
//!
//! The same seed gives the same history. A seed that broke a rule is run again with `TLO_SIM_SEED`:
//!
//! ```text
//! TLO_SIM_SEED=1707 cargo test the_shop_survives
//! ```
//!
//! ```
//! use tlo::prelude::*;
//! use tlo::testing::simulation::{Program, Simulation};
//!
//! let report = Simulation::of(|| {
//!     Program::new(|| {
//!         vec![task("greet").run(|context: TaskContext, name: String| async move {
//!             context.clock().sleep(secs(2)).await;
//!             TaskResult::Ok(format!("hello {name}"))
//!         })]
//!     })
//!     .submitting(|client, chance| {
//!         let names = ["ada", "grace"];
//!         client.task("greet").args(*chance.one_of(&names).unwrap())
//!     })
//!     .at_the_end(|records| {
//!         let lost = records.iter().find(|record| record.status == TaskStatus::Failed && record.lost == 0);
//!         lost.map_or(Ok(()), |record| Err(format!("{} failed by itself", record.id)))
//!     })
//! })
//! .seeds(1..4)
//! .run();
//! report.assert_ok();
//! ```

mod clock;
mod desk;
mod ground;
mod heal;
mod history;
mod node;
mod program;
mod report;
mod situations;
mod trouble;
mod witness;
mod world;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
pub use program::{Chance, Program};
pub use report::{Invariant, Report, SeedReport, Violation};
pub use situations::Situation;

use self::ground::Wrap;
use self::world::World;
use super::conformance::StoreFactory;
use crate::backends::MemoryStore;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::id::IdSource;
use crate::store::SharedStore;

/// What happens in one seed before all faults end, unless told.
const STEPS: usize = 400;

/// Runs a [`Program`] through many seeds. See the [module](self).
#[must_use = "nothing happens before `run` is called"]
pub struct Simulation {
    programs: Arc<dyn Fn() -> Program + Send + Sync>,
    factory: Arc<dyn StoreFactory>,
    wrap: Option<Arc<Wrap>>,
    seeds: Range<u64>,
    steps: usize,
    threads: usize,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("seeds", &self.seeds)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

/// The store in memory. It outlives its crashes as a server does that could merely not be reached.
struct Memory;

#[async_trait]
impl StoreFactory for Memory {
    async fn open(
        &self,
        _place: &str,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<SharedStore> {
        Ok(Arc::new(MemoryStore::new(clock, ids)))
    }
}

impl Simulation {
    /// A simulation of this program, which is made anew for each seed: 100 seeds on the store in memory, unless told.
    pub fn of(programs: impl Fn() -> Program + Send + Sync + 'static) -> Self {
        Self {
            programs: Arc::new(programs),
            factory: Arc::new(Memory),
            wrap: None,
            seeds: 0..100,
            steps: STEPS,
            threads: 1,
        }
    }

    /// The seeds.
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// Things that happen in a seed before all faults end; 400 unless given.
    pub fn steps(mut self, steps: usize) -> Self {
        self.steps = steps;
        self
    }

    /// Seeds that run at once, each on a thread; 1 unless given.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Other stores than the one in memory, a place for each seed. With
    /// [`Feature::Reopen`](super::conformance::Feature::Reopen) a crash closes the store, and it is opened from what it kept.
    pub fn on(mut self, stores: impl StoreFactory + 'static) -> Self {
        self.factory = Arc::new(stores);
        self
    }

    /// The store with something in front of it. The witness stands before both: a bug that is planted here is to be found.
    pub fn wrap(
        mut self,
        wrap: impl Fn(SharedStore) -> SharedStore + Send + Sync + 'static,
    ) -> Self {
        self.wrap = Some(Arc::new(wrap));
        self
    }

    /// Runs all seeds, or the one that `TLO_SIM_SEED` names.
    ///
    /// # Panics
    /// When it is called on a tokio runtime: it makes its own, so call it from a plain `#[test]`.
    #[must_use]
    pub fn run(&self) -> Report {
        let only = std::env::var("TLO_SIM_SEED").ok();
        let only = only.and_then(|text| text.parse::<u64>().ok());
        let seeds = only.map_or(self.seeds.clone(), |seed| seed..seed + 1);
        self.run_until(seeds, |_| false)
    }

    /// Runs seeds until one breaks a rule: for who plants a bug and wants to know how many it takes to find it.
    #[must_use]
    pub fn run_until_broken(&self) -> Report {
        self.run_until(self.seeds.clone(), |report| !report.violations.is_empty())
    }

    /// Runs these seeds until something is as wanted.
    fn run_until(&self, seeds: Range<u64>, enough: impl Fn(&Report) -> bool + Sync) -> Report {
        let report = Mutex::new(Report {
            first_seed: seeds.start,
            ..Report::default()
        });
        let next = AtomicU64::new(seeds.start);
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds.end || enough(&report.lock()) {
                            return;
                        }
                        let found = self.run_seed(seed);
                        report.lock().add(found);
                    }
                });
            }
        });
        report.into_inner()
    }

    /// Runs one seed.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    #[must_use]
    pub fn run_seed(&self, seed: u64) -> SeedReport {
        assert!(
            tokio::runtime::Handle::try_current().is_err(),
            "a simulation makes runtimes of its own: call it from a plain #[test], not from a #[tokio::test]"
        );
        match self.live(seed) {
            Ok(report) => report,
            Err(error) => SeedReport {
                seed,
                history: 0,
                events: 0,
                tasks: 0,
                runs: 0,
                kills: 0,
                violation: Some(Violation {
                    seed,
                    invariant: Invariant::Live,
                    message: format!("the simulation itself could not go on: {error}"),
                    last: Vec::new(),
                }),
                met: situations::Met::default(),
            },
        }
    }

    fn live(&self, seed: u64) -> Result<SeedReport> {
        let mut world = World::new(self, seed)?;
        for _ in 0..self.steps {
            world.act()?;
            if world.is_broken() {
                break;
            }
        }
        if !world.is_broken() {
            world.heal()?;
        }
        let witness = world.ground.witness.lock();
        let report = SeedReport {
            seed,
            history: witness.history.hash(),
            events: witness.history.lines(),
            tasks: witness.count(),
            runs: witness.runs,
            kills: world.kills,
            violation: witness.violation(),
            met: witness.met.clone(),
        };
        drop(witness);
        world.close();
        Ok(report)
    }
}

/// A runtime without threads. Stores on disk limit their calls in real time.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|source| {
            Error::new(
                ErrorKind::Unavailable,
                "simulate",
                "a runtime could not be made",
            )
            .with_source(source)
        })
}
