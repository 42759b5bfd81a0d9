//! Keeping leases alive, from a thread of its own: a handler that blocks its runtime does not lose its lease.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Shared;
use super::held::HeldTask;
use crate::error::{Error, ErrorKind, Result};
use crate::handler::Interruption;
use crate::store::{Commit, Effect, Guard, Op, Patch, Refusal};

/// Leases extended in one call to the store.
const BATCH: usize = 256;

/// The thread that renews the leases of a worker. It ends when this is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
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
        let thread = std::thread::Builder::new()
            .name("tlo-heartbeat".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = beat(&shared) => {}
                        _ = stopped => {}
                    }
                });
            })
            .map_err(failed)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // The thread ends at its next await; a panic in it was already reported by its hook.
            let _ = thread.join();
        }
    }
}

async fn beat(shared: &Shared) {
    loop {
        if shared.held.len() == 0 {
            shared.held.changed().await;
        }
        shared
            .parts
            .clock
            .sleep(shared.parts.options.lease / 3)
            .await;
        renew(shared, shared.held.all()).await;
    }
}

/// Extends leases, and learns whether somebody asked to cancel.
pub(super) async fn renew(shared: &Shared, held: Vec<HeldTask>) {
    for batch in held.chunks(BATCH) {
        let commits = batch.iter().map(extend).collect();
        let answers = match shared.parts.store.commit(commits).await {
            Ok(answers) => answers,
            Err(error) => {
                // One missed renewal leaves two more before the lease ends.
                tracing::warn!(%error, leases = batch.len(), "leases could not be renewed; trying again");
                shared.parts.clock.sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        for (task, answer) in batch.iter().zip(answers) {
            match answer.map(|effects| effects.into_iter().next()) {
                Ok(Some(Effect::Extended {
                    cancel_requested: true,
                    ..
                })) => task.context.interrupt(Interruption::Cancelled),
                Ok(_) | Err(Refusal::AlreadyDone(_)) => {}
                Err(refusal) => {
                    tracing::warn!(id = %task.record.id, reason = %Error::from(refusal), "a lease was lost; its run is told to stop");
                    task.context.interrupt(Interruption::LeaseLost);
                }
            }
        }
    }
}

fn extend(task: &HeldTask) -> Commit {
    let id = &task.record.id;
    let mut commit =
        Commit::of([Op::Extend(id.clone(), task.ttl)]).when(Guard::Held(id.clone(), task.lease));
    if let Some(progress) = task.context.take_progress() {
        commit = commit.then(Op::Patch(
            id.clone(),
            Box::new(Patch {
                progress: Some(progress),
                ..Patch::default()
            }),
        ));
    }
    commit
}
