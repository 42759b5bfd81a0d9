//! The loop of a worker.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::execute::{self, Finished};
use super::heartbeat::Heartbeat;
use super::{Held, Shared, Stop, WorkerParts, reap, settle};
use crate::client::WorkerInfo;
use crate::error::Result;
use crate::handler::Interruption;
use crate::id::TaskId;
use crate::observe::Lifecycle;
use crate::payload::Payload;
use crate::store::{ClaimRequest, Claims, Hint, HintStream, Lanes, TaskStateStoreExt};
use crate::task::Ended;
use crate::timestamp::Timestamp;

/// Ends of runs written together, at most.
const SETTLE_BATCH: usize = 256;

/// Lost leases are looked for no more often than this, should one refuse to be taken back.
const REAP_PAUSE: Duration = Duration::from_millis(250);

/// How often a worker on a shared store says that it lives, and how long that is believed.
const ADVERTISE_EVERY: Duration = Duration::from_secs(30);
const ADVERTISE_TTL: Duration = Duration::from_secs(90);

/// Claims, runs and settles tasks, a bounded number at once.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    lanes: Lanes,
    finished: mpsc::UnboundedReceiver<Finished>,
    finish: mpsc::UnboundedSender<Finished>,
    hints: HintStream,
    poll: Duration,
    /// Other processes may use the store.
    is_shared: bool,
    /// Something may be ready: claim when there is a free slot.
    look: bool,
    /// Running tasks that somebody wants something of.
    woken: Vec<TaskId>,
    /// When to look again without a hint.
    wake_at: Option<Timestamp>,
    reaped_at: Option<Timestamp>,
    advertised_at: Option<Timestamp>,
}

impl Worker {
    /// A worker that has not started.
    #[must_use]
    pub fn new(parts: WorkerParts) -> Self {
        let (finish, finished) = mpsc::unbounded_channel();
        let lanes = Lanes {
            queues: parts
                .options
                .queues
                .iter()
                .map(|queue| Arc::from(queue.as_str()))
                .collect(),
            names: parts.handlers.lanes(),
        };
        let hints = parts.store.hints();
        let capability = parts.store.capability();
        let poll = parts.options.poll.unwrap_or(capability.poll);
        let shared = Arc::new(Shared {
            parts,
            held: Held::default(),
        });
        Self {
            shared,
            lanes,
            finished,
            finish,
            hints,
            poll,
            is_shared: capability.shared,
            look: true,
            woken: Vec::new(),
            wake_at: None,
            reaped_at: None,
            advertised_at: None,
        }
    }

