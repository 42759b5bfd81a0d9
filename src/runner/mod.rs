//! The loop: schedules, worker and upkeep of one process, until it is told to stop.

mod handle;
mod schedules;
mod shutdown;
mod signals;
mod upkeep;

use std::future::Future;
use std::sync::{Arc, OnceLock};

use handle::Request;
pub use handle::RunnerHandle;
pub use signals::Signal;
#[cfg(feature = "cli")]
pub(crate) use signals::signal;
use tokio::sync::watch;

use crate::context::TloContext;
use crate::error::Result;
use crate::scheduler::Scheduler;
use crate::settings::StopBehavior;
use crate::worker::{Stop, Worker};

/// Runs everything a context knows: fires schedules, runs tasks, keeps the store tidy.
///
/// ```no_run
/// use tlo::prelude::*;
///
/// #[tokio::main]
/// async fn main() -> tlo::Result<()> {
///     let tlo = TloContext::builder()
///         .task(task("heartbeat").every(secs(1)).run(|_: TaskContext, _: ()| async { println!("tick") }))
///         .build()
///         .await?;
///     Runner::new(tlo).run().await
/// }
/// ```
#[derive(Debug)]
pub struct Runner {
    context: TloContext,
    requests: watch::Sender<Request>,
    fires_schedules: bool,
    /// Leases are renewed on the runtime of the caller, not from a thread of their own: a simulation starts none.
    renews_here: bool,
}

impl Runner {
    /// A runner of this context; it does nothing before [`run`](Self::run).
    #[must_use]
    pub fn new(context: TloContext) -> Self {
        Self {
            context,
            requests: watch::Sender::new(Request::Run),
            fires_schedules: true,
            renews_here: false,
        }
    }

    /// The same without firing schedules: it runs tasks, those of schedules that others fire included, and keeps the
    /// store tidy.
    #[must_use]
    pub fn without_schedules(mut self) -> Self {
        self.fires_schedules = false;
        self
    }

    /// The same without a thread of its own.
    #[cfg(feature = "testing")]
    pub(crate) fn renewing_here(mut self) -> Self {
        self.renews_here = true;
        self
    }

    /// Something to stop it with from elsewhere.
    #[must_use]
    pub fn handle(&self) -> RunnerHandle {
        RunnerHandle::new(self.requests.clone())
    }

    /// Runs until Ctrl-C or SIGTERM, then stops as the settings say; a second signal stops at once.
    ///
    /// # Errors
    /// When it cannot start, or, with `strict`, when a schedule fails.
    pub async fn run(self) -> Result<()> {
        self.run_until_signal().await.map(drop)
    }

    /// As [`run`](Self::run), and answers with the second signal, when one came: what a program exits with follows
    /// from it.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub async fn run_until_signal(self) -> Result<Option<Signal>> {
        let handle = self.handle();
        let forced = OnceLock::new();
        {
            let signals = signals::listen(handle, &forced);
            tokio::pin!(signals);
            let working = self.work();
            tokio::pin!(working);
            tokio::select! {
                done = &mut working => done,
                // Listening ends only when signals are not to be had; the work goes on without.
                () = &mut signals => working.await,
            }?;
        }
        Ok(forced.into_inner())
    }

    /// Runs until the future ends or a [`handle`](Self::handle) asks to stop; listens to no signals.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<()> {
        let handle = self.handle();
        let working = self.work();
        tokio::pin!(working);
        tokio::select! {
            biased;
            done = &mut working => done,
            () = stop => {
                handle.stop();
                working.await
            }
        }
    }

    async fn work(self) -> Result<()> {
        let context = &self.context;
        let mut scheduler = Scheduler::new(
            Arc::clone(context.store()),
            Arc::clone(context.clock()),
            context.observers().clone(),
            context.settings().strict,
        );
        if self.fires_schedules {
            let definitions = context.registry().list().await?;
            scheduler.start(definitions).await?;
        }
        let worker = Worker::new(context.worker_parts()?);
        let scheduler = scheduler.starting(Arc::new(worker.door()));
        let heartbeat = if self.renews_here {
            worker.heartbeat_here()
        } else {
            worker.heartbeat()?
        };
        let runs = worker.runs();
        let (stop, stopping) = watch::channel(Stop::No);
        let mut firing = Box::pin(schedules::fire(
            scheduler,
            Arc::clone(context.clock()),
            context.settings().strict,
        ));
        let tidying = upkeep::tidy(context);
        let working = worker.run(stopping);
        tokio::pin!(tidying, working);
        let mut requests = self.requests.subscribe();
        let asked = tokio::select! {
            // In this order: a stop is heard before anything else starts, and a worker that always has work holds up
            // neither schedules nor upkeep.
            biased;
            behavior = handle::asked_to_stop(&mut requests) => Ok(behavior),
            failed = &mut firing => Err(failed),
            () = &mut tidying => Ok(None),
            done = &mut working => return done,
        };
        let behavior: StopBehavior = match &asked {
            Ok(behavior) => behavior.unwrap_or(context.settings().stop_behavior),
            Err(_) => StopBehavior::Drain,
        };
        // Nothing fires any more; places that were set aside for a slot are free again.
        drop(firing);
        let stopped = shutdown::stop(
            context,
            behavior,
            &stop,
            &runs,
            working.as_mut(),
            &mut requests,
        )
        .await;
        drop(heartbeat);
        asked?;
        stopped
    }
}
