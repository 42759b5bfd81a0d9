//! The loop of a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::execute::{self, Finished};
use super::heartbeat::{self, Heartbeat};
use super::overdue::{Asked, GivenUp};
use super::presence::Presence;
use super::queues::{self, Turns};
use super::{Door, Ends, Held, Runs, Shared, Starters, Stop, WorkerParts, reap, settle, starters};
use crate::error::Result;
use crate::handler::Interruption;
use crate::id::TaskId;
use crate::observe::Lifecycle;
use crate::store::{Claims, Durability, HintStream, Lanes};

/// Claims, and ends of runs, in one call to the store, at most: the first of many begin while the others are claimed.
const BATCH: usize = 256;

/// The same where each call waits for a disk of a server: so many share the wait.
const SERVER_BATCH: usize = 1_000;

/// Lost leases are looked for no more often than this, should one refuse to be taken back.
const REAP_PAUSE: Duration = Duration::from_millis(250);

/// The wait after a claim that failed.
const CLAIM_PAUSE: Duration = Duration::from_secs(1);

/// Claims, runs and settles tasks, a bounded number at once. Dropping it aborts what it runs; the leases then end by
/// themselves.
///
/// All its waits are measured on the steady clock: setting the wall clock changes nothing.
#[derive(Debug)]
pub struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) lanes: Lanes,
    /// Whose turn it is, when queues are served by weight.
    turns: Option<Turns>,
    /// Runs that ended and are not recorded yet.
    pub(super) ended: Vec<Finished>,
    /// Empty; where those go that are being recorded.
    room: Vec<Finished>,
    pub(super) given_up: GivenUp,
    /// Writes of them that failed in a row, and when to try again.
    settles_failed: usize,
    pub(super) settle_at: Duration,
    /// `None` when the store sends no more.
    pub(super) hints: Option<HintStream>,
    pub(super) poll: Duration,
    /// Something may be ready: claim when there is a free place.
    pub(super) look: bool,
    /// When to look again without a hint.
    pub(super) look_at: Option<Duration>,
    /// Running tasks that somebody wants something of.
    pub(super) woken: Vec<TaskId>,
    /// Somebody wrote something unknown: it may concern what runs here.
    pub(super) look_after: bool,
    pub(super) looked_after_at: Option<Duration>,
    reaped_at: Option<Duration>,
    pub(super) presence: Presence,
    /// Tasks of one call, at most.
    batch: usize,
}

impl Worker {
    /// A worker that has not started.
    #[must_use]
    pub fn new(parts: WorkerParts) -> Self {
        let lanes = Lanes {
            queues: parts
                .options
                .queues
                .iter()
                .map(|queue| Arc::from(queue.as_str()))
                .collect(),
            names: parts.handlers.lanes(),
            aliases: parts.handlers.aliases(),
        };
        let hints = Some(parts.store.hints().without_ends());
        let turns = Turns::new(&lanes.queues, &parts.options.weights);
        let capability = parts.store.capability();
        let poll = parts.options.poll.unwrap_or(capability.poll);
        let presence = Presence::new(capability.shared, &parts.options.declares);
        // Only a server pushes.
        let batch = match capability.durability {
            Durability::Power if capability.shared && capability.pushes => SERVER_BATCH,
            _ => BATCH,
        };
        let shared = Arc::new(Shared {
            parts,
            held: Held::default(),
            starters: Starters::default(),
            bell: Arc::default(),
            asked: Asked::default(),
            begun: AtomicUsize::new(0),
            stuck: AtomicUsize::new(0),
            left_behind: AtomicUsize::new(0),
            ends: Ends::default(),
            is_open: AtomicBool::new(false),
            released: AtomicUsize::new(0),
        });
        Self {
            shared,
            lanes,
            turns,
            ended: Vec::new(),
            room: Vec::new(),
            given_up: GivenUp::default(),
            settles_failed: 0,
            settle_at: Duration::ZERO,
            hints,
            poll,
            look: true,
            look_at: None,
            woken: Vec::new(),
            look_after: false,
            looked_after_at: None,
            reaped_at: None,
            presence,
            batch,
        }
    }

