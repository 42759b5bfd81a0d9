//! Making a [`Harness`].

use std::any::Any;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use super::{Events, Harness};
use crate::backends::MemoryStore;
use crate::clock::Clock;
use crate::context::{TloContext, TloContextBuilder};
use crate::error::Result;
use crate::handler::Task;
use crate::id::IdSource;
use crate::observe::Lifecycle;
use crate::settings::SettingsSource;
use crate::store::SharedStore;
use crate::testing::{ManualClock, ProbeStore};
use crate::timestamp::Timestamp;

/// The seed of ids and chance unless the test gives one.
const SEED: u64 = 1;

impl TloContext {
    /// Starts a context for a test: the store in memory, a clock that stands still until it is moved, ids and chance
    /// that are the same in every run, and none of the settings of this machine. It ends in a [`Harness`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
    /// use tlo::prelude::*;
    /// let mut tlo = TloContext::for_test()
    ///     .task(task("report").cron("0 3 * * *").run(|_: TaskContext, _: ()| async {}))
    ///     .start()
    ///     .await?;
    /// tlo.advance(hours(24 * 365)).await?;
    /// assert_eq!(tlo.fired("report").len(), 365);
    /// # Ok(()) }
    /// ```
    pub fn for_test() -> HarnessBuilder {
        HarnessBuilder::new()
    }
}

/// Collects what a [`Harness`] is made of.
#[derive(Debug)]
#[must_use = "nothing happens before `start` is called"]
pub struct HarnessBuilder {
    builder: TloContextBuilder,
    clock: Arc<ManualClock>,
    seed: u64,
    store: Option<SharedStore>,
}

impl HarnessBuilder {
    fn new() -> Self {
        Self {
            builder: TloContext::builder().settings(SettingsSource::empty()),
            clock: ManualClock::shared(),
            seed: SEED,
            store: None,
        }
    }

    /// Registers a task.
    pub fn task(self, task: impl Into<Task>) -> Self {
        self.with(|builder| builder.task(task))
    }

    /// Sets one value of the settings.
    pub fn set(self, key: impl Into<String>, value: impl Serialize) -> Self {
        self.with(|builder| builder.set(key, value))
    }

    /// Shares a value with all handlers.
    pub fn state<T: Any + Send + Sync>(self, value: T) -> Self {
        self.with(|builder| builder.state(value))
    }

    /// Anything else that a context builder can do.
    pub fn with(mut self, change: impl FnOnce(TloContextBuilder) -> TloContextBuilder) -> Self {
        self.builder = change(self.builder);
        self
    }

    /// The wall time to begin at; by default 2026-01-05T00:00:00Z, a Monday.
    pub fn at(mut self, wall: Timestamp) -> Self {
        self.clock = Arc::new(ManualClock::at(wall));
        self
    }

    /// A clock of the test's own.
    pub fn clock(mut self, clock: Arc<ManualClock>) -> Self {
        self.clock = clock;
        self
    }

    /// Other ids and other chance.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Another store than the one in memory. It must take its time from this harness' [`clock`](Self::clock).
    pub fn store(mut self, store: SharedStore) -> Self {
        self.store = Some(store);
        self
    }

    /// Checks everything, takes up the schedules, and stands still.
    ///
    /// # Errors
    /// As for [`TloContextBuilder::build`], and when a schedule cannot be taken up.
    pub async fn start(self) -> Result<Harness> {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let ids = Arc::new(IdSource::seeded(self.seed));
        let store = self
            .store
            .unwrap_or_else(|| Arc::new(MemoryStore::new(Arc::clone(&clock), Arc::clone(&ids))));
        let probe = ProbeStore::on_clock(store, Arc::clone(&clock));
        let events: Events = Arc::new(Mutex::default());
        let heard = Arc::clone(&events);
        let context = self
            .builder
            .clock(clock)
            .ids(ids)
            .store(Arc::clone(&probe) as SharedStore)
            .observer(move |event: &Lifecycle| heard.lock().push(event.clone()))
            .build()
            .await?;
        Harness::start(context, self.clock, probe, events).await
    }
}
