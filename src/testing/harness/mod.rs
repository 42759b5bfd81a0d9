//! [`Harness`]: schedules, worker and upkeep of a test, stepped by hand.

mod builder;
mod quiet;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

pub use builder::HarnessBuilder;

use super::{ManualClock, ProbeStore};
use crate::client::{AUDIT_KEPT, Client, TaskHandle, trim_audit};
use crate::clock::Clock;
use crate::context::TloContext;
use crate::error::Result;
use crate::observe::Lifecycle;
use crate::payload::Payload;
use crate::scheduler::Scheduler;
use crate::store::{Maintain, Maintained, Retention, TaskStateStore};
use crate::task::{NewTask, TaskKind, TaskStateRecord};
use crate::timestamp::Timestamp;
use crate::worker::Worker;

pub(super) type Events = Arc<Mutex<Vec<Lifecycle>>>;

/// Between two rounds of upkeep, in the time of the test.
const UPKEEP: Duration = Duration::from_secs(60);

/// The wait after the store failed the schedules.
const SCHEDULE_PAUSE: Duration = Duration::from_millis(100);

/// Runs a program in a test, without a thread and without waiting: time moves only by [`advance`](Self::advance), from one
/// event to the next, and everything that is due at an instant is done before the clock moves on.
///
/// It is made by [`TloContext::for_test`]. Handlers run on the test's own runtime (the current-thread one of `#[tokio::test]` keeps it
/// deterministic); what waits should wait on the context's clock. Handlers without `async` and stores on disk are
/// waited for in real time.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
/// use tlo::prelude::*;
/// let mut tlo = TloContext::for_test()
///     .task(task("flaky").run(|context: TaskContext, _: ()| async move {
///         if context.attempt() < 3 { Err(TaskError::retry("not yet")) } else { Ok("done") }
///     }))
///     .start()
///     .await?;
/// let flaky = tlo.client().task("flaky").submit().await?;
/// tlo.advance(minutes(2)).await?;
/// assert_eq!(flaky.record().await?.attempt, 3);
/// assert_eq!(flaky.result::<String>().await?, "done");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Harness {
    context: TloContext,
    clock: Arc<ManualClock>,
    probe: Arc<ProbeStore>,
    events: Events,
    scheduler: Scheduler,
    worker: Worker,
    /// When the schedules may be asked again after the store failed them, on the steady clock.
    schedules_at: Duration,
    renewed_at: Duration,
    tidied_at: Duration,
    retention: Retention,
}

impl Harness {
    async fn start(
        context: TloContext,
        clock: Arc<ManualClock>,
        probe: Arc<ProbeStore>,
        events: Events,
    ) -> Result<Self> {
        let scheduler = scheduler(&context).await?;
        let worker = Worker::new(context.worker_parts()?);
        let now = clock.steady().at;
        let retention = context
            .settings()
            .retention
            .over(context.store().capability().retention);
        Ok(Self {
            context,
            clock,
            probe,
            events,
            scheduler,
            worker,
            schedules_at: now,
            renewed_at: now,
            tidied_at: now,
            retention,
        })
    }

    /// The context of the program.
    #[must_use]
    pub fn context(&self) -> &TloContext {
        &self.context
    }

    /// The door to its tasks.
    #[must_use]
    pub fn client(&self) -> Client {
        self.context.client()
    }

    /// The clock. Moving it here moves it past events; [`advance`](Self::advance) stops at each.
    #[must_use]
    pub fn clock(&self) -> &Arc<ManualClock> {
        &self.clock
    }

    /// Wall time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Its store, to count calls and to let them fail.
    #[must_use]
    pub fn store(&self) -> &Arc<ProbeStore> {
        &self.probe
    }

    /// Everything that happened so far.
    #[must_use]
    pub fn events(&self) -> Vec<Lifecycle> {
        self.events.lock().clone()
    }

    /// The slots of a schedule that fired so far, in order.
    #[must_use]
    pub fn fired(&self, name: &str) -> Vec<Timestamp> {
        let events = self.events.lock();
        let fired = events.iter().filter_map(|event| match event {
            Lifecycle::ScheduleFired { schedule, slot, .. } if &**schedule == name => Some(*slot),
            _ => None,
        });
        fired.collect()
    }

    /// How many runs of a task began so far, retries included.
    #[must_use]
    pub fn started(&self, name: &str) -> usize {
        let events = self.events.lock();
        let started = events.iter().filter(
            |event| matches!(event, Lifecycle::Started { record, .. } if &*record.name == name),
        );
        started.count()
    }

    /// The tasks of a name that were submitted so far, in order; not those of schedules.
    #[must_use]
    pub fn submitted(&self, name: &str) -> Vec<NewTask> {
        let created = self.probe.created().into_iter();
        created
            .filter(|task| &*task.name == name && task.kind != TaskKind::Occurrence)
            .collect()
    }

    /// Asserts that a task of this name was submitted with these args.
    ///
    /// # Panics
    /// When it was not; the message lists what was.
    #[track_caller]
    pub fn assert_submitted<T: Serialize + ?Sized>(&self, name: &str, args: &T) {
        let wanted = Payload::of(args).unwrap_or_default();
        let submitted = self.submitted(name);
        let all: Vec<_> = submitted.iter().map(|task| task.args.as_str()).collect();
        assert!(
            submitted.iter().any(|task| task.args == wanted),
            "no \"{name}\" was submitted with {wanted}; there were: {}",
            if all.is_empty() {
                "none".to_owned()
            } else {
                all.join(", ")
            }
        );
    }

