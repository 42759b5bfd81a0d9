//! Group commit: callers that wait at the same time share one call of the script.
//!
//! While a group is under way the next one gathers by itself; nobody waits for a timer. Two are under way at most: one that
//! the server works on, and one that travels.

use std::sync::Arc;

use redis::Value;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::answers::Values;
use super::args::Args;
use super::fault::{again, unexpected};
use super::link::Link;
use super::now::Now;
use super::scripts::Scripts;
use crate::backends::deadline::Turn;
use crate::error::{Error, ErrorKind, Result};

/// Commits of one group, at most: a script keeps the server from everything else while it runs.
const GROUP_LIMIT: usize = 256;

/// Bytes of one group, at most, unless a single caller has more.
const GROUP_BYTES: usize = 8 << 20;

const UNDER_WAY: usize = 2;

/// Callers that may wait before others wait to ask.
const WAITING_LIMIT: usize = 4096;

/// Commits of one caller, with how many they are.
pub(super) struct Job {
    pub(super) commits: usize,
    pub(super) ids: Args,
    pub(super) args: Args,
    pub(super) turn: Turn,
    pub(super) to: oneshot::Sender<Result<Vec<Value>>>,
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
    pub(super) async fn commit(
        &self,
        commits: usize,
        (ids, args): (Args, Args),
        turn: Turn,
    ) -> Result<Vec<Value>> {
        let (to, answer) = oneshot::channel();
        let job = Job {
            commits,
            ids,
            args,
            turn,
            to,
        };
        let closed = || Error::new(ErrorKind::Closed, "commit", "the store was closed");
        self.0.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

async fn serve(mut waiting: mpsc::Receiver<Job>, link: Arc<Link>, scripts: Arc<Scripts>, now: Now) {
    let under_way = Arc::new(Semaphore::new(UNDER_WAY));
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
        let (mut commits, mut bytes) = (first.commits, first.args.bytes());
        let mut jobs = vec![first];
        while let Ok(job) = waiting.try_recv() {
            commits += job.commits;
            bytes += job.args.bytes();
            if commits > GROUP_LIMIT || bytes > GROUP_BYTES {
                next = Some(job);
                break;
            }
            jobs.push(job);
        }
        let (link, scripts, now) = (Arc::clone(&link), Arc::clone(&scripts), now.clone());
        tokio::spawn(async move {
            send(jobs, &link, &scripts, &now).await;
            drop(permit);
        });
    }
}

async fn send(mut jobs: Vec<Job>, link: &Link, scripts: &Scripts, now: &Now) {
    // What was submitted is written even when its caller went away; what its caller gave up is not begun.
    jobs.retain(|job| job.turn.begin());
    if jobs.is_empty() {
        return;
    }
    let mut args = now.args();
    args.number(jobs.iter().map(|job| job.ids.len()).sum::<usize>());
    for job in &jobs {
        args.append(&job.ids);
    }
    args.number(jobs.iter().map(|job| job.commits).sum::<usize>());
    for job in &jobs {
        args.append(&job.args);
    }
    let answers = async {
        let answer = link.eval(&scripts.commit, &args).await?;
        link.wait_for_replicas("commit").await?;
        Values::of("commit", answer)
    };
    match answers.await {
        Ok(mut answers) => {
            for job in jobs {
                let mine: Vec<Value> = answers.by_ref().take(job.commits).collect();
                let mine = match mine.len() == job.commits {
                    true => Ok(mine),
                    false => Err(unexpected("commit")),
                };
                let _ = job.to.send(mine);
            }
        }
        Err(error) => {
            for job in jobs {
                let _ = job.to.send(Err(again(&error)));
            }
        }
    }
}
