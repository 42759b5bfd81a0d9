//! Group commit: callers that wait at the same time share one call of the script.
//!
//! While a group is under way the next one gathers by itself; nobody waits for a timer. Two are under way at most: one that
//! the server works on, and one that travels.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use redis::Value;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::answers::Values;
use super::args::Args;
use super::encode::{Encoded, Form};
use super::fault::{again, unexpected};
use super::link::Link;
use super::now::Now;
use super::scripts::Scripts;
use crate::backends::deadline::Turn;
use crate::error::{Error, ErrorKind, Result};

/// Commits of one group, at most: a script keeps the server from everything else while it runs.
const GROUP_LIMIT: usize = 512;

/// Bytes of one group, at most, unless a single caller has more.
const GROUP_BYTES: usize = 8 << 20;

const UNDER_WAY: usize = 2;

/// Callers that may wait before others wait to ask.
const WAITING_LIMIT: usize = 4096;

/// Commits of one caller.
pub(super) struct Job {
    pub(super) commits: Arc<[Encoded]>,
    pub(super) turn: Turn,
    pub(super) to: oneshot::Sender<Result<Vec<Value>>>,
}

impl Job {
    fn bytes(&self) -> usize {
        self.commits.iter().map(|commit| commit.args.bytes()).sum()
    }
}

/// The door to the groups.
#[derive(Clone, Debug)]
pub(super) struct Gather(mpsc::Sender<Job>);

impl Gather {
    /// Starts on this runtime; ends when the last door is dropped.
    pub(super) fn start(
        runtime: &tokio::runtime::Handle,
        link: Arc<Link>,
        scripts: Arc<Scripts>,
        now: Now,
    ) -> Self {
        let (to, waiting) = mpsc::channel(WAITING_LIMIT);
        runtime.spawn(serve(waiting, link, scripts, now));
        Self(to)
    }

    /// Sends commits and waits for an answer to each.
    pub(super) async fn commit(&self, commits: Arc<[Encoded]>, turn: Turn) -> Result<Vec<Value>> {
        let (to, answer) = oneshot::channel();
        let job = Job { commits, turn, to };
        let closed = || Error::new(ErrorKind::Closed, "commit", "the store was closed");
        self.0.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

async fn serve(mut waiting: mpsc::Receiver<Job>, link: Arc<Link>, scripts: Arc<Scripts>, now: Now) {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY));
    let quick = Arc::new(Quick::default());
    let mut next = None;
    loop {
        let first = match next.take() {
            Some(job) => job,
            None => match waiting.recv().await {
                Some(job) => job,
                None => return,
            },
        };
        // Never closed. While this waits, more gather.
        let Ok(permit) = Arc::clone(&under_way).acquire_owned().await else {
            return;
        };
        let (mut commits, mut bytes) = (first.commits.len(), first.bytes());
        let mut jobs = vec![first];
        while let Ok(job) = waiting.try_recv() {
            commits += job.commits.len();
            bytes += job.bytes();
            if commits > GROUP_LIMIT || bytes > GROUP_BYTES {
                next = Some(job);
                break;
            }
            jobs.push(job);
        }
        let (link, scripts, now) = (Arc::clone(&link), Arc::clone(&scripts), now.clone());
        let quick = Arc::clone(&quick);
        tokio::spawn(async move {
            send(jobs, &link, &scripts, &now, &quick).await;
            drop(permit);
        });
    }
}

async fn send(mut jobs: Vec<Job>, link: &Link, scripts: &Scripts, now: &Now, quick: &Quick) {
    // What was submitted is written even when its caller went away; what its caller gave up is not begun.
    jobs.retain(|job| job.turn.begin());
    if jobs.is_empty() {
        return;
    }
    let commits: Vec<&Encoded> = jobs.iter().flat_map(|job| &*job.commits).collect();
    let mut answers = Vec::with_capacity(commits.len());
    let mut sent = ask(&commits, &mut answers, (link, scripts, now), quick).await;
    if let Ok(connection) = sent {
        sent = link
            .wait_for_replicas("commit", connection)
            .await
            .map(|()| connection);
        if sent.is_err() {
            answers.clear();
        }
    }
    let mut answers = answers.into_iter();
    for job in jobs {
        let mine: Vec<Value> = answers.by_ref().take(job.commits.len()).collect();
        let mine = match (mine.len() == job.commits.len(), &sent) {
            (true, _) => Ok(mine),
            (false, Err(error)) => Err(again(error)),
            (false, Ok(_)) => Err(unexpected("commit")),
        };
        let _ = job.to.send(mine);
    }
}

/// Gathers the answers, as far as they come. Says which connection all were written on; 0 when they were several.
async fn ask(
    commits: &[&Encoded],
    answers: &mut Vec<Value>,
    (link, scripts, now): (&Link, &Scripts, &Now),
    quick: &Quick,
) -> Result<u64> {
    let mut first = None;
    if commits.iter().all(|commit| commit.form != Form::General) && quick.is_worth_a_try() {
        let (answer, connection) = link
            .eval_numbered(&scripts.quick_commit, &args(commits, now))
            .await?;
        first = Some(connection);
        answers.extend(Values::of("commit", answer)?);
        if answers.len() < commits.len() {
            quick.ended();
        }
    }
    let left = &commits[answers.len().min(commits.len())..];
    if !left.is_empty() {
        let (answer, connection) = link
            .eval_numbered(&scripts.commit, &args(left, now))
            .await?;
        answers.extend(Values::of("commit", answer)?);
        if *first.get_or_insert(connection) != connection {
            first = Some(0);
        }
    }
    Ok(first.unwrap_or(0))
}

fn args(commits: &[&Encoded], now: &Now) -> Args {
    let mut args = now.args();
    args.number(commits.iter().map(|commit| commit.ids.len()).sum::<usize>());
    for commit in commits {
        args.append(&commit.ids);
    }
    args.number(commits.len());
    for commit in commits {
        args.append(&commit.args);
    }
    args
}

/// Whether the quick script is asked first. Where it met something that is not plain there is likely more of it.
#[derive(Debug, Default)]
pub(super) struct Quick(AtomicU32);

/// Calls that go the general way after the quick one ended early.
const GENERAL: u32 = 8;

impl Quick {
    pub(super) fn is_worth_a_try(&self) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        let left = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        left.is_err()
    }

    pub(super) fn ended(&self) {
        self.0.store(GENERAL, Ordering::Relaxed);
    }
}
