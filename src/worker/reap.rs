//! Taking back leases that ended without a word. Any node may; the store judges.

use std::sync::Arc;

use super::Shared;
use super::heartbeat::renew;
use crate::error::Result;
use crate::observe::Lifecycle;
use crate::page::PageRequest;
use crate::store::{Commit, Effect, Guard, Op, TaskFilter};
use crate::task::{Ended, TaskStateRecord, decide};

/// Leases taken back in one call.
const BATCH: usize = 500;

/// Takes back lost leases, at most 500; answers how many.
pub(super) async fn reap(shared: &Shared) -> Result<usize> {
    let filter = TaskFilter {
        lease_expired: true,
        ..TaskFilter::default()
    };
    let expired = shared
        .parts
        .store
        .list(&filter, PageRequest::first(BATCH))
        .await?;
    // A process that was suspended, or whose store was away, wakes up with leases of its own that have ended: they are
    // renewed while nobody else took them, not taken from itself.
    let mut mine = Vec::new();
    let mut records = Vec::new();
    for record in expired.items.into_iter().map(|item| item.record) {
        let lease = record.lease.as_ref().map(crate::task::Lease::reference);
        match lease.and_then(|lease| shared.held.get(lease)) {
            Some(task) => mine.push(task),
            None => records.push(record),
        }
    }
    if !mine.is_empty() {
        renew(shared, mine).await;
    }
    if records.is_empty() {
        return Ok(0);
    }
    take_back(shared, records).await
}

async fn take_back(shared: &Shared, records: Vec<TaskStateRecord>) -> Result<usize> {
    let commits: Vec<Commit> = records
        .iter()
        .map(|record| {
            let settlement = decide(Ended::Lost, record, shared.parts.ids.unit());
            Commit::of([Op::Settle(record.id.clone(), Box::new(settlement))])
                .when(Guard::Expired(record.id.clone(), record.fence))
        })
        .collect();
    let answers = shared.parts.store.commit(commits).await?;
    let mut taken = 0;
    for (record, answer) in records.into_iter().zip(answers) {
        // A refusal means that its worker came back, or another node was first.
        let Ok(effects) = answer else { continue };
        taken += 1;
        let worker = record
            .lease
            .as_ref()
            .map(|lease| lease.worker.to_string())
            .unwrap_or_default();
        tracing::warn!(id = %record.id, worker, "the lease of a lost worker was taken back");
        let status = match effects.as_slice() {
            [Effect::Status(status)] => *status,
            _ => record.status,
        };
        shared.parts.observers.notify(|| Lifecycle::Lost {
            record: Arc::new(record),
            status,
        });
    }
    Ok(taken)
}