    /// Asserts that no task of this name was submitted.
    ///
    /// # Panics
    /// When one was; the message lists them.
    #[track_caller]
    pub fn assert_not_submitted(&self, name: &str) {
        let submitted = self.submitted(name);
        let all: Vec<_> = submitted.iter().map(|task| task.args.as_str()).collect();
        assert!(
            all.is_empty(),
            "\"{name}\" was submitted with {}",
            all.join(", ")
        );
    }

    /// Submits a task and runs what is due now; answers with its record, which waits again when it is to be retried.
    ///
    /// # Errors
    /// As for [`Submit::submit`](crate::client::Submit::submit).
    pub async fn run_inline<T: Serialize + ?Sized>(
        &mut self,
        name: &str,
        args: &T,
    ) -> Result<TaskStateRecord> {
        let handle: TaskHandle = self.client().task(name).args(args).submit().await?;
        self.run_until_idle().await?;
        handle.record().await
    }

    /// Does everything that is due now: fires schedules, runs tasks, records their ends. Handlers that wait for something
    /// go on waiting.
    ///
    /// # Errors
    /// In strict mode, that of a schedule that failed.
    pub async fn run_until_idle(&mut self) -> Result<()> {
        loop {
            self.fire().await?;
            while quiet::through(&self.clock, &self.probe, self.worker.step(true)).await {}
            if !quiet::wait(self).await {
                return Ok(());
            }
        }
    }

    /// Moves the clock on by this much, from event to event, doing all that is due at each.
    ///
    /// # Errors
    /// As for [`run_until_idle`](Self::run_until_idle).
    pub async fn advance(&mut self, by: Duration) -> Result<()> {
        let target = self.steady() + by;
        loop {
            self.run_until_idle().await?;
            let now = self.steady();
            let next = self.next_event().max(now + Duration::from_nanos(1));
            if next > target {
                self.clock.advance(target.saturating_sub(now));
                return self.run_until_idle().await;
            }
            self.clock.advance(next - now);
            self.upkeep().await;
        }
    }

    /// As [`advance`](Self::advance), to an instant of the wall clock; one that has passed does nothing.
    ///
    /// # Errors
    /// As for [`advance`](Self::advance).
    pub async fn advance_to(&mut self, instant: Timestamp) -> Result<()> {
        let by = instant.since(self.now());
        self.advance(by).await
    }

    /// What happens when the process is killed and starts again: runs end without a word, their leases stay until they
    /// end, and the schedules are taken up anew.
    ///
    /// # Errors
    /// When a schedule cannot be taken up.
    pub async fn restart(&mut self) -> Result<()> {
        self.worker = Worker::new(self.context.worker_parts()?);
        self.scheduler = scheduler(&self.context).await?;
        Ok(())
    }

    fn steady(&self) -> Duration {
        self.clock.steady().at
    }

    async fn fire(&mut self) -> Result<()> {
        let now = self.steady();
        if now < self.schedules_at {
            return Ok(());
        }
        match quiet::through(&self.clock, &self.probe, self.scheduler.tick()).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_retryable() || !self.context.settings().strict => {
                self.schedules_at = now + SCHEDULE_PAUSE;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// When something happens next by itself, on the steady clock.
    fn next_event(&self) -> Duration {
        let now = self.steady();
        let mut next = Duration::MAX;
        let mut consider = |at: Option<Duration>| next = next.min(at.unwrap_or(Duration::MAX));
        let slot = self.scheduler.next_due();
        consider(slot.map(|at| (now + at.since(self.now())).max(self.schedules_at)));
        consider(self.worker.due_in().map(|wait| now + wait));
        consider(self.clock.next_wake().map(|wait| now + wait));
        let heartbeat = self.context.settings().heartbeat();
        consider((self.worker.running() > 0).then_some(self.renewed_at + heartbeat));
        next
    }

    /// Renews leases and tidies the store, each in its time.
    async fn upkeep(&mut self) {
        let now = self.steady();
        let heartbeat = self.context.settings().heartbeat();
        if self.worker.running() == 0 {
            self.renewed_at = now;
        } else if now >= self.renewed_at + heartbeat {
            self.renewed_at = now;
            quiet::through(&self.clock, &self.probe, self.worker.renew()).await;
        }
        if now >= self.tidied_at + UPKEEP {
            self.tidied_at = now;
            let request = Maintain {
                retention: self.retention,
                limit: 500,
            };
            // One that fails is made up for by the next.
            let tidy = || quiet::through(&self.clock, &self.probe, self.probe.maintain(request));
            while let Ok(Maintained { more: true, .. }) = tidy().await {}
            let old = self.now().saturating_sub(AUDIT_KEPT);
            while let Ok(true) = trim_audit(self.context.store(), old, request.limit).await {}
        }
    }
}

async fn scheduler(context: &TloContext) -> Result<Scheduler> {
    let mut scheduler = Scheduler::new(
        Arc::clone(context.store()),
        Arc::clone(context.clock()),
        context.observers().clone(),
        context.settings().strict,
    );
    let definitions = context.registry().list().await?;
    scheduler.start(definitions).await?;
    Ok(scheduler)
}
