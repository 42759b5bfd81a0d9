//! Stopping well.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;

use super::handle::{Request, forced};
use crate::context::TloContext;
use crate::error::Result;
use crate::page::PageRequest;
use crate::settings::StopBehavior;
use crate::store::{Commit, Durability, Op, TaskFilter};
use crate::task::TaskStatus;
use crate::worker::{Runs, Stop};

/// Tasks cancelled in one call.
const BATCH: usize = 500;

/// Takes a worker through the phases of a stop.
pub(super) async fn stop(
    context: &TloContext,
    behavior: StopBehavior,
    stop: &watch::Sender<Stop>,
    runs: &Runs,
    mut working: Pin<&mut impl Future<Output = Result<()>>>,
    requests: &mut watch::Receiver<Request>,
) -> Result<()> {
    let settings = context.settings();
    let store = context.store().capability();
    // Only on a store that ends with this process does stopping reach beyond what this process runs.
    let store_ends_here = store.durability == Durability::None && !store.shared;
    let mut phases = match behavior {
        StopBehavior::Drain if store_ends_here => vec![(Stop::RunDue, settings.drain_timeout)],
        StopBehavior::Drain => vec![(Stop::Drain, settings.drain_timeout)],
        StopBehavior::Cancel => Vec::new(),
        StopBehavior::Ignore => vec![(Stop::Abandon, settings.kill_grace)],
    };
    if behavior != StopBehavior::Ignore {
        phases.push((Stop::Cancel, settings.kill_grace));
        phases.push((Stop::Release, settings.kill_grace.saturating_mul(2)));
    }
    let mut done = None;
    let mut is_forced = false;
    for (phase, limit) in phases {
        if done.is_some() || (is_forced && phase < Stop::Release) {
            continue;
        }
        stop.send_replace(phase);
        tokio::select! {
            biased;
            result = &mut working => done = Some(result),
            () = patience(context, phase, limit, runs) => {
                match phase {
                    Stop::RunDue | Stop::Drain => {
                        tracing::warn!("not everything ended in the drain_timeout; what still runs is asked to stop");
                    }
                    Stop::Cancel => {
                        tracing::warn!("not everything stopped in the kill_grace; what still runs is handed back");
                    }
                    _ => {}
                }
            }
            () = forced(requests), if !is_forced => is_forced = true,
        }
    }
    if store_ends_here && behavior != StopBehavior::Ignore {
        cancel_waiting(context).await?;
    }
    done.unwrap_or(Ok(()))
}

/// Waits as long as a phase may take. What is asked to stop may say how long it needs only when it hears of it.
async fn patience(context: &TloContext, phase: Stop, limit: Duration, runs: &Runs) {
    let mut waited = Duration::ZERO;
    let mut limit = limit;
    while waited < limit {
        context.clock().sleep(limit.saturating_sub(waited)).await;
        waited = limit;
        if phase == Stop::Cancel {
            limit = limit.max(runs.needed_grace());
        }
    }
}

/// Cancels everything that waits in a store that ends with this process.
async fn cancel_waiting(context: &TloContext) -> Result<()> {
    let waiting = TaskFilter::status([TaskStatus::Pending]);
    let mut request = PageRequest::first(BATCH);
    loop {
        let page = context.store().list(&waiting, request).await?;
        let cancels = page
            .items
            .into_iter()
            .map(|item| Commit::of([Op::Cancel(item.record.id, "the runner stopped".to_owned())]))
            .collect();
        context.store().commit(cancels).await?;
        if page.complete {
            return Ok(());
        }
        request = PageRequest {
            after: page.next,
            ..PageRequest::first(BATCH)
        };
    }
}
