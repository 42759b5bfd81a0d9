//! What wakes a worker: hints, ended runs, time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Stop, Worker, heartbeat};
use crate::store::{Hint, HintStream};

/// What runs here is read no more often than this when somebody else wrote to the store.
const LOOK_AFTER_PAUSE: Duration = Duration::from_secs(1);

impl Worker {
    pub(super) fn heed_waiting_hints(&mut self) {
        while let Some(hint) = self.hints.as_mut().and_then(HintStream::try_next) {
            self.heed(hint);
        }
    }

    fn heed(&mut self, hint: Hint) {
        match hint {
            Hint::Ready(queue) => {
                if self.lanes.queues.contains(&queue) {
                    self.look = true;
                    self.close_door();
                }
            }
            Hint::Unknown => {
                self.look = true;
                self.look_after = true;
                self.close_door();
            }
            Hint::Woken(id) => self.woken.push(id),
            Hint::Finished(_) => {}
        }
    }

    /// Learns at once, not at the next heartbeat, what somebody wants of a running task.
    pub(super) async fn ask_woken(&mut self) {
        let woken: Vec<_> = self
            .woken
            .drain(..)
            .flat_map(|id| self.shared.held.of(&id))
            .collect();
        if !woken.is_empty() {
            // One that fails is asked again by the heartbeat.
            heartbeat::renew(&self.shared, woken).await;
        }
        if self.look_after_in() != Some(Duration::ZERO) {
            return;
        }
        self.look_after = false;
        self.looked_after_at = Some(self.now());
        if let Err(error) = heartbeat::look_after(&self.shared).await {
            tracing::debug!(%error, "what runs here could not be read");
        }
    }

    fn look_after_in(&self) -> Option<Duration> {
        if !self.look_after || self.running() == 0 {
            return None;
        }
        let now = self.now();
        Some(self.looked_after_at.map_or(Duration::ZERO, |at| {
            (at + LOOK_AFTER_PAUSE).saturating_sub(now)
        }))
    }

    /// How long until there is something to do that no hint tells of, on the steady clock; `None` when nothing is known
    /// of. Without hints, or with hints that are lost, there may be more.
    pub(super) fn known_in(&self, may_claim: bool) -> Option<Duration> {
        let now = self.now();
        let mut nap: Option<Duration> = None;
        let mut no_longer =
            |wait: Duration| nap = Some(nap.map_or(wait, |nap: Duration| nap.min(wait)));
        if may_claim && self.presence.lets_claim() && self.free_places() > 0 {
            if self.look {
                no_longer(Duration::ZERO);
            }
            if let Some(at) = self.look_at {
                no_longer(at.saturating_sub(now));
            }
        }
        if !self.ended.is_empty() {
            no_longer(self.settle_at.saturating_sub(now));
        }
        if let Some(wait) = self.look_after_in() {
            no_longer(wait);
        }
        if let Some(at) = self.shared.gives_up_at() {
            no_longer(at.saturating_sub(now));
        }
        if let Some(wait) = self.presence.due_in(now) {
            no_longer(wait);
        }
        nap
    }

    /// Waits until a run ended, a hint came, or it is time to look.
    pub(super) async fn wait(&mut self, stop: &mut watch::Receiver<Stop>, may_claim: bool) {
        let clock = Arc::clone(&self.shared.parts.clock);
        // Hints may be lost: polling is the truth.
        let nap = self.known_in(may_claim);
        let sleep = clock.sleep(nap.map_or(self.poll, |nap| nap.min(self.poll)));
        tokio::pin!(sleep);
        let mut stoppable = true;
        loop {
            tokio::select! {
                // In this order: hints that come without end hold up neither a stop nor a look.
                biased;
                () = self.shared.ends.some() => return,
                changed = stop.changed(), if stoppable => match changed {
                    Ok(()) => return,
                    Err(_) => stoppable = false,
                },
                () = &mut sleep => {
                    self.look = true;
                    return;
                }
                () = self.shared.held.freed() => {
                    if self.look && may_claim && self.free_places() > 0 {
                        return;
                    }
                }
                hint = next_hint(&mut self.hints) => {
                    match hint {
                        Some(hint) => self.heed(hint),
                        None => self.hints = None,
                    }
                    let may_look = self.look && may_claim && self.free_places() > 0;
                    let must_look_after = self.look_after && self.running() > 0;
                    if may_look || must_look_after || !self.woken.is_empty() {
                        return;
                    }
                }
            }
        }
    }
}

async fn next_hint(hints: &mut Option<HintStream>) -> Option<Hint> {
    match hints {
        Some(hints) => hints.next().await,
        None => std::future::pending().await,
    }
}
