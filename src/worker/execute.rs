//! One run: a leased record in, how it ended out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::held::HeldTask;
use super::{Shared, starters};
use crate::handler::{Interruption, LogBatch, SharedHandler, TaskContext};
use crate::observe::Lifecycle;
use crate::payload::Payload;
use crate::task::{Ended, LeaseRef, Outcome, TaskError, TaskStateRecord};

/// How long a task waits that came to a worker without a handler for it.
const NO_HANDLER: Duration = Duration::from_secs(30);

/// A run that ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) context: TaskContext,
    pub(super) lease: LeaseRef,
    pub(super) ended: Ended,
    /// How long it ran; nothing when nobody watches.
    pub(super) took: Duration,
    /// The last report of the run, when it is not written yet.
    pub(super) progress: Option<Payload>,
    /// The last lines that it said, when they are not written yet.
    pub(super) log: Vec<LogBatch>,
}

impl Finished {
    pub(super) fn new(context: TaskContext, lease: LeaseRef, ended: Ended) -> Self {
        Self {
            took: context.ran_for(),
            context,
            lease,
            ended,
            progress: None,
            log: Vec::new(),
        }
    }

    pub(super) fn record(&self) -> &Arc<TaskStateRecord> {
        self.context.record()
    }
}

/// A task that was leased and has not begun.
#[derive(Debug)]
pub(super) struct Start {
    context: TaskContext,
    lease: LeaseRef,
    handler: Option<SharedHandler>,
    /// Since when it is leased, on the steady clock.
    held_at: Duration,
}

impl Start {
    /// It ends without having begun.
    pub(super) fn ended(self, ended: Ended) -> Finished {
        Finished::new(self.context, self.lease, ended)
    }

    pub(super) fn is_of(&self, lease: LeaseRef) -> bool {
        self.lease == lease
    }
}

/// Holds tasks that were just leased, in the places set aside for them, and lets them begin. How each ends arrives at the
/// ends of the worker, whatever happens.
pub(super) fn start(shared: &Arc<Shared>, records: Vec<Arc<TaskStateRecord>>, promised: usize) {
    let parts = &shared.parts;
    let held_at = parts.clock.steady().at;
    let mut starts = Vec::with_capacity(records.len());
    let mut held = Vec::with_capacity(records.len());
    for record in records {
        let Some(lease) = record.lease.as_ref().map(crate::task::Lease::reference) else {
            tracing::error!(id = %record.id, "a claimed task came without a lease; it comes back when its lease ends");
            continue;
        };
        parts.observers.notify(|| Lifecycle::Started {
            record: Arc::clone(&record),
            worker: parts.id.clone(),
            waited: record
                .started_at
                .unwrap_or(record.run_at)
                .since(record.run_at),
        });
        let (handler, ttl) = parts
            .handlers
            .run_of(&record.name, record.version.as_deref());
        let surroundings = Arc::clone(&parts.surroundings);
        let bell = Arc::clone(&shared.bell);
        let context = TaskContext::of_run(record, parts.id.clone(), surroundings, bell);
        held.push(HeldTask {
            lease,
            ttl: ttl.unwrap_or(parts.options.lease),
            context: context.clone(),
            abort: None,
        });
        starts.push(Start {
            context,
            lease,
            handler,
            held_at,
        });
    }
    shared.held.insert(held, promised);
    starters::add(shared, starts);
}

/// Runs the handler up to its first wait: most are over by then and need no task of their own. The rest of it is spawned.
/// Answers whether this woke or spawned something, which this thread may keep to itself.
pub(super) fn begin(shared: &Arc<Shared>, start: Start) -> bool {
    let Start {
        context,
        lease,
        handler,
        held_at,
    } = start;
    let grace = shared.parts.options.kill_grace;
    let mut place = Place {
        shared: Arc::clone(shared),
        run: Some((context.clone(), lease)),
    };
    let Some(handler) = handler else {
        return place.finish(without_handler(&context));
    };
    // What was handed back may run elsewhere by now.
    if shared.starters.is_closed() {
        return true;
    }
    // It may have waited for its place.
    if let Some(why) = context.interruption() {
        return place.finish(why.ended());
    }
    // Nor does it begin late: the store ends it when it comes back. How long it waited is measured here, for the clock of
    // the store may be another.
    let record = context.record();
    if let (Some(expires), Some(started)) = (record.expires_at, record.started_at) {
        let waited = shared.parts.clock.steady().at.saturating_sub(held_at);
        if started.saturating_add(waited) >= expires {
            return true;
        }
    }
    // How long it takes is only asked by those who watch.
    if !shared.parts.observers.is_empty() {
        context.begin();
    }
    let mut running = Box::pin(run(handler, context, grace));
    // Nobody is woken by this waker; what waits is asked again at once, by the task that it becomes.
    let mut quiet = std::task::Context::from_waker(Waker::noop());
    let first = catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(&mut quiet)));
    match first {
        Ok(Poll::Ready(ended)) => return place.finish(ended),
        Ok(Poll::Pending) => {
            let running = tokio::spawn(async move {
                place.finish(running.await);
                starters::more(&place.shared);
            });
            shared.held.set_abort(lease, running.abort_handle());
            if shared.starters.is_closed() {
                running.abort();
            }
        }
        // Its layers let a panic through; the place hands the task back.
        Err(_) => {}
    }
    true
}

/// Runs the handler. One that was asked to end and does not is left behind after its grace.
async fn run(handler: SharedHandler, context: TaskContext, kill_grace: Duration) -> Ended {
    let args = context.record().args.clone();
    let mut running = handler.run(context.clone(), args);
    tokio::select! {
        biased;
        ended = &mut running => return interrupted(&context, ended),
        () = context.cancelled() => {}
    }
    let why = context.interruption().unwrap_or(Interruption::Cancelled);
    if why == Interruption::TimedOut {
        // The layer that asked has a grace of its own and ends the run.
        return running.await;
    }
    tokio::select! {
        biased;
        ended = &mut running => interrupted(&context, ended),
        () = context.grace_is_over(kill_grace) => {
            tracing::warn!(id = %context.id(), why = why.as_str(), "a handler did not end in its grace; it is left behind");
            context.leave_behind();
            why.ended()
        }
    }
}

/// A run that gives up with an error because its worker stops was interrupted, it did not fail: it uses up no attempt.
fn interrupted(context: &TaskContext, ended: Ended) -> Ended {
    let stopping = || context.interruption() == Some(Interruption::Stopping);
    match ended {
        Ended::Returned(Outcome::Error(error)) if error.is_retry() && stopping() => Ended::Released,
        ended => ended,
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
    shared: Arc<Shared>,
    run: Option<(TaskContext, LeaseRef)>,
}

impl Place {
    /// Answers whether this woke somebody.
    fn finish(&mut self, ended: Ended) -> bool {
        let Some((context, lease)) = self.run.take() else {
            return false;
        };
        self.shared.begun.fetch_sub(1, Ordering::AcqRel);
        self.shared.ends.push(Finished::new(context, lease, ended))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.run.is_none() {
            return;
        }
        self.finish(Ended::Released);
        // Not so when the runtime itself ends.
        if tokio::runtime::Handle::try_current().is_ok() {
            starters::more(&self.shared);
        }
    }
}
