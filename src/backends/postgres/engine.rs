//! Transactions from their begin to their end: connections, tries, the clock, hints.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::Object;

use super::fault::Fault;
use super::floor::{Floor, Since};
use super::held::HeldRecords;
use super::link::Link;
use super::needs::Needs;
use super::pool::Connections;
use super::quick::Pause;
use super::table::{Sketch, Spare, Tokens};
use super::tell::Teller;
use super::transaction::{Job, Tried, is_kept};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{IdSource, TaskId};
use crate::store::{ClaimRequest, Hint, HintSender};
use crate::task::TaskStateRecord;
use crate::timestamp::Timestamp;

/// Times that others may be in the way of one transaction.
const COLLISIONS: usize = 50;

/// Rows that this store adds to the tally before it folds them.
const FOLD_AT: usize = 2_000;

const FOLD: &str = "WITH gone AS (DELETE FROM @tally RETURNING line, queue, name, status, n) \
    INSERT INTO @tally (line, queue, name, status, n) \
    SELECT line, queue, name, status, sum(n) FROM gone GROUP BY line, queue, name, status HAVING sum(n) <> 0";

/// What the tasks on the thread of the connections share.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) connections: Connections,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ids: Arc<IdSource>,
    pub(super) hints: HintSender,
    pub(super) teller: Teller,
    pub(super) limit: Duration,
    tallied: AtomicUsize,
    spare: Spare,
    held: HeldRecords,
    pub(super) pause: Pause,
    pub(super) floor: Floor,
}

/// A connection on loan. Given back in the middle of a transaction it is closed.
pub(super) struct Lent {
    object: Option<Object>,
    /// Whether no transaction is open on it.
    pub(super) clean: bool,
}

impl Lent {
    /// Closes it when it was cut. One that is dead without a word looks whole to the pool.
    pub(super) fn keep_unless_cut<T>(&mut self, read: &Result<T, Fault>) {
        self.clean = !read.as_ref().is_err_and(Fault::is_cut);
    }

    pub(super) fn object(&self) -> Result<&Object> {
        self.object.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                "use a connection",
                "the connection is gone",
            )
        })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(object) = self.object.take().filter(|_| !self.clean) {
            drop(Object::take(object));
        }
    }
}

impl Engine {
    pub(super) fn new(
        connections: Connections,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
        hints: HintSender,
        teller: Teller,
        limit: Duration,
    ) -> Self {
        Self {
            connections,
            clock,
            ids,
            hints,
            teller,
            limit,
            tallied: AtomicUsize::new(0),
            spare: Spare::default(),
            held: HeldRecords::default(),
            pause: Pause::default(),
            floor: Floor::default(),
        }
    }

    /// The time to go by, when it is not that of the server.
    pub(super) fn given_now(&self) -> Option<Timestamp> {
        (!self.clock.is_of_the_machine()).then(|| self.clock.now())
    }

    /// From where on a claim looks. By a clock that is stepped nothing takes long.
    pub(super) fn from(&self, request: &ClaimRequest) -> Since {
        match self.given_now() {
            Some(_) => Since::START,
            None => self.floor.next(request),
        }
    }

    pub(super) async fn lend(&self, operation: &'static str) -> Result<Lent> {
        Ok(Lent {
            object: Some(self.connections.get(operation).await?),
            clean: true,
        })
    }

