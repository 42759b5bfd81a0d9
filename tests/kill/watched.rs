//! A store that writes down what it was told about leases, and lets the call that may die be alone.

use std::sync::Arc;

use tlo::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Effect, Event, Guard,
    HintStream, Holdings, Maintain, Maintained, Mark, Op, SharedStore, StreamId, TaskFilter,
    TaskStateStore,
};
use tlo::task::TaskSummary;
use tlo::{Page, PageRequest, Result, TaskId, TaskStateRecord};
use tokio::sync::RwLock;

use crate::journal::{self, Journal, Note, UnderLease};
use crate::trap::{Stage, Trap, Verb};

#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) inner: SharedStore,
    pub(crate) journal: Arc<Journal>,
    pub(crate) trap: Option<Arc<Trap>>,
    /// Held for writing by the call that may die, by the others for reading.
    pub(crate) alone: RwLock<()>,
}

impl Watched {
    pub(crate) fn around(inner: SharedStore, journal: Arc<Journal>) -> Self {
        Self {
            inner,
            journal,
            trap: None,
            alone: RwLock::default(),
        }
    }

    async fn call<T>(
        &self,
        verb: Option<Verb>,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let trap = self.trap.as_ref();
        let Some(trap) = trap.filter(|trap| verb.is_some_and(|verb| trap.wants(verb))) else {
            let _others = self.alone.read().await;
            return call.await;
        };
        if trap.point().of_many {
            // It wants company.
            let _others = self.alone.read().await;
            return call.await;
        }
        let _nobody_else = self.alone.write().await;
        if trap.point().stage == Stage::Asked {
            trap.spring();
        }
        trap.set(true);
        let answer = call.await;
        trap.set(false);
        answer
    }
}

/// What a commit is for.
fn verb_of(commit: &Commit) -> Option<Verb> {
    let guards = &commit.guards;
    match commit.ops.first()? {
        Op::Create(_) if guards.iter().any(|g| matches!(g, Guard::Mark(..))) => Some(Verb::Fire),
        Op::Create(_) => Some(Verb::Submit),
        Op::Settle(..) if guards.iter().any(|g| matches!(g, Guard::Expired(..))) => {
            Some(Verb::Reap)
        }
        Op::Extend(..) => Some(Verb::Extend),
        _ if commit.ops.iter().any(|op| matches!(op, Op::Settle(..))) => Some(Verb::Settle),
        _ => None,
    }
}

/// A write under a lease: of which task and fence, and what.
fn under_lease(commit: &Commit) -> Option<(TaskId, u64, UnderLease)> {
    let held = commit.guards.iter().find_map(|guard| match guard {
        Guard::Held(id, lease) => Some((id.clone(), lease.fence)),
        _ => None,
    });
    let (id, fence) = held?;
    let has = |of: fn(&Op) -> bool| commit.ops.iter().any(of);
    let write = if has(|op| matches!(op, Op::Settle(..))) {
        UnderLease::Settle
    } else if has(|op| matches!(op, Op::Patch(..))) {
        UnderLease::Progress
    } else {
        UnderLease::Extend
    };
    Some((id, fence, write))
}

/// An end by the wall clock, on the clock since boot. Should the process be stopped meanwhile, it comes out too early.
fn since_boot(until: tlo::Timestamp) -> u64 {
    let boot = journal::now();
    let left = until.as_micros() - journal::wall();
    boot.saturating_add_signed(left)
}

#[async_trait::async_trait]
impl TaskStateStore for Watched {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        let verb = commits.first().and_then(verb_of);
        let writes: Vec<_> = commits.iter().map(under_lease).collect();
        let answers = self.call(verb, self.inner.commit(commits)).await?;
        for (write, answer) in writes.into_iter().zip(&answers) {
            let Some((id, fence, write)) = write else {
                continue;
            };
            let note = match answer {
                Ok(effects) => match (effects.first(), effects.last()) {
                    (Some(Effect::Extended { until, .. }), _) => Note::Extended {
                        id,
                        fence,
                        until: since_boot(*until),
                    },
                    (_, Some(Effect::Status(status))) if write == UnderLease::Settle => {
                        Note::Settled {
                            id,
                            fence,
                            status: *status,
                        }
                    }
                    _ => continue,
                },
                Err(refusal) => Note::Refused {
                    id,
                    fence,
                    write,
                    why: format!("{refusal:?}"),
                },
            };
            self.journal.note(note);
        }
        Ok(answers)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        let ttl = u64::try_from(request.ttl.as_micros()).unwrap();
        let claims = self
            .call(Some(Verb::Claim), self.inner.claim(request))
            .await?;
        for task in &claims.tasks {
            let lease = task.lease.as_ref().unwrap();
            let until = u64::try_from(lease.ends.unwrap().at.as_micros()).unwrap();
            self.journal.note(Note::Claimed {
                id: task.id.clone(),
                attempt: task.attempt,
                fence: lease.fence,
                granted: until - ttl,
                until,
            });
        }
        if let Some(trap) = &self.trap
            && trap.point().stage == Stage::Answered
            && !claims.tasks.is_empty()
            && trap.wants(Verb::Claim)
        {
            trap.spring();
        }
        Ok(claims)
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
        self.inner.get(ids).await
    }

    async fn list(&self, filter: &TaskFilter, page: PageRequest) -> Result<Page<TaskSummary>> {
        self.inner.list(filter, page).await
    }

    async fn count(&self, filter: &TaskFilter, by: CountBy, limit: usize) -> Result<Counts> {
        self.inner.count(filter, by, limit).await
    }

    async fn events(&self, stream: &StreamId, from: u64, limit: usize) -> Result<Vec<Event>> {
        self.inner.events(stream, from, limit).await
    }

    async fn marks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Mark>> {
        self.inner.marks(prefix, after, limit).await
    }

    async fn holdings(&self, after: Option<&str>, limit: usize) -> Result<Holdings> {
        self.inner.holdings(after, limit).await
    }

    async fn maintain(&self, request: Maintain) -> Result<Maintained> {
        self.call(Some(Verb::Tidy), self.inner.maintain(request))
            .await
    }

    async fn check(&self) -> Result<Vec<String>> {
        self.inner.check().await
    }

    fn hints(&self) -> HintStream {
        self.inner.hints()
    }
}
