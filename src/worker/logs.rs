//! Writing what runs say.

use std::time::Duration;

use super::heartbeat::renew;
use super::{HeldTask, Shared};
use crate::handler::LogBatch;
use crate::id::TaskId;
use crate::payload::Payload;
use crate::store::{Commit, Effect, NewEvent, Op, StreamId, TaskStateStoreExt};
use crate::task::{TaskStateRecord, log_stream};

/// Lines wait this long for others.
const PAUSE: Duration = Duration::from_secs(1);

/// Batches that the log of an attempt keeps at least; and how many more before the oldest are removed. One run does not
/// have so many, but an attempt that snoozes again and again has.
const KEPT: u64 = 4_096;
const TRIMMED: u64 = 1_024;

/// Writes lines, and what else is new of their runs, a second after the first of them was said.
pub(super) async fn write_logs(shared: &Shared) {
    loop {
        shared.bell.notified().await;
        shared.parts.clock.sleep(PAUSE).await;
        let said: Vec<HeldTask> = shared.held.with_log();
        if !said.is_empty() && !renew(shared, said).await {
            // Again after another pause.
            shared.bell.notify_one();
        }
    }
}

/// The operation that appends these lines.
pub(super) fn append(record: &TaskStateRecord, batches: &[LogBatch]) -> Option<Op> {
    if batches.is_empty() {
        return None;
    }
    let events = batches.iter().map(|batch| NewEvent {
        kind: "log".to_owned(),
        key: Some(format!("{}/{}", record.fence, batch.number)),
        // Lines always have a JSON form.
        data: Payload::of(&batch.lines).unwrap_or_default(),
    });
    Some(Op::Append(
        stream(&record.id, record.attempt),
        events.collect(),
    ))
}

fn stream(id: &TaskId, attempt: u32) -> StreamId {
    StreamId {
        owner: id.to_string(),
        name: log_stream(attempt),
    }
}

/// Removes the oldest lines of an attempt that has had very many runs. What cannot be removed now is removed later.
pub(super) async fn trim(shared: &Shared, record: &TaskStateRecord, effects: &[Effect]) {
    let appended = effects.iter().find_map(|effect| match effect {
        Effect::Appended(numbers) => Some((numbers.first()?, numbers.last()?)),
        _ => None,
    });
    let Some((first, last)) = appended else {
        return;
    };
    if *last <= KEPT || (first - 1) / TRIMMED == last / TRIMMED {
        return;
    }
    let trim = Op::Trim(stream(&record.id, record.attempt), last - KEPT);
    if let Err(error) = shared.parts.store.apply(Commit::of([trim])).await {
        tracing::debug!(id = %record.id, %error, "old lines of a log could not be removed");
    }
}