    /// Runs a verb in a transaction of its own, again when others were in the way, and tells what came of it.
    pub(super) async fn transact<T: Send>(
        &self,
        operation: &'static str,
        needs: Needs,
        fresh: impl IntoIterator<Item = TaskId>,
        claim: Option<&ClaimRequest>,
        mut verb: impl FnMut(&mut Sketch<'_>) -> Result<T> + Send,
    ) -> Result<T> {
        let mut job = Job {
            tokens: Tokens::new(&self.ids, Some(&self.spare)),
            now: None,
            claim,
            from: claim.map_or(Since::START, |request| self.from(request)),
            floor: Some(&self.floor),
            fresh: fresh.into_iter().collect(),
            held: self.held.take(&needs.records),
            begin: Some(self.connections.begin()),
            needs,
        };
        let begun = SystemClock.steady().at;
        let mut collisions = 0;
        loop {
            job.now = self.given_now();
            let waited = SystemClock.steady().at.saturating_sub(begun);
            match self.attempt(operation, &mut job, &mut verb).await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => collisions += 1,
                Err(Broken::Again(error)) if waited * 2 < self.limit => {
                    tracing::debug!(%error, operation, "the connection was cut before the commit; trying again");
                    SystemClock.sleep(Duration::from_millis(100)).await;
                }
                Err(Broken::Again(error) | Broken::Failed(error)) => return Err(error),
            }
            if collisions > COLLISIONS {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    operation,
                    "others were in the way again and again, so nothing was written; try again",
                ));
            }
            if collisions > 2 {
                let pause =
                    self.ids.unit() * 0.002 * f64::from(u32::try_from(collisions).unwrap_or(1));
                SystemClock.sleep(Duration::from_secs_f64(pause)).await;
            }
        }
    }

    /// One try; `None` when somebody was in the way.
    async fn attempt<T: Send>(
        &self,
        operation: &'static str,
        job: &mut Job<'_>,
        verb: &mut (impl FnMut(&mut Sketch<'_>) -> Result<T> + Send),
    ) -> Result<Option<T>, Broken> {
        let mut lent = self.lend(operation).await.map_err(Broken::Failed)?;
        lent.clean = false;
        let link = self
            .connections
            .link(lent.object().map_err(Broken::Failed)?);
        let tried = job.run(link, verb).await;
        let (answer, hints, tallied, leased) = match tried {
            Ok(Tried::Written {
                answer,
                hints,
                tallied,
                leased,
            }) => (answer, hints, tallied, leased),
            Ok(Tried::Again) => {
                let back = link.batch("ROLLBACK").await;
                lent.clean = back.is_ok();
                return Ok(None);
            }
            Err(fault) if fault.is_collision() => {
                let back = link.batch("ROLLBACK").await;
                lent.clean = back.is_ok();
                return Ok(None);
            }
            Err(fault) if fault.is_cut() => return Err(Broken::before(operation, fault)),
            Err(fault) => {
                let back = link.batch("ROLLBACK").await;
                lent.clean = back.is_ok();
                return Err(Broken::Failed(fault.into_error(operation)));
            }
        };
        if !self.end(operation, link, tallied).await? {
            return Ok(None);
        }
        lent.clean = true;
        if let Some((writer, leased)) = leased {
            self.held.keep(&writer, leased);
        }
        self.fold(tallied.unwrap_or(0), &lent).await;
        drop(lent);
        self.tell(hints);
        Ok(Some(answer))
    }

    /// Commits when there is something to keep; false when the server did not because somebody was in the way.
    pub(super) async fn end(
        &self,
        operation: &'static str,
        link: Link<'_>,
        tallied: Option<usize>,
    ) -> Result<bool, Broken> {
        let end = if tallied.is_some() {
            "COMMIT"
        } else {
            "ROLLBACK"
        };
        let Err(fault) = link.batch(end).await else {
            return Ok(true);
        };
        if fault.is_collision() {
            return Ok(false);
        }
        if tallied.is_none() {
            return Err(Broken::before(operation, fault));
        }
        let error = fault.into_error(operation);
        let message = format!("whether this was written is not known: {error}");
        let told = Error::new(error.kind(), operation, message)
            .retryable(error.is_retryable())
            .with_source(error);
        Err(Broken::Failed(told))
    }

    /// Keeps what was leased until it ends.
    pub(super) fn hold(&self, writer: &Arc<str>, leased: &[Arc<TaskStateRecord>]) {
        let leased = leased.iter().filter(|record| is_kept(record));
        self.held.keep(writer, leased.cloned().collect());
    }

    /// Folds the tally now and then: writers only add to it.
    pub(super) async fn fold(&self, tallied: usize, lent: &Lent) {
        let before = self.tallied.fetch_add(tallied, Ordering::Relaxed);
        if before + tallied < FOLD_AT {
            return;
        }
        self.tallied.store(0, Ordering::Relaxed);
        if let Ok(object) = lent.object()
            && let Err(fault) = self.connections.link(object).execute(FOLD, &[]).await
        {
            let error = fault.into_error("fold the tally");
            tracing::debug!(%error, "the tally was not folded");
        }
    }

    /// Tells who listens here, and other processes.
    pub(super) fn tell(&self, hints: Vec<Hint>) {
        let mut last_ready = None;
        for hint in hints {
            if let Hint::Ready(queue) = &hint {
                if last_ready.as_ref() == Some(queue) {
                    continue;
                }
                last_ready = Some(Arc::clone(queue));
            }
            self.teller.tell(&hint);
            if !matches!(hint, Hint::Finished(_)) || self.hints.tells_ends() {
                self.hints.send(hint);
            }
        }
    }
}

/// Why a try failed.
pub(super) enum Broken {
    /// The connection was cut before anything could have been committed.
    Again(Error),
    /// For good.
    Failed(Error),
}

impl Broken {
    fn before(operation: &'static str, fault: Fault) -> Self {
        if fault.is_cut() {
            Self::Again(fault.into_error(operation))
        } else {
            Self::Failed(fault.into_error(operation))
        }
    }
}
