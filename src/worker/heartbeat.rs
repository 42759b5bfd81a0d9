//! Keeping leases alive, from a thread of its own: a handler that blocks its runtime does not lose its lease.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::held::HeldTask;
use super::{Shared, logs};
use crate::error::{Error, ErrorKind, Result};
use crate::handler::{Interruption, LogBatch};
use crate::id::TaskId;
use crate::observe::Lifecycle;
use crate::payload::Payload;
use crate::store::{Commit, Effect, Guard, Op, Patch, Refusal};

/// Leases extended in one call to the store.
const BATCH: usize = 256;

/// How long dropping the heartbeat waits for its thread. What still hangs then ends by itself.
const ENDING: Duration = Duration::from_secs(1);

/// The thread that renews the leases of a worker. It ends when this is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    stop: Option<oneshot::Sender<()>>,
    /// Disconnected when the thread has ended; `None` when there is no thread.
    ended: Option<Mutex<mpsc::Receiver<()>>>,
}

impl Heartbeat {
    pub(super) fn start(shared: Arc<Shared>) -> Result<Self> {
        let failed = |source: std::io::Error| {
            Error::new(
                ErrorKind::Unavailable,
                "start worker",
                "the heartbeat thread did not start",
            )
            .with_source(source)
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let (ending, ended) = mpsc::channel();
        std::thread::Builder::new()
            .name("tlo-heartbeat".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = beat(&shared) => {}
                        () = logs::write_logs(&shared) => {}
                        _ = stopped => {}
                    }
                });
                // A store may have left a blocking call on this runtime; nobody waits for it.
                runtime.shutdown_background();
                drop(shared);
                drop::<mpsc::Sender<()>>(ending);
            })
            .map_err(failed)?;
        Ok(Self {
            stop: Some(stop),
            ended: Some(Mutex::new(ended)),
        })
    }

    /// Renews on the runtime of the caller.
    pub(super) fn here(shared: Arc<Shared>) -> Self {
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = stopped => {}
                () = beat(&shared) => {}
            }
        });
        Self {
            stop: Some(stop),
            ended: None,
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop.take();
        // The thread ends at its next await, normally within microseconds: nothing renews after this.
        if let Some(ended) = &mut self.ended {
            let _ = ended.get_mut().recv_timeout(ENDING);
        }
    }
}

async fn beat(shared: &Shared) {
    let clock = &shared.parts.clock;
    let mut renewed_at = clock.steady().at;
    loop {
        let Some(shortest) = shared.held.shortest_lease() else {
            shared.held.changed().await;
            renewed_at = clock.steady().at;
            continue;
        };
        let every = shortest.min(shared.parts.options.lease) / 3;
        let due = renewed_at.saturating_add(every);
        tokio::select! {
            biased;
            // One with a shorter lease may have come: it does not wait as long as those before it.
            () = shared.held.changed() => continue,
            () = clock.sleep(due.saturating_sub(clock.steady().at)) => {}
        }
        // Two more thirds are left when the store does not answer now.
        let pause = (every / 10).clamp(Duration::from_millis(10), Duration::from_secs(1));
        while !renew(shared, shared.held.all()).await {
            clock.sleep(pause).await;
        }
        renewed_at = clock.steady().at;
    }
}

/// Extends leases, and learns whether somebody asked to cancel; answers whether the store took all calls.
pub(super) async fn renew(shared: &Shared, held: Vec<HeldTask>) -> bool {
    let mut answered = true;
    for batch in held.chunks(BATCH) {
        let mut renewals: Vec<_> = batch.iter().map(Renewal::of).collect();
        // Those whose report is not taken are renewed without it.
        while !renewals.is_empty() {
            match renew_once(shared, renewals).await {
                Some(refused) => renewals = refused,
                None => {
                    answered = false;
                    break;
                }
            }
        }
    }
    answered
}

/// What is new of a run, written with the extension of its lease.
struct Renewal<'a> {
    task: &'a HeldTask,
    progress: Option<Payload>,
    log: Vec<LogBatch>,
}

