//! One run: a leased record in, how it ended out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::held::HeldTask;
use crate::handler::{Interruption, SharedHandler, TaskContext};
use crate::observe::Lifecycle;
use crate::payload::Payload;
use crate::task::{Ended, LeaseRef, Outcome, TaskError, TaskStateRecord};

/// How long a task waits that came to a worker without a handler for it.
const NO_HANDLER: Duration = Duration::from_secs(30);

/// A run that ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) record: Arc<TaskStateRecord>,
    pub(super) lease: LeaseRef,
    pub(super) ended: Ended,
    /// The last report of the run, when it is not written yet.
    pub(super) progress: Option<Payload>,
}

impl Finished {
    pub(super) fn new(record: Arc<TaskStateRecord>, lease: LeaseRef, ended: Ended) -> Self {
        Self {
            record,
            lease,
            ended,
            progress: None,
        }
    }
}

/// Starts the run of a task that was just leased. How it ended arrives on `finished`, whatever happens.
pub(super) fn start(
    shared: &Arc<Shared>,
    record: Arc<TaskStateRecord>,
    finished: &mpsc::UnboundedSender<Finished>,
) {
    let Some(lease) = record.lease.as_ref().map(crate::task::Lease::reference) else {
        tracing::error!(id = %record.id, "a claimed task came without a lease; it comes back when its lease ends");
        return;
    };
    let parts = &shared.parts;
    let context = TaskContext::new(
        Arc::clone(&record),
        parts.id.clone(),
        CancellationToken::new(),
        Arc::clone(&parts.surroundings),
    );
    let version = record.version.as_deref();
    shared.held.insert(HeldTask {
        record: Arc::clone(&record),
        lease,
        ttl: parts
            .handlers
            .lease(&record.name, version)
            .unwrap_or(parts.options.lease),
        context: context.clone(),
        abort: None,
    });
    parts.observers.notify(|| Lifecycle::Started {
        record: Arc::clone(&record),
        worker: parts.id.clone(),
        waited: record
            .started_at
            .unwrap_or(record.run_at)
            .since(record.run_at),
    });
    let handler = parts.handlers.get(&record.name, version);
    let grace = parts.options.kill_grace;
    let (id, args) = (record.id.clone(), record.args.clone());
    let mut place = Place {
        finished: finished.clone(),
        run: Some((record, lease)),
    };
    let running = tokio::spawn(async move {
        let ended = match handler {
            Some(handler) => run(&handler, context, args, grace).await,
            None => without_handler(&context),
        };
        place.finish(ended);
    });
    shared.held.set_abort(&id, lease, running.abort_handle());
}

/// Runs the handler. One that was asked to end and does not is left behind after its grace.
async fn run(
    handler: &SharedHandler,
    context: TaskContext,
    args: Payload,
    kill_grace: Duration,
) -> Ended {
    let clock = Arc::clone(context.clock());
    let mut running = handler.run(context.clone(), args);
    tokio::select! {
        biased;
        ended = &mut running => return ended,
        () = context.cancelled() => {}
    }
    let why = context.interruption().unwrap_or(Interruption::Cancelled);
    if why == Interruption::TimedOut {
        // The layer that asked has a grace of its own and ends the run.
        return running.await;
    }
    loop {
        let grace = kill_grace.max(context.needed_grace());
        tokio::select! {
            biased;
            ended = &mut running => return ended,
            () = clock.sleep(grace) => {}
        }
        // It may have asked for more in the meantime.
        if context.needed_grace() <= grace {
            tracing::warn!(id = %context.id(), why = why.as_str(), "a handler did not end in its grace; it is left behind");
            return why.ended();
        }
    }
}

/// A claim brings only names that have a handler, so this is a store that does not keep its word. Handing the task
/// back at once would bring it here again at once.
fn without_handler(context: &TaskContext) -> Ended {
    tracing::error!(id = %context.id(), name = context.name(), "a task was claimed that has no handler here; it goes back for 30s");
    Ended::Returned(Outcome::Error(TaskError::snooze(NO_HANDLER)))
}

/// The place that a run takes. However the run ends, also when it is aborted or panics past its layers, the place
/// reports it exactly once: a place never leaks.
struct Place {
    finished: mpsc::UnboundedSender<Finished>,
    run: Option<(Arc<TaskStateRecord>, LeaseRef)>,
}

impl Place {
    fn finish(&mut self, ended: Ended) {
        if let Some((record, lease)) = self.run.take() {
            // The worker that listened is gone only when the process ends; the lease then brings the task back.
            let _ = self.finished.send(Finished::new(record, lease, ended));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.finish(Ended::Released);
    }
}