    /// Starts the thread that renews this worker's leases. A test that steps time calls [`renew`](Self::renew) instead.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn heartbeat(&self) -> Result<Heartbeat> {
        Heartbeat::start(Arc::clone(&self.shared))
    }

    /// As [`heartbeat`](Self::heartbeat), on the runtime of the caller instead of a thread.
    pub(crate) fn heartbeat_here(&self) -> Heartbeat {
        Heartbeat::here(Arc::clone(&self.shared))
    }

    /// Renews all leases once; answers whether the store took it.
    pub async fn renew(&self) -> bool {
        heartbeat::renew(&self.shared, self.shared.held.all()).await
    }

    /// Whether a run has ended whose end the next [`step`](Self::step) records, or a hint waits for it.
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.shared.ends.is_empty() || self.hints.as_ref().is_some_and(|hints| !hints.is_empty())
    }

    /// What it runs, to look at while it works.
    #[must_use]
    pub fn runs(&self) -> Runs {
        Runs(Arc::clone(&self.shared))
    }

    /// Where runs can begin that were leased to this worker as they were made.
    #[must_use]
    pub fn door(&self) -> Door {
        Door(Arc::clone(&self.shared))
    }

    /// Tasks that run now, or whose end is not recorded yet.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.held.len()
    }

    /// How long until there is something to do that no hint tells of, on the steady clock; `None` when nothing is known of.
    #[must_use]
    pub fn due_in(&self) -> Option<Duration> {
        self.known_in(true)
    }

    pub(super) fn now(&self) -> Duration {
        self.shared.parts.clock.steady().at
    }

    /// Works until `stop` has gone far enough. When its sender is gone, it works on for ever.
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
                    self.release().await;
                    break;
                }
                Stop::Abandon => break,
            }
            if phase >= Stop::Drain {
                starters::hand_back(&self.shared);
            }
            if phase >= Stop::Drain && self.is_idle() {
                break;
            }
            if phase != Stop::No {
                self.close_door();
            }
            self.look |= phase == Stop::RunDue && self.is_idle();
            let claims = |stop: &watch::Receiver<Stop>| *stop.borrow() <= Stop::RunDue;
            // Asked again just before it claims: a stop may come while it writes or reads before that.
            if self.step_while(|| claims(&stop)).await {
                // On a store that never waits this may be the only await of the loop that lets others go on.
                tokio::task::consume_budget().await;
                continue;
            }
            if phase == Stop::RunDue && self.is_idle() {
                break;
            }
            let may_claim = claims(&stop);
            self.wait(&mut stop, may_claim).await;
        }
        self.presence.leave(&self.shared.parts).await;
        let parts = &self.shared.parts;
        parts.observers.notify(|| Lifecycle::WorkerStopped {
            worker: parts.id.clone(),
            released: self.shared.released.load(Ordering::Relaxed),
        });
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.running() == 0 && self.ended.is_empty() && self.shared.ends.is_empty()
    }

    /// Settles what ended and claims what is ready; answers whether there may be more to do at once.
    pub async fn step(&mut self, may_claim: bool) -> bool {
        self.step_while(|| may_claim).await
    }

    async fn step_while(&mut self, may_claim: impl Fn() -> bool) -> bool {
        self.take_ends();
        self.heed_waiting_hints();
        self.ask_woken().await;
        let now = self.now();
        // Before it claims: what it declares holds for its first task, too.
        self.presence
            .say(&self.shared.parts, &self.lanes, now)
            .await;
        let now = self.now();
        if self.look_at.is_some_and(|at| at <= now) {
            self.look = true;
        }
        let settling_now = if self.settle_at <= now {
            self.ended.len().min(self.batch)
        } else {
            0
        };
        let mut ended = std::mem::take(&mut self.room);
        ended.extend(self.ended.drain(..settling_now));
        let claims = self.look && self.presence.lets_claim() && may_claim();
        if claims {
            // Until this claim has shown otherwise, others wait for a place.
            self.close_door();
        }
        let places = self.places() + settling_now;
        let wanted = if claims {
            self.shared.held.promise(places, self.batch)
        } else {
            0
        };
        // Both at once: a store with group commit writes them in one transaction.
        let shared = Arc::clone(&self.shared);
        let settling = async {
            if settling_now > 0 {
                settle::settle(&shared, ended).await
            } else {
                ended
            }
        };
        let claiming = async {
            if wanted > 0 {
                Some(self.claim(wanted).await)
            } else {
                None
            }
        };
        let (unsettled, claimed) = tokio::join!(settling, claiming);
        let settled = settling_now - unsettled.len();
        self.settle_later(unsettled);
        let mut progressed = settled > 0;
        match claimed {
            Some(Ok(claims)) => progressed |= self.take(claims, wanted).await,
            Some(Err(error)) => {
                self.shared.held.insert(Vec::new(), wanted);
                self.claim_later(&error);
            }
            None => {}
        }
        progressed |= self.reap_now_and_then().await;
        progressed
    }

    /// Places of runs, and those of tasks that wait for one.
    fn places(&self) -> usize {
        let options = &self.shared.parts.options;
        options.concurrency.saturating_add(options.prefetch)
    }

    /// Places that neither a run nor an end that is not recorded takes, and those for tasks that wait for one.
    pub(super) fn free_places(&self) -> usize {
        self.shared.held.free(self.places())
    }

    /// Runs begin only by being claimed, until a claim leaves nothing behind.
    pub(super) fn close_door(&self) {
        self.shared.is_open.store(false, Ordering::Release);
    }

    fn settle_later(&mut self, unsettled: Vec<Finished>) {
        if unsettled.is_empty() {
            self.settles_failed = 0;
            self.room = unsettled;
            return;
        }
        self.settles_failed += 1;
        self.settle_at = self.now() + settle::pause(self.settles_failed);
        self.ended.extend(unsettled);
    }

    async fn claim(&mut self, limit: usize) -> Result<Claims> {
        let parts = &self.shared.parts;
        match &mut self.turns {
            Some(turns) => turns.claim(parts, &self.lanes, limit).await,
            None => queues::claim(parts, &self.lanes, self.lanes.queues.clone(), limit).await,
        }
    }

    fn claim_later(&mut self, error: &crate::Error) {
        tracing::warn!(%error, "claiming failed; trying again");
        self.shared
            .parts
            .observers
            .notify(|| Lifecycle::StoreFailed {
                operation: "claim",
                error: error.to_string(),
            });
        self.look = false;
        self.look_at = Some(self.now() + CLAIM_PAUSE);
    }

    /// Starts what was claimed and remembers when to look again; answers whether there may be more at once.
    async fn take(&mut self, claims: Claims, asked: usize) -> bool {
        let started = claims.tasks.len();
        execute::start(&self.shared, claims.tasks, asked);
        self.look = claims.more || started == asked;
        let now = self.now();
        // The store's clock may differ from ours: what counts is how long from its now.
        let wait = claims.next_due.map(|due| due.since(claims.now));
        let is_open = !self.look && wait != Some(Duration::ZERO);
        self.shared.is_open.store(is_open, Ordering::Release);
        self.look_at = wait.map(|wait| now + wait);
        if started == 0 && !self.look && wait == Some(Duration::ZERO) {
            // What is overdue and cannot be claimed is a lease that ended.
            self.look |= self.reap(REAP_PAUSE).await;
            if !self.look {
                self.look_at = Some(now + REAP_PAUSE);
            }
        }
        started > 0 || self.look
    }

    /// A worker that always finds work, or whose places are all taken, looks for lost leases all the same.
    async fn reap_now_and_then(&mut self) -> bool {
        let every = self.shared.parts.options.lease / 3;
        if self.reaped_at.is_none() {
            // What was lost before this worker came is seen by its first claims.
            self.reaped_at = Some(self.now());
        }
        let taken = self.reap(every.max(REAP_PAUSE)).await;
        self.look |= taken;
        taken
    }

    /// Takes back lost leases, unless that was done less than this ago; answers whether there were any.
    async fn reap(&mut self, every: Duration) -> bool {
        let now = self.now();
        if self.reaped_at.is_some_and(|at| now < at + every) {
            return false;
        }
        self.reaped_at = Some(now);
        match reap::reap(&self.shared).await {
            Ok(taken) => taken > 0,
            Err(error) => {
                tracing::warn!(%error, "lost leases could not be looked for");
                false
            }
        }
    }
}
