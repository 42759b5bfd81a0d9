//! One node: a runner on a runtime of its own, with a clock and a way to the store of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::clock::NodeClock;
use super::ground::{Door, Ground};
use super::program::Program;
use crate::clock::Clock;
use crate::context::{TloContext, TloContextBuilder};
use crate::error::Result;
use crate::id::IdSource;
use crate::observe::Lifecycle;
use crate::runner::{Runner, RunnerHandle};
use crate::settings::{SettingsSource, StopBehavior};
use crate::store::SharedStore;
use crate::testing::{ManualClock, ProbeStore};

/// How all nodes of one seed are set.
pub(super) type Settings = Vec<(&'static str, serde_json::Value)>;

pub(super) fn setting(
    key: &'static str,
    value: impl Serialize,
) -> (&'static str, serde_json::Value) {
    (key, serde_json::to_value(value).unwrap_or_default())
}

/// What a node is made of.
pub(super) struct Recipe<'a> {
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) ahead: i64,
    pub(super) program: &'a Program,
    pub(super) settings: &'a Settings,
    pub(super) ground: &'a Arc<Ground>,
    pub(super) clock: &'a Arc<ManualClock>,
}

impl Recipe<'_> {
    /// A context on a way of its own to the store.
    pub(super) fn context(
        &self,
        change: impl FnOnce(TloContextBuilder) -> TloContextBuilder,
    ) -> Result<(Runtime, TloContext, Arc<ProbeStore>, Arc<NodeClock>)> {
        let runtime = super::runtime()?;
        let clock = NodeClock::new(Arc::clone(self.clock), self.ahead);
        let door = Door::new(self.ground, &self.name);
        let link = ProbeStore::on_clock(Arc::new(door), Arc::clone(&clock) as Arc<dyn Clock>);
        let mut builder = TloContext::builder()
            .settings(SettingsSource::empty())
            .set("name", &self.name)
            .clock(Arc::clone(&clock) as Arc<dyn Clock>)
            .ids(Arc::new(IdSource::seeded(self.seed)))
            .store(Arc::clone(&link) as SharedStore)
            .tasks((self.program.tasks)());
        for (key, value) in self.settings {
            builder = builder.set(*key, value);
        }
        let context = runtime.block_on(change(builder).build())?;
        Ok((runtime, context, link, clock))
    }
}

/// One start of a node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) link: Arc<ProbeStore>,
    pub(super) clock: Arc<NodeClock>,
    /// Stopped by the operating system: it does nothing until it is let go on.
    pub(super) paused: bool,
    /// Since when it is paused, when it held leases then, on the steady clock.
    pub(super) paused_with_leases: Option<Duration>,
    pub(super) stopping: bool,
    runtime: Runtime,
    handle: RunnerHandle,
    done: Option<JoinHandle<Result<()>>>,
    works: Arc<AtomicBool>,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runs {
    /// It fires schedules and runs tasks.
    All,
    /// It runs tasks.
    TasksOnly,
}

/// How a runner ended.
#[derive(Debug)]
pub(super) enum End {
    /// As it was asked to.
    Stopped,
    /// It could not start.
    NotStarted,
    /// By itself; a message says how.
    Broken(String),
}

impl Node {
    pub(super) fn start(recipe: &Recipe<'_>, runs: Runs) -> Result<Self> {
        let works = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&works);
        let ground = Arc::clone(recipe.ground);
        let (runtime, context, link, clock) = recipe.context(|builder| {
            builder.observer(move |event: &Lifecycle| match event {
                Lifecycle::WorkerStarted { .. } => heard.store(true, Ordering::Relaxed),
                Lifecycle::Started { record, .. } => ground.witness.lock().begun(record),
                _ => {}
            })
        })?;
        let runner = Runner::new(context).renewing_here();
        let runner = match runs {
            Runs::All => runner,
            Runs::TasksOnly => runner.without_schedules(),
        };
        let handle = runner.handle();
        let done = runtime.spawn(runner.run_until(std::future::pending()));
        Ok(Self {
            name: recipe.name.clone(),
            link,
            clock,
            paused: false,
            paused_with_leases: None,
            stopping: false,
            runtime,
            handle,
            done: Some(done),
            works,
        })
    }

    /// Lets what can go on go on, for so many rounds.
    pub(super) fn turn(&mut self, rounds: u64) {
        if !self.paused {
            turn(&self.runtime, rounds);
        }
    }

    pub(super) fn stop(&mut self, behavior: Option<StopBehavior>) {
        self.stopping = true;
        match behavior {
            Some(behavior) => self.handle.stop_with(behavior),
            None => self.handle.stop(),
        }
    }

    /// How it ended, once, if it has.
    pub(super) fn ended(&mut self) -> Option<End> {
        if !self.done.as_ref()?.is_finished() {
            return None;
        }
        let done = self.done.take()?;
        Some(match self.runtime.block_on(done) {
            Ok(Ok(())) if self.stopping => End::Stopped,
            Ok(Ok(())) => End::Broken("it ended without being asked".to_owned()),
            Ok(Err(_)) if !self.works.load(Ordering::Relaxed) => End::NotStarted,
            Ok(Err(error)) => End::Broken(error.to_string()),
            Err(error) => End::Broken(error.to_string()),
        })
    }

    /// The end without a word.
    pub(super) fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// Lets the tasks of a runtime go on.
pub(super) fn turn(runtime: &Runtime, rounds: u64) {
    runtime.block_on(async {
        for _ in 0..rounds {
            tokio::task::yield_now().await;
        }
    });
}
