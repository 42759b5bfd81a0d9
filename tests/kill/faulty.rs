//! A store that does not keep its word, to see that the proof finds out.

use std::sync::atomic::{AtomicU32, Ordering};

use tlo::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Effect, Event, Guard,
    HintStream, Holdings, Maintain, Maintained, Mark, Op, SharedStore, StreamId, TaskFilter,
    TaskStateStore,
};
use tlo::task::TaskSummary;
use tlo::{Page, PageRequest, Result, TaskId, TaskStateRecord, TaskStatus};

use crate::checker::Wrong;

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Answers one in four submits without writing it.
    Forgets,
    /// Takes leases back that have not ended.
    Robs,
    /// And takes the ends of runs whose lease is another's.
    Believes,
    /// Makes two tasks of a slot.
    Doubles,
}

impl Fault {
    pub(crate) const ALL: [(&str, Self, Wrong); 4] = [
        ("forgets", Self::Forgets, Wrong::Lost),
        ("robs", Self::Robs, Wrong::Overlap),
        ("believes", Self::Believes, Wrong::StaleSettle),
        ("doubles", Self::Doubles, Wrong::DuplicateSlot),
    ];

    pub(crate) fn named(name: &str) -> Self {
        let found = Self::ALL.iter().find(|(other, ..)| *other == name);
        found.unwrap().1
    }

    fn robs(self) -> bool {
        matches!(self, Self::Robs | Self::Believes)
    }
}

#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: SharedStore,
    pub(crate) fault: Fault,
    pub(crate) submits: AtomicU32,
}

impl Faulty {
    fn forgets(&self, commits: &[Commit]) -> bool {
        let is_submit = matches!(
            commits,
            [Commit { guards, ops }] if guards.is_empty() && matches!(ops[..], [Op::Create(_)])
        );
        self.fault == Fault::Forgets
            && is_submit
            && self.submits.fetch_add(1, Ordering::Relaxed) % 4 == 3
    }

    fn changed(&self, mut commit: Commit) -> Commit {
        let is_settle = commit.ops.iter().any(|op| matches!(op, Op::Settle(..)));
        commit.guards.retain(|guard| match guard {
            Guard::Expired(..) => !self.fault.robs(),
            Guard::Held(..) => self.fault != Fault::Believes || !is_settle,
            _ => true,
        });
        if self.fault == Fault::Doubles {
            let twins: Vec<_> = commit
                .ops
                .iter()
                .filter_map(|op| match op {
                    Op::Create(create) if create.task.slot.is_some() => {
                        let mut twin = create.clone();
                        twin.task.id = TaskId::new(format!("{}+", twin.task.id)).unwrap();
                        Some(Op::Create(twin))
                    }
                    _ => None,
                })
                .collect();
            commit.ops.extend(twins);
        }
        commit
    }
}

#[async_trait::async_trait]
impl TaskStateStore for Faulty {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        if self.forgets(&commits) {
            let seq = 0;
            return Ok(vec![Ok(vec![Effect::Created { seq, leased: None }])]);
        }
        let commits = commits.into_iter().map(|commit| self.changed(commit));
        self.inner.commit(commits.collect()).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        self.inner.claim(request).await
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
        self.inner.get(ids).await
    }

    async fn list(&self, filter: &TaskFilter, page: PageRequest) -> Result<Page<TaskSummary>> {
        let mut found = self.inner.list(filter, page).await?;
        if filter.lease_expired && self.fault.robs() {
            let running = TaskFilter::status([TaskStatus::Running]);
            let mut running = self.inner.list(&running, page).await?.items;
            // One of several, so that each comes to its end at last.
            if running.len() > 2 {
                let one = running.swap_remove(fastrand::usize(..running.len()));
                found.items.push(one);
            }
        }
        Ok(found)
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
        self.inner.maintain(request).await
    }

    fn hints(&self) -> HintStream {
        self.inner.hints()
    }
}
