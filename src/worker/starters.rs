//! Beginning what was claimed, on as many threads as the runtime has.
//!
//! A starter takes one task after the other and runs it up to its first wait. While one is in a handler that computes or
//! blocks, the others go on: as long as tasks wait to begin, there is a starter that any free thread can pick up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::Shared;
use super::execute::{self, Start};
use crate::handler::Interruption;
use crate::task::{Ended, LeaseRef};

/// Tasks that a starter begins before it lets others have its thread.
const TURN: usize = 32;

#[derive(Debug, Default)]
struct Waiting {
    starts: VecDeque<Start>,
    /// Starters that were spawned and did not come to run yet.
    coming: usize,
    closed: bool,
}

/// What waits to begin.
#[derive(Debug, Default)]
pub(super) struct Starters(Mutex<Waiting>);

impl Starters {
    /// Forgets what has not begun; nothing begins any more.
    pub(super) fn close(&self) {
        let mut waiting = self.0.lock();
        waiting.closed = true;
        let forgotten = std::mem::take(&mut waiting.starts);
        drop(waiting);
        drop(forgotten);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.lock().closed
    }
}

/// Lets tasks begin.
pub(super) fn add(shared: &Arc<Shared>, starts: Vec<Start>) {
    if starts.is_empty() {
        return;
    }
    let threads = tokio::runtime::Handle::current().metrics().num_workers();
    let mut waiting = shared.starters.0.lock();
    if waiting.closed {
        return;
    }
    waiting.starts.extend(starts);
    let wanted = threads.min(waiting.starts.len());
    let missing = wanted.saturating_sub(waiting.coming);
    waiting.coming += missing;
    drop(waiting);
    for _ in 0..missing {
        spawn(shared);
    }
}

fn spawn(shared: &Arc<Shared>) {
    tokio::spawn(work(Arc::clone(shared)));
}

async fn work(shared: Arc<Shared>) {
    shared.starters.0.lock().coming -= 1;
    let mut begun = 0;
    // Whether something was woken or spawned here that has not run.
    let mut leaves_some = false;
    while let Some((start, has_spawned)) = next(&shared) {
        if leaves_some || has_spawned {
            leave_to_others();
        }
        leaves_some = execute::begin(&shared, start);
        begun += 1;
        if begun % TURN == 0 {
            tokio::task::yield_now().await;
            leaves_some = false;
        }
    }
}

/// A thread of a runtime keeps what was woken or spawned on it last for itself, and what comes next on this one may keep the
/// thread for long. Something else that is spawned takes that place, and any thread can take up the former.
fn leave_to_others() {
    drop(tokio::spawn(std::future::ready(())));
}

/// Goes on beginning what waits for a place, after a run has ended.
pub(super) fn more(shared: &Arc<Shared>) {
    if shared.parts.options.prefetch == 0 {
        return;
    }
    let mut waiting = shared.starters.0.lock();
    if waiting.starts.is_empty() || waiting.coming > 0 || waiting.closed {
        return;
    }
    waiting.coming += 1;
    drop(waiting);
    spawn(shared);
}

/// Hands back what waits for a place, when there is to be none.
pub(super) fn hand_back(shared: &Shared) {
    if shared.parts.options.prefetch == 0 {
        return;
    }
    let back = std::mem::take(&mut shared.starters.0.lock().starts);
    for start in back {
        shared.ends.push(start.ended(Ended::Released));
    }
}

/// Ends a task that waits for a place, so that nobody takes it for one whose handler does not listen; answers whether it
/// did.
pub(super) fn end_waiting(shared: &Shared, lease: LeaseRef, why: Interruption) -> bool {
    if shared.parts.options.prefetch == 0 {
        return false;
    }
    let mut waiting = shared.starters.0.lock();
    let at = waiting.starts.iter().position(|start| start.is_of(lease));
    let start = at.and_then(|at| waiting.starts.remove(at));
    drop(waiting);
    let Some(start) = start else {
        return false;
    };
    shared.ends.push(start.ended(why.ended()));
    true
}

/// Whether a run may begin. What was leased for places that were free always may.
fn has_place(shared: &Shared) -> bool {
    let options = &shared.parts.options;
    if options.prefetch == 0 {
        return true;
    }
    // Handlers of runs that were given up take no place.
    let stuck = shared.stuck.load(Ordering::Relaxed);
    let begun = shared.begun.load(Ordering::Acquire);
    begun.saturating_sub(stuck) < options.concurrency
}

/// The next task to begin; spawns another starter when there are more and none is coming, and says whether it did.
fn next(shared: &Arc<Shared>) -> Option<(Start, bool)> {
    let mut waiting = shared.starters.0.lock();
    if !has_place(shared) {
        return None;
    }
    let start = waiting.starts.pop_front()?;
    shared.begun.fetch_add(1, Ordering::AcqRel);
    let needs_another = waiting.coming == 0 && !waiting.starts.is_empty();
    waiting.coming += usize::from(needs_another);
    drop(waiting);
    if needs_another {
        spawn(shared);
    }
    Some((start, needs_another))
}
