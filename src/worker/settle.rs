//! Writing how runs ended, many at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::execute::Finished;
use super::{Shared, logs};
use crate::handler::Interruption;
use crate::observe::Lifecycle;
use crate::store::{Commit, Effect, Guard, Op, Patch, Refusal};
use crate::task::{AttemptEnd, Ended, Outcome, Settlement, TaskError, decide};

/// Waits between tries while the store does not answer.
const TRY_AGAIN: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// The wait before the next try after so many in a row that failed.
pub(super) fn pause(failed: usize) -> Duration {
    TRY_AGAIN[failed.saturating_sub(1).min(TRY_AGAIN.len() - 1)]
}

/// Writes the ends of these runs and forgets their leases. What comes back is to be tried again: the store did not
/// answer. Until then the runs keep their places, so that a store that is away is not flooded with work.
pub(super) async fn settle(shared: &Shared, finished: Vec<Finished>) -> Vec<Finished> {
    let (mut again, mut unstorable) = try_once(shared, finished).await;
    // Without what the run said, then without what it answered.
    for _ in 0..2 {
        if unstorable.is_empty() {
            return again;
        }
        let (later, refused) = try_once(shared, unstorable).await;
        again.extend(later);
        unstorable = refused;
    }
    for finished in unstorable {
        let id = &finished.record().id;
        tracing::error!(%id, ended = ?finished.ended, "the store does not take the end of a run; its lease is left to end");
        shared.held.remove([finished.lease]);
    }
    again
}

/// Answers with what is to be tried again later as it is, and what is to be tried now, changed to what can be stored.
async fn try_once(shared: &Shared, mut finished: Vec<Finished>) -> (Vec<Finished>, Vec<Finished>) {
    let is_told = !shared.parts.observers.is_empty();
    let mut ends = Vec::with_capacity(finished.len());
    let mut told = Vec::new();
    let decide = |finished: &mut Finished| {
        let settlement = decided(shared, finished);
        ends.push(settlement.end);
        told.extend(is_told.then(|| settlement.clone()));
        commit_of(finished, settlement)
    };
    let commits = finished.iter_mut().map(decide).collect();
    let answers = match shared.parts.store.commit(commits).await {
        Ok(answers) => answers,
        Err(error) => {
            tracing::warn!(%error, runs = finished.len(), "the ends of runs could not be recorded; trying again");
            shared.parts.observers.notify(|| Lifecycle::StoreFailed {
                operation: "settle",
                error: error.to_string(),
            });
            return (finished, Vec::new());
        }
    };
    let mut unstorable = Vec::new();
    let mut forgotten = Vec::with_capacity(finished.len());
    let mut told = told.into_iter();
    // Its room is used again.
    for ((finished, end), answer) in finished.drain(..).zip(ends).zip(answers) {
        let mut told = told.next();
        let is_taken = !matches!(answer, Err(Refusal::Invalid(_) | Refusal::TooLarge(_)));
        if is_taken && finished.context.is_left_behind() {
            tell_left_behind(shared, &finished);
        }
        match answer {
            Ok(effects) => {
                if let (Some(told), Some(Effect::Status(status))) = (&mut told, effects.last()) {
                    // A cancel that came in the last moment wins over going on.
                    told.status = *status;
                }
                tell(shared, &finished, end, told.as_ref());
                if !finished.log.is_empty() {
                    logs::trim(shared, finished.record(), &finished.log, &effects).await;
                }
            }
            Err(Refusal::AlreadyDone(_)) => tell(shared, &finished, end, told.as_ref()),
            Err(Refusal::Invalid(message) | Refusal::TooLarge(message)) => {
                unstorable.push(with_less(finished, message));
                continue;
            }
            Err(refusal) => {
                let record = finished.record();
                tracing::warn!(id = %record.id, fence = record.fence, reason = %crate::Error::from(refusal),
                    "the end of a run was refused; the task is somebody else's now");
                shared.parts.observers.notify(|| Lifecycle::LeaseLost {
                    record: Arc::clone(record),
                });
            }
        }
        forgotten.push(finished.lease);
    }
    shared.held.remove(forgotten);
    (finished, unstorable)
}

/// The same end with less to store, after the store did not take all of it. What a run said does not decide how it ended.
fn with_less(finished: Finished, message: String) -> Finished {
    if finished.log.is_empty() && finished.progress.is_none() {
        // The store does not take what the handler left: that is the end of the run, and it says so.
        return Finished {
            ended: Ended::Returned(Outcome::Error(TaskError::fail(message))),
            ..finished
        };
    }
    tracing::warn!(id = %finished.record().id, reason = message, "the store does not take the end of a run with its last lines and progress; they are left out");
    Finished {
        progress: None,
        log: Vec::new(),
        ..finished
    }
}

/// What becomes of a run.
fn decided(shared: &Shared, finished: &mut Finished) -> Settlement {
    if finished.progress.is_none() {
        finished.progress = finished.context.last_progress();
    }
    // A renewal that failed at the same time may have given lines back since the last try.
    finished.log.extend(finished.context.close_log());
    finished.log.sort_by_key(|batch| batch.number);
    if let Ended::Returned(Outcome::Success(result)) = &finished.ended
        && let Err(error) = result.check_size("result", shared.parts.surroundings.payload_limit)
    {
        // The work is done, so it must not be done again; that its result is not kept is what is recorded.
        finished.ended = Ended::Unserializable(error.to_string());
    }
    decide(
        finished.ended.clone(),
        finished.record(),
        shared.parts.ids.unit(),
    )
}

/// The write that says what became of it.
fn commit_of(finished: &Finished, settlement: Settlement) -> Commit {
    let record = finished.record();
    let id = &record.id;
    let mut commit = Commit::default().when(Guard::Held(id.clone(), finished.lease));
    if let Some(progress) = finished.progress.clone() {
        let patch = Patch {
            progress: Some(progress),
            ..Patch::default()
        };
        commit = commit.then(Op::Patch(id.clone(), Box::new(patch)));
    }
    if let Some(append) = logs::append(record, &finished.log) {
        commit = commit.then(append);
    }
    commit.then(Op::Settle(id.clone(), Box::new(settlement)))
}

fn tell_left_behind(shared: &Shared, finished: &Finished) {
    shared.left_behind.fetch_add(1, Ordering::Relaxed);
    let why = finished.context.interruption();
    shared.parts.observers.notify(|| Lifecycle::LeftBehind {
        record: Arc::clone(finished.record()),
        why: why.unwrap_or(Interruption::Cancelled),
    });
}

fn tell(shared: &Shared, finished: &Finished, end: Option<AttemptEnd>, told: Option<&Settlement>) {
    if end == Some(AttemptEnd::Released) {
        shared.released.fetch_add(1, Ordering::Relaxed);
    }
    if let Some(settlement) = told {
        shared.parts.observers.notify(|| {
            Lifecycle::settled(Arc::clone(finished.record()), settlement, finished.took)
        });
    }
}
