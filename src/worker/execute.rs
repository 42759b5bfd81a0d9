//! One run: a leased record in, how it ended out.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::held::HeldTask;
use crate::handler::TaskContext;
use crate::id::TaskId;
use crate::observe::Lifecycle;
use crate::task::{Ended, LeaseRef, TaskStateRecord};

/// A run that ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) record: Arc<TaskStateRecord>,
    pub(super) lease: LeaseRef,
    pub(super) ended: Ended,
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
    let ttl = parts.options.lease;
    let held = HeldTask {
        record: Arc::clone(&record),
        lease,
        ttl,
        context: context.clone(),
        abort: None,
    };
    shared.held.insert(held);
    parts.observers.notify(|| Lifecycle::Started {
        record: Arc::clone(&record),
        worker: parts.id.clone(),
        waited: record
            .started_at
            .unwrap_or(record.run_at)
            .since(record.run_at),
    });
    let id: TaskId = record.id.clone();
    let mut slot = Slot {
        finished: finished.clone(),
        run: Some((record, lease)),
    };
    let handler = parts.handlers.get(&slot.name(), slot.version());
    let running = tokio::spawn(async move {
        let args = slot.args();
        let ended = match handler {
            Some(handler) => handler.run(context, args).await,
            None => Ended::Released,
        };
        slot.finish(ended);
    });
    shared.held.set_abort(&id, running.abort_handle());
}

/// The place that a run takes. However the run ends, also when it is aborted or panics past its layers, the place
/// reports it exactly once: a slot never leaks.
struct Slot {
    finished: mpsc::UnboundedSender<Finished>,
    run: Option<(Arc<TaskStateRecord>, LeaseRef)>,
}

impl Slot {
    fn name(&self) -> Arc<str> {
        self.run
            .as_ref()
            .map_or_else(|| Arc::from(""), |(record, _)| Arc::clone(&record.name))
    }

    fn version(&self) -> Option<&str> {
        self.run
            .as_ref()
            .and_then(|(record, _)| record.version.as_deref())
    }

    fn args(&self) -> crate::Payload {
        self.run
            .as_ref()
            .map(|(record, _)| record.args.clone())
            .unwrap_or_default()
    }

    fn finish(&mut self, ended: Ended) {
        if let Some((record, lease)) = self.run.take() {
            // The worker that listened is gone only when the process ends; the lease then brings the task back.
            let _ = self.finished.send(Finished {
                record,
                lease,
                ended,
            });
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.finish(Ended::Released);
    }
}
