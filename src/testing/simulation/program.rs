//! [`Program`]: what a simulation runs, and [`Chance`]: what it is left to.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::client::{Client, Submit};
use crate::handler::Task;
use crate::task::TaskStateRecord;

type Tasks = dyn Fn() -> Vec<Task> + Send + Sync;
type Submits = dyn Fn(&Client, &mut Chance) -> Submit + Send + Sync;
type Check = dyn Fn(&[TaskStateRecord]) -> Result<(), String> + Send + Sync;

/// What the nodes of a simulation run and what is submitted to them. Each seed gets a new one.
#[derive(Clone)]
pub struct Program {
    pub(super) tasks: Arc<Tasks>,
    pub(super) submits: Option<Arc<Submits>>,
    pub(super) check: Option<Arc<Check>>,
}

impl Program {
    /// A program of these tasks. They are made anew for each start of a node; what they share among nodes they capture.
    ///
    /// Handlers wait on [`TaskContext::clock`](crate::TaskContext::clock), and leave anything real alone: what they wait for
    /// elsewhere does not come in the time of the simulation, and it does not come twice.
    pub fn new(tasks: impl Fn() -> Vec<Task> + Send + Sync + 'static) -> Self {
        Self {
            tasks: Arc::new(tasks),
            submits: None,
            check: None,
        }
    }

    /// What is submitted now and then, chosen by chance. The simulation gives it an id, sends it, and sends it again when
    /// the answer was lost.
    #[must_use]
    pub fn submitting(
        mut self,
        submits: impl Fn(&Client, &mut Chance) -> Submit + Send + Sync + 'static,
    ) -> Self {
        self.submits = Some(Arc::new(submits));
        self
    }

    /// What must hold when everything has ended, of all records there were, in the order of their creation. The answer says
    /// what is wrong.
    #[must_use]
    pub fn at_the_end(
        mut self,
        check: impl Fn(&[TaskStateRecord]) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.check = Some(Arc::new(check));
        self
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Program")
    }
}

/// Chance that repeats itself: all choices of a simulation come from its seed.
#[derive(Clone, Debug)]
pub struct Chance(fastrand::Rng);

impl Chance {
    /// Chance of this seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// A number of the range; the start of an empty one.
    pub fn number(&mut self, range: Range<u64>) -> u64 {
        if range.is_empty() {
            return range.start;
        }
        self.0.u64(range)
    }

    /// Whether something happens that happens so often, from 0.0 to 1.0.
    pub fn happens(&mut self, often: f64) -> bool {
        self.0.f64() < often
    }

    /// One of these; `None` of nothing.
    pub fn one_of<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        self.0.choice(of)
    }

    /// A duration up to this, in milliseconds.
    pub fn up_to(&mut self, longest: Duration) -> Duration {
        let millis = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.0.u64(0..=millis))
    }

    /// A new seed.
    pub(super) fn seed(&mut self) -> u64 {
        self.0.u64(..)
    }
}
