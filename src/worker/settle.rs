//! Writing how runs ended, many at once.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::execute::Finished;
use crate::error::Result;
use crate::observe::Lifecycle;
use crate::store::{Commit, Committed, Guard, Op, Refusal};
use crate::task::{Ended, Settlement, TaskError, TaskStateRecord, decide};

/// Waits between tries while the store does not answer.
const TRY_AGAIN: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

struct Deciding {
    finished: Finished,
    settlement: Settlement,
}

/// Writes the ends of these runs and forgets their leases. Goes on until the store took them or refused them; the
/// slots stay taken so long, so that a store that is away is not flooded with work.
pub(super) async fn settle(shared: &Shared, finished: Vec<Finished>) {
    let deciding: Vec<Deciding> = finished
        .into_iter()
        .map(|finished| {
            let settlement = decide(
                finished.ended.clone(),
                &finished.record,
                shared.parts.ids.unit(),
            );
            Deciding {
                finished,
                settlement,
            }
        })
        .collect();
    let mut tries = 0;
    let answers = loop {
        match write(shared, &deciding).await {
            Ok(answers) => break answers,
            Err(error) => {
                if tries == 0 {
                    tracing::warn!(%error, runs = deciding.len(), "the ends of runs could not be recorded; trying again");
                }
                shared
                    .parts
                    .clock
                    .sleep(TRY_AGAIN[tries.min(TRY_AGAIN.len() - 1)])
                    .await;
                tries += 1;
            }
        }
    };
    let mut unstorable = Vec::new();
    for (deciding, answer) in deciding.into_iter().zip(answers) {
        let record = Arc::clone(&deciding.finished.record);
        match answer {
            Ok(_) | Err(Refusal::AlreadyDone(_)) => tell(shared, &record, &deciding.settlement),
            Err(Refusal::Invalid(message) | Refusal::TooLarge(message)) => {
                // The store does not take what the handler left: that is the end of the run, and it says so.
                let ended = Ended::Returned(crate::task::Outcome::Error(TaskError::fail(message)));
                unstorable.push(Finished {
                    ended,
                    ..deciding.finished
                });
                continue;
            }
            Err(refusal) => {
                tracing::warn!(id = %record.id, fence = record.fence, reason = %crate::Error::from(refusal),
                    "the end of a run was refused; the task is somebody else's now");
                shared.parts.observers.notify(|| Lifecycle::LeaseLost {
                    record: Arc::clone(&record),
                });
            }
        }
        shared.held.remove(&record.id, deciding.finished.lease);
    }
    if !unstorable.is_empty() {
        Box::pin(settle(shared, unstorable)).await;
    }
}

async fn write(shared: &Shared, deciding: &[Deciding]) -> Result<Vec<Committed>> {
    let commits = deciding
        .iter()
        .map(|deciding| {
            let id = &deciding.finished.record.id;
            let settle = Op::Settle(id.clone(), Box::new(deciding.settlement.clone()));
            let held = Guard::Held(id.clone(), deciding.finished.lease);
            let commit = match shared
                .held
                .get(id)
                .and_then(|held| held.context.take_progress())
            {
                Some(progress) => {
                    let patch = crate::store::Patch {
                        progress: Some(progress),
                        ..Default::default()
                    };
                    Commit::of([Op::Patch(id.clone(), Box::new(patch)), settle])
                }
                None => Commit::of([settle]),
            };
            commit.when(held)
        })
        .collect();
    shared.parts.store.commit(commits).await
}

fn tell(shared: &Shared, record: &Arc<TaskStateRecord>, settlement: &Settlement) {
    shared.parts.observers.notify(|| {
        let started = record.started_at.unwrap_or(record.run_at);
        let took = shared.parts.clock.now().since(started);
        Lifecycle::settled(Arc::clone(record), settlement, took)
    });
}
