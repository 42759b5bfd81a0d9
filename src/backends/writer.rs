//! Group commit: one thread that writes for everybody, many commits in one transaction.
//!
//! A synchronous write to disk costs as much as dozens of rows, so callers that wait at the same time share one. While the
//! disk is busy with a group the next one gathers by itself; nobody waits for a timer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::deadline::{CALL_TIMEOUT, Turn, within};
use super::handed::{Handed, Leases, Returned};
use super::sync::{AtomicBool, Mutex, Ordering, mpsc, oneshot, std_mpsc, thread};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::id::IdSource;
use crate::store::kv::{self, Moment, Overlay, RowEngine, Rows, Table};
use crate::store::{
    ClaimRequest, Claims, Commit, Committed, Hint, HintSender, Maintain, Maintained,
};

/// Commits of one group, at most; what waits beyond goes into the next.
const GROUP_LIMIT: usize = 512;

/// Callers that may wait for the writer before others wait to ask.
const WAITING_LIMIT: usize = 4096;

enum Job {
    Commit(Vec<Commit>, Reply<Handed<Vec<Committed>>>),
    Claim(Box<ClaimRequest>, Reply<Handed<Claims>>),
    Maintain(Maintain, Reply<Maintained>),
}

/// Where the answer goes, unless the caller gives up before its turn.
struct Reply<T> {
    to: oneshot::Sender<Result<T>>,
    turn: Turn,
}

impl<T> Reply<T> {
    /// To nobody.
    fn aside(turn: Turn) -> Self {
        let (to, _) = oneshot::channel();
        Self { to, turn }
    }

    fn send(self, answer: Result<T>) {
        // A caller that went away does not hear the answer; what was written stays written, but leases that it cannot
        // take go back.
        let _ = self.to.send(answer);
    }
}

/// How long dropping the store waits for the writes under way, so that the engine is closed when it returns.
const CLOSING_LIMIT: Duration = Duration::from_secs(2);

