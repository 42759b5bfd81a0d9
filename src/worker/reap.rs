//! Taking back leases that ended without a word. Any node may; the store judges.

use std::sync::Arc;

use super::Shared;
use crate::error::Result;
use crate::observe::Lifecycle;
use crate::page::PageRequest;
use crate::store::{Commit, Effect, Guard, Op, TaskFilter};
use crate::task::{Ended, decide};

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
    let records: Vec<_> = expired.items.into_iter().map(|item| item.record).collect();
    let commits: Vec<Commit> = records
        .iter()
        .map(|record| {
            let settlement = decide(Ended::Lost, record, shared.parts.ids.unit());
            Commit::of([Op::Settle(record.id.clone(), Box::new(settlement))])
                .when(Guard::Expired(record.id.clone(), record.fence))
        })
        .collect();
    if commits.is_empty() {
        return Ok(0);
    }
    let mut taken = 0;
    for (record, answer) in records
        .iter()
        .zip(shared.parts.store.commit(commits).await?)
    {
        // A refusal means that its worker came back, or another node was first.
        if answer.is_ok() {
            taken += 1;
            let worker = record
                .lease
                .as_ref()
                .map(|lease| lease.worker.to_string())
                .unwrap_or_default();
            tracing::warn!(id = %record.id, worker, "the lease of a lost worker was taken back");
            let status = match answer.as_deref() {
                Ok([Effect::Status(status)]) => *status,
                _ => record.status,
            };
            shared.parts.observers.notify(|| Lifecycle::Lost {
                record: Arc::new(record.clone()),
                status,
            });
        }
    }
    Ok(taken)
}