    /// Starts the thread that renews this worker's leases. A test that steps time calls [`renew`](Self::renew) instead.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn heartbeat(&self) -> Result<Heartbeat> {
        Heartbeat::start(Arc::clone(&self.shared))
    }

    /// Renews all leases once.
    pub async fn renew(&self) {
        super::heartbeat::renew(&self.shared, self.shared.held.all()).await;
    }

    /// Tasks that run now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.held.len()
    }

    /// Works until `stop` has gone far enough.
    ///
    /// # Errors
    /// Never for a task or a store that is away for a while; only when the worker itself cannot go on.
    pub async fn run(mut self, mut stop: watch::Receiver<Stop>) -> Result<()> {
        let parts = &self.shared.parts;
        parts.observers.notify(|| Lifecycle::WorkerStarted {
            worker: parts.id.clone(),
            queues: self.lanes.queues.clone(),
            concurrency: parts.options.concurrency,
        });
        let mut released = 0;
        loop {
            let phase = *stop.borrow_and_update();
            match phase {
                Stop::No | Stop::RunDue | Stop::Drain => {}
                Stop::Cancel => {
                    for task in self.shared.held.all() {
                        task.context.interrupt(Interruption::Stopping);
                    }
                }
                Stop::Release => {
                    released = self.release().await;
                    break;
                }
                Stop::Abandon => break,
            }
            let is_idle = self.running() == 0 && self.finished.is_empty();
            if phase >= Stop::Drain && is_idle {
                break;
            }
            self.look |= phase == Stop::RunDue && is_idle;
            if self.step(phase <= Stop::RunDue).await {
                continue;
            }
            if phase == Stop::RunDue && is_idle && self.running() == 0 {
                break;
            }
            self.wait(&mut stop).await;
        }
        self.retire(released).await;
        Ok(())
    }

    /// Settles what ended and claims what is ready; answers whether it did anything.
    pub async fn step(&mut self, may_claim: bool) -> bool {
        let mut ended = Vec::new();
        while ended.len() < SETTLE_BATCH {
            let Ok(finished) = self.finished.try_recv() else {
                break;
            };
            ended.push(finished);
        }
        while let Some(hint) = self.hints.try_next() {
            self.heed(hint);
        }
        self.ask_woken().await;
        let now = self.shared.parts.clock.now();
        if self.wake_at.is_some_and(|at| at <= now) {
            self.look = true;
        }
        let settled = ended.len();
        let free = self
            .shared
            .parts
            .options
            .concurrency
            .saturating_sub(self.running().saturating_sub(settled));
        let claim = may_claim && self.look && free > 0;
        // Both at once: a store with group commit writes them in one transaction.
        let shared = Arc::clone(&self.shared);
        let settling = async {
            if settled > 0 {
                settle::settle(&shared, ended).await;
            }
        };
        let claiming = async {
            if claim {
                Some(self.claim(free).await)
            } else {
                None
            }
        };
        let ((), claimed) = tokio::join!(settling, claiming);
        let mut started = 0;
        match claimed {
            Some(Ok(claims)) => started = self.take(claims, free).await,
            Some(Err(error)) => {
                tracing::warn!(%error, "claiming failed; trying again");
                self.look = false;
                self.wake_at = Some(now.saturating_add(Duration::from_secs(1)));
            }
            None => {}
        }
        if may_claim {
            self.advertise(now).await;
        }
        settled > 0 || started > 0
    }

    async fn claim(&self, limit: usize) -> Result<Claims> {
        let parts = &self.shared.parts;
        let request = ClaimRequest {
            worker: parts.id.clone(),
            lanes: self.lanes.clone(),
            limit,
            ttl: parts.options.lease,
        };
        parts.store.claim(request).await
    }

    /// Starts what was claimed and remembers when to look again.
    async fn take(&mut self, claims: Claims, asked: usize) -> usize {
        let started = claims.tasks.len();
        for record in claims.tasks {
            execute::start(&self.shared, record, &self.finish);
        }
        self.look = started == asked;
        let now = claims.now;
        // The store's clock may differ from ours: what counts is how long from its now.
        let local = self.shared.parts.clock.now();
        self.wake_at = claims
            .next_due
            .map(|due| local.saturating_add(due.since(now)));
        let overdue = started == 0 && claims.next_due.is_some_and(|due| due <= now);
        if overdue
            && self
                .reaped_at
                .is_none_or(|at| local.since(at) >= REAP_PAUSE)
        {
            self.reaped_at = Some(local);
            match reap::reap(&self.shared).await {
                Ok(0) => {}
                Ok(_) => self.look = true,
                Err(error) => tracing::warn!(%error, "lost leases could not be looked for"),
            }
        }
        if overdue && !self.look {
            self.wake_at = Some(local.saturating_add(REAP_PAUSE));
        }
        started
    }

    fn heed(&mut self, hint: Hint) {
        match hint {
            Hint::Ready(queue) => self.look |= self.lanes.queues.contains(&queue),
            Hint::Unknown => self.look = true,
            Hint::Woken(id) => self.woken.push(id),
            Hint::Finished(_) => {}
        }
    }

    /// Learns at once, not at the next heartbeat, what somebody wants of a running task.
    async fn ask_woken(&mut self) {
        let woken: Vec<_> = self
            .woken
            .drain(..)
            .filter_map(|id| self.shared.held.get(&id))
            .collect();
        if !woken.is_empty() {
            super::heartbeat::renew(&self.shared, woken).await;
        }
    }

    /// Waits until a run ended, a hint came, or it is time to look.
    async fn wait(&mut self, stop: &mut watch::Receiver<Stop>) {
        let clock = Arc::clone(&self.shared.parts.clock);
        let has_free_slot = self.running() < self.shared.parts.options.concurrency;
        let now = clock.now();
        let until_due = self.wake_at.map_or(self.poll, |at| at.since(now));
        let sleep = clock.sleep(until_due.min(self.poll));
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                finished = self.finished.recv() => {
                    // Put back for the next step, which settles it with all others that ended.
                    if let Some(finished) = finished {
                        let _ = self.finish.send(finished);
                    }
                    return;
                }
                hint = self.hints.next() => {
                    match hint {
                        Some(hint) => self.heed(hint),
                        None => sleep.as_mut().await,
                    }
                    if (self.look && has_free_slot) || !self.woken.is_empty() {
                        return;
                    }
                }
                () = &mut sleep => {
                    self.look = true;
                    return;
                }
                changed = stop.changed() => {
                    if changed.is_err() {
                        // Nobody can stop this worker any more; it goes on.
                        sleep.as_mut().await;
                    }
                    return;
                }
            }
        }
    }

    /// Hands back what still runs: interrupted is not failed.
    async fn release(&mut self) -> usize {
        for task in self.shared.held.all() {
            if let Some(abort) = &task.abort {
                abort.abort();
            }
        }
        let mut ended: Vec<Finished> = Vec::new();
        while let Ok(finished) = self.finished.try_recv() {
            ended.push(finished);
        }
        for task in self.shared.held.all() {
            if !ended
                .iter()
                .any(|finished| finished.record.id == task.record.id)
            {
                ended.push(Finished {
                    record: task.record,
                    lease: task.lease,
                    ended: Ended::Released,
                });
            }
        }
        let handed_back = ended.len();
        let clock = Arc::clone(&self.shared.parts.clock);
        tokio::select! {
            () = settle::settle(&self.shared, ended) => {}
            () = clock.sleep(self.shared.parts.options.kill_grace) => {
                tracing::warn!(tasks = handed_back, "the store did not take back what was running; its leases will end by themselves");
            }
        }
        handed_back
    }

    /// On a shared store: says that this worker lives, and what it knows.
    async fn advertise(&mut self, now: Timestamp) {
        let parts = &self.shared.parts;
        let due = self
            .advertised_at
            .is_none_or(|at| now.since(at) >= ADVERTISE_EVERY);
        if !due || !self.is_shared {
            return;
        }
        self.advertised_at = Some(now);
        let info = WorkerInfo {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            queues: parts.options.queues.clone(),
            names: self
                .lanes
                .names
                .iter()
                .map(|(name, _)| name.to_string())
                .collect(),
            concurrency: parts.options.concurrency,
        };
        let Ok(value) = Payload::of(&info) else {
            return;
        };
        if let Err(error) = parts
            .store
            .put_mark(&self.mark(), value, None, Some(ADVERTISE_TTL))
            .await
        {
            tracing::debug!(%error, "the worker could not say that it lives");
        }
    }

    fn mark(&self) -> String {
        format!("{}{}", crate::client::WORKER_MARK, self.shared.parts.id)
    }

    async fn retire(&self, released: usize) {
        let parts = &self.shared.parts;
        if self.advertised_at.is_some() {
            let gone = crate::store::Commit::of([crate::store::Op::DropMark(self.mark())]);
            let clock = Arc::clone(&parts.clock);
            tokio::select! {
                // Without it the mark ends by itself.
                _ = parts.store.apply(gone) => {}
                () = clock.sleep(Duration::from_secs(1)) => {}
            }
        }
        parts.observers.notify(|| Lifecycle::WorkerStopped {
            worker: parts.id.clone(),
            released,
        });
    }
}