/// The door to the writer thread. The thread ends, after what was asked before, when the door is dropped.
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` only while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    /// How long a caller waits for its answer.
    pub(super) limit: Duration,
    /// Disconnected when the thread has ended.
    ended: Mutex<std_mpsc::Receiver<()>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let _ = self.ended.get_mut().recv_timeout(CLOSING_LIMIT);
    }
}

impl Writer {
    pub(super) fn start<E: RowEngine>(
        engine: Arc<E>,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
        hints: HintSender,
    ) -> Result<Self> {
        let (jobs, waiting) = mpsc::channel(WAITING_LIMIT);
        let group = Group {
            jobs: jobs.downgrade(),
            returned: Returned::default(),
            engine,
            clock,
            ids,
            hints,
            failing: AtomicBool::new(false),
        };
        let (ending, ended) = std_mpsc::channel();
        thread::Builder::new()
            .name("tlo-writer".to_owned())
            .spawn(move || {
                group.serve(waiting);
                drop(group);
                drop::<std_mpsc::Sender<()>>(ending);
            })
            .map_err(|source| {
                Error::new(
                    ErrorKind::Unavailable,
                    "open store",
                    "the writer thread did not start",
                )
                .with_source(source)
            })?;
        Ok(Self {
            jobs: Some(jobs),
            limit: CALL_TIMEOUT,
            ended: Mutex::new(ended),
        })
    }

    pub(super) async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        let handed = self
            .ask("commit", |reply| Job::Commit(commits, reply))
            .await?;
        handed.take().ok_or_else(|| taken("commit"))
    }

    pub(super) async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        let handed = self
            .ask("claim", |reply| Job::Claim(Box::new(request), reply))
            .await?;
        handed.take().ok_or_else(|| taken("claim"))
    }

    pub(super) async fn maintain(&self, request: Maintain) -> Result<Maintained> {
        self.ask("maintain", |reply| Job::Maintain(request, reply))
            .await
    }

    async fn ask<T>(
        &self,
        operation: &'static str,
        job: impl FnOnce(Reply<T>) -> Job,
    ) -> Result<T> {
        let (to, answer) = oneshot::channel();
        let turn = Turn::default();
        let reply = Reply {
            to,
            turn: turn.clone(),
        };
        let closed = || {
            Error::new(
                ErrorKind::Closed,
                "write",
                "the writer of this store has stopped",
            )
        };
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        let asking = async {
            jobs.send(job(reply)).await.map_err(|_| closed())?;
            answer.await.map_err(|_| closed())?
        };
        within(self.limit, asking)
            .await
            .unwrap_or_else(|| Err(turn.give_up(operation, self.limit)))
    }
}

fn taken(operation: &'static str) -> Error {
    Error::new(
        ErrorKind::Internal,
        operation,
        "the answer was taken before",
    )
}

struct Group<E> {
    /// The door, as long as it is there.
    jobs: mpsc::WeakSender<Job>,
    /// Leases that nobody took: the next group hands them back.
    returned: Returned,
    engine: Arc<E>,
    clock: Arc<dyn Clock>,
    ids: Arc<IdSource>,
    hints: HintSender,
    /// The latest group was not written.
    failing: AtomicBool,
}

impl<E: RowEngine> Group<E> {
    fn serve(&self, mut waiting: mpsc::Receiver<Job>) {
        loop {
            let mut next = if self.returned.is_empty() {
                match waiting.blocking_recv() {
                    Some(first) => Some(first),
                    None => break,
                }
            } else {
                waiting.try_recv().ok()
            };
            let mut weight = 0;
            let mut jobs = Vec::new();
            while let Some(job) = next {
                if begins(&job) {
                    weight += self::weight(&job);
                    jobs.push(job);
                }
                next = if weight < GROUP_LIMIT {
                    waiting.try_recv().ok()
                } else {
                    None
                };
            }
            let returned = self.returned.take();
            if !returned.is_empty() {
                // First, so that the claims of this group find them.
                jobs.insert(0, Job::Commit(returned, Reply::aside(Turn::default())));
            }
            if !jobs.is_empty() {
                self.run(jobs);
            }
        }
    }

    /// An answer that returns its leases when nobody takes it.
    fn hand<T: Leases>(&self, answer: T) -> Handed<T> {
        let jobs = self.jobs.clone();
        let wake = move || {
            // Without room, or behind a closed door, the writer looks anyway.
            if let Some(jobs) = jobs.upgrade() {
                let nothing = Job::Commit(Vec::new(), Reply::aside(Turn::given_up()));
                let _ = jobs.try_send(nothing);
            }
        };
        Handed::new(answer, self.returned.clone(), Box::new(wake))
    }

    fn run(&self, jobs: Vec<Job>) {
        let written = catch_unwind(AssertUnwindSafe(|| self.write(&jobs))).unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Internal,
                "write",
                "the store met a fault of its own; nothing of this group of writes was kept",
            ))
        });
        match written {
            Ok((answers, hints)) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("writing works again");
                }
                // Before the answers: who has one finds that the hint of its write is out.
                for hint in hints {
                    self.hints.send(hint);
                }
                for (job, done) in jobs.into_iter().zip(answers) {
                    match done {
                        Ok(done) => self.answer(job, done),
                        Err(error) => refuse(job, error),
                    }
                }
            }
            Err(error) => {
                self.note_failure(&error, jobs.len());
                for job in jobs {
                    refuse(job, again(&error));
                }
            }
        }
    }

    fn answer(&self, job: Job, done: Done) {
        match (job, done) {
            (Job::Commit(_, reply), Done::Commit(done)) => reply.send(Ok(self.hand(done))),
            (Job::Claim(_, reply), Done::Claim(done)) => reply.send(Ok(self.hand(done))),
            (Job::Maintain(_, reply), Done::Maintain(done)) => reply.send(Ok(done)),
            (job, _) => refuse(
                job,
                Error::new(ErrorKind::Internal, "write", "an answer of another kind"),
            ),
        }
    }

    /// Logs the first of a row of failures: a full disk is one line, not one for each caller.
    fn note_failure(&self, error: &Error, jobs: usize) {
        if self.failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(%error, jobs, "a group of writes failed");
        } else {
            tracing::error!(%error, jobs, "a group of writes failed; each caller is told");
        }
    }

    /// One transaction. A job whose own rows cannot be read fails alone; a failing engine fails them all.
    fn write(&self, jobs: &[Job]) -> Result<(Vec<Result<Done>>, Vec<Hint>)> {
        let mut answers = Vec::with_capacity(jobs.len());
        let mut hints = Vec::new();
        self.engine.write(&mut |rows: &mut dyn Rows| {
            answers.clear();
            let moment = Moment::of(&*self.clock);
            let mut overlay = Overlay::new(rows, &self.ids, moment);
            for job in jobs {
                let before = overlay.savepoint();
                let done = apply(&mut overlay, job);
                match &done {
                    Err(error) if error.is_retryable() => {
                        return done.map(drop);
                    }
                    Err(_) => overlay.rollback(before),
                    Ok(_) => {}
                }
                answers.push(done);
            }
            hints = overlay.flush()?;
            Ok(())
        })?;
        Ok((answers, hints))
    }
}

/// Begins a job; false when nobody wants it any more. What was submitted is written even when its caller went away;
/// leases for nobody are not taken.
fn begins(job: &Job) -> bool {
    match job {
        Job::Commit(_, reply) => reply.turn.begin(),
        Job::Claim(_, reply) => !reply.to.is_closed() && reply.turn.begin(),
        Job::Maintain(_, reply) => reply.turn.begin(),
    }
}

fn weight(job: &Job) -> usize {
    match job {
        Job::Commit(commits, _) => commits.len().max(1),
        Job::Claim(request, _) => request.limit.max(1),
        Job::Maintain(request, _) => request.limit.max(1),
    }
}

enum Done {
    Commit(Vec<Committed>),
    Claim(Claims),
    Maintain(Maintained),
}

fn apply(overlay: &mut Overlay<'_>, job: &Job) -> Result<Done> {
    Ok(match job {
        Job::Commit(commits, _) => Done::Commit(
            commits
                .iter()
                // Kept: a group that fails is tried again, caller by caller.
                .map(|commit| kv::commit(overlay, commit.clone()))
                .collect::<Result<_>>()?,
        ),
        Job::Claim(request, _) => Done::Claim(kv::claim(overlay, request)?),
        Job::Maintain(request, _) => Done::Maintain(kv::maintain(overlay, request)?),
    })
}

fn refuse(job: Job, error: Error) {
    match job {
        Job::Commit(_, reply) => reply.send(Err(error)),
        Job::Claim(_, reply) => reply.send(Err(error)),
        Job::Maintain(_, reply) => reply.send(Err(error)),
    }
}

/// The same error for one more caller of the group.
fn again(error: &Error) -> Error {
    Error::new(
        error.kind(),
        error.operation().to_owned(),
        error.to_string(),
    )
    .retryable(error.is_retryable())
}

#[cfg(test)]
#[path = "writer_cases.rs"]
mod cases;

#[cfg(all(test, tlo_shuttle))]
#[path = "writer_interleavings.rs"]
mod interleavings;
