//! Writing what runs say.

use std::collections::VecDeque;
use std::time::Duration;

use super::heartbeat::renew;
use super::{HeldTask, Shared};
use crate::error::Result;
use crate::handler::LogBatch;
use crate::id::TaskId;
use crate::payload::Payload;
use crate::store::{Commit, Effect, NewEvent, Op, StreamId, TaskStateStoreExt};
use crate::task::{TaskStateRecord, log_stream};

/// Lines wait this long for others.
const PAUSE: Duration = Duration::from_secs(1);

/// What the log of an attempt keeps, in bytes of JSON text and in batches. One run does not say so much, but an attempt that
/// snoozes again and again does.
const KEPT_BYTES: usize = 1024 * 1024;
const KEPT: usize = 4_096;

/// Batches after which a log is looked at once more, at most: the larger they are the sooner.
const LOOKED_AT: u64 = 1_024;

/// Batches that are read at once.
const PAGE: usize = 32;

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

/// Removes the oldest lines of an attempt that has said very much, when these lines were written. What cannot be removed now
/// is removed later.
pub(super) async fn trim(
    shared: &Shared,
    record: &TaskStateRecord,
    written: &[LogBatch],
    effects: &[Effect],
) {
    let appended = effects.iter().find_map(|effect| match effect {
        Effect::Appended(numbers) => Some((*numbers.first()?, *numbers.last()?)),
        _ => None,
    });
    let bytes = written.iter().map(LogBatch::bytes).sum::<usize>().max(1);
    let Some((first, last)) = appended else {
        return;
    };
    // Half of what is kept may come between two looks.
    let step = (KEPT_BYTES / 2 / bytes) as u64;
    let step = step.clamp(1, LOOKED_AT);
    if (first - 1) / step == last / step {
        return;
    }
    if let Err(error) = trim_to_limit(shared, stream(&record.id, record.attempt)).await {
        tracing::debug!(id = %record.id, %error, "old lines of a log could not be removed");
    }
}

async fn trim_to_limit(shared: &Shared, stream: StreamId) -> Result<()> {
    let mut kept = VecDeque::new();
    let mut bytes = 0;
    let mut before = None;
    loop {
        let from = kept.back().map_or(0, |(number, _)| number + 1);
        let page = shared.parts.store.events(&stream, from, PAGE).await?;
        for event in &page {
            let size = event.data.as_str().len();
            kept.push_back((event.number, size));
            bytes += size;
        }
        // The newest stays, however large it is.
        while kept.len() > 1 && (bytes > KEPT_BYTES || kept.len() > KEPT) {
            bytes -= kept.pop_front().map_or(0, |(_, size)| size);
            before = kept.front().map(|(number, _)| *number);
        }
        if page.len() < PAGE {
            break;
        }
    }
    let Some(before) = before else {
        return Ok(());
    };
    let trim = Commit::of([Op::Trim(stream, before)]);
    shared.parts.store.apply(trim).await.map(drop)
}