impl<'a> Renewal<'a> {
    fn of(task: &'a HeldTask) -> Self {
        Self {
            task,
            progress: task.context.take_progress(),
            log: task.context.take_log(),
        }
    }

    /// What it carried is not on its way any more.
    fn forget(&self) {
        let context = &self.task.context;
        context.forget_sent(self.progress.as_ref(), &self.log);
    }

    const fn has_report(&self) -> bool {
        self.progress.is_some() || !self.log.is_empty()
    }
}

/// Answers with those that the store does not take as they are, without what it did not take; `None` when it did not answer.
async fn renew_once<'a>(shared: &Shared, renewals: Vec<Renewal<'a>>) -> Option<Vec<Renewal<'a>>> {
    let commits = renewals.iter().map(extend).collect();
    match shared.parts.store.commit(commits).await {
        Ok(answers) => {
            let mut refused = Vec::new();
            let mut written = Vec::new();
            for (renewal, answer) in renewals.into_iter().zip(answers) {
                let task = renewal.task;
                match answer {
                    Err(Refusal::Invalid(message) | Refusal::TooLarge(message))
                        if renewal.has_report() =>
                    {
                        tracing::warn!(id = %task.record().id, reason = message, "the store does not take what a run said; it is left out");
                        renewal.forget();
                        refused.push(Renewal {
                            task,
                            progress: None,
                            log: Vec::new(),
                        });
                    }
                    Ok(effects) => {
                        renewal.forget();
                        heed(shared, task, Ok(effects.first()));
                        if !renewal.log.is_empty() {
                            written.push((renewal, effects));
                        }
                    }
                    Err(refusal) => heed(shared, task, Err(refusal)),
                }
            }
            for (renewal, effects) in written {
                logs::trim(shared, renewal.task.record(), &renewal.log, &effects).await;
            }
            Some(refused)
        }
        Err(error) => {
            tracing::warn!(%error, leases = renewals.len(), "leases could not be renewed; trying again");
            for renewal in renewals {
                renewal.task.context.return_progress(renewal.progress);
                renewal.task.context.return_log(renewal.log);
            }
            shared.parts.observers.notify(|| Lifecycle::StoreFailed {
                operation: "renew leases",
                error: error.to_string(),
            });
            None
        }
    }
}

fn heed(shared: &Shared, task: &HeldTask, answer: Result<Option<&Effect>, Refusal>) {
    match answer {
        Ok(Some(Effect::Extended {
            cancel_requested: true,
            ..
        })) => shared.interrupt(task, Interruption::Cancelled),
        Ok(_) | Err(Refusal::AlreadyDone(_)) => {}
        Err(refusal) => {
            tracing::warn!(id = %task.record().id, reason = %Error::from(refusal), "a lease was lost; its run is told to stop");
            shared.interrupt(task, Interruption::LeaseLost);
        }
    }
}

fn extend(renewal: &Renewal<'_>) -> Commit {
    let task = renewal.task;
    let id = &task.record().id;
    let mut commit =
        Commit::of([Op::Extend(id.clone(), task.ttl)]).when(Guard::Held(id.clone(), task.lease));
    if let Some(progress) = renewal.progress.clone() {
        commit = commit.then(Op::Patch(
            id.clone(),
            Box::new(Patch {
                progress: Some(progress),
                ..Patch::default()
            }),
        ));
    }
    match logs::append(task.record(), &renewal.log) {
        Some(append) => commit.then(append),
        None => commit,
    }
}

/// Learns by reading, without a write that others would see, whether somebody wants something of what runs here.
pub(super) async fn look_after(shared: &Shared) -> Result<()> {
    for batch in shared.held.all().chunks(BATCH) {
        let ids: Vec<TaskId> = batch.iter().map(|task| task.record().id.clone()).collect();
        let records = shared.parts.store.get(&ids).await?;
        for (task, record) in batch.iter().zip(records) {
            let Some(record) = record else { continue };
            let is_mine =
                record.lease.as_ref().map(crate::task::Lease::reference) == Some(task.lease);
            if is_mine && record.cancel_requested {
                shared.interrupt(task, Interruption::Cancelled);
            }
        }
    }
    Ok(())
}
