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
    loop {
        let Some(shortest) = shared.held.shortest_lease() else {
            shared.held.changed().await;
            continue;
        };
        let every = shortest.min(shared.parts.options.lease) / 3;
        clock.sleep(every).await;
        // Two more thirds are left when the store does not answer now.
        let pause = (every / 10).clamp(Duration::from_millis(10), Duration::from_secs(1));
        while !renew(shared, shared.held.all()).await {
            clock.sleep(pause).await;
        }
    }
}

/// Extends leases, and learns whether somebody asked to cancel; answers whether the store took all calls.
pub(super) async fn renew(shared: &Shared, held: Vec<HeldTask>) -> bool {
    let mut answered = true;
    for batch in held.chunks(BATCH) {
        let reports: Vec<_> = batch
            .iter()
            .map(|task| (task.context.take_progress(), task.context.take_log()))
            .collect();
        let extensions = batch.iter().zip(&reports);
        let commits = extensions
            .map(|(task, (report, log))| extend(task, report.clone(), log))
            .collect();
        match shared.parts.store.commit(commits).await {
            Ok(answers) => {
                for (task, answer) in batch.iter().zip(answers) {
                    heed(
                        shared,
                        task,
                        answer.map(|effects| effects.into_iter().next()),
                    );
                }
            }
            Err(error) => {
                answered = false;
                for (task, (report, log)) in batch.iter().zip(reports) {
                    task.context.return_progress(report);
                    task.context.return_log(log);
                }
                tracing::warn!(%error, leases = batch.len(), "leases could not be renewed; trying again");
                shared.parts.observers.notify(|| Lifecycle::StoreFailed {
                    operation: "renew leases",
                    error: error.to_string(),
                });
            }
        }
    }
    answered
}

fn heed(shared: &Shared, task: &HeldTask, answer: Result<Option<Effect>, Refusal>) {
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

fn extend(task: &HeldTask, progress: Option<Payload>, log: &[LogBatch]) -> Commit {
    let id = &task.record().id;
    let mut commit =
        Commit::of([Op::Extend(id.clone(), task.ttl)]).when(Guard::Held(id.clone(), task.lease));
    if let Some(progress) = progress {
        commit = commit.then(Op::Patch(
            id.clone(),
            Box::new(Patch {
                progress: Some(progress),
                ..Patch::default()
            }),
        ));
    }
    match logs::append(task.record(), log) {
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
