//! A store with a fault of its own.

use std::sync::Arc;

use parking_lot::Mutex;
use tlo::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Event, HintSender,
    HintStream, Holdings, Maintain, Maintained, Mark, Op, SharedStore, StreamId, TaskFilter,
    TaskStateStore,
};
use tlo::task::TaskSummary;
use tlo::{Page, PageRequest, Result, TaskId, TaskStateRecord};
use tokio::sync::Notify;

/// Another store, except for what the fields say.
#[derive(Debug)]
pub struct Wrapped {
    pub inner: SharedStore,
    /// Answers the first look at the marks so: as it was before somebody else wrote.
    pub marks_at_first: Mutex<Option<Vec<Mark>>>,
    /// Its hints end at once.
    pub is_mute: bool,
    /// The first renewal that carries lines rings the first bell, and reaches the store when a settle has rung the second.
    pub late_renewal: Option<(Arc<Notify>, Arc<Notify>)>,
}

impl Wrapped {
    pub fn around(inner: SharedStore) -> Self {
        Self {
            inner,
            marks_at_first: Mutex::new(None),
            is_mute: false,
            late_renewal: None,
        }
    }
}

#[async_trait::async_trait]
impl TaskStateStore for Wrapped {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        let has = |what: fn(&Op) -> bool| commits.iter().flat_map(|commit| &commit.ops).any(what);
        let settles = has(|op| matches!(op, Op::Settle(..)));
        if let Some((comes, settled)) = &self.late_renewal
            && !settles
            && has(|op| matches!(op, Op::Append(..)))
        {
            comes.notify_one();
            settled.notified().await;
        }
        let answers = self.inner.commit(commits).await;
        if let Some((_, settled)) = self.late_renewal.as_ref().filter(|_| settles) {
            settled.notify_one();
        }
        answers
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        self.inner.claim(request).await
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
        if let Some(before) = self.marks_at_first.lock().take() {
            return Ok(before);
        }
        self.inner.marks(prefix, after, limit).await
    }

    async fn holdings(&self, after: Option<&str>, limit: usize) -> Result<Holdings> {
        self.inner.holdings(after, limit).await
    }

    async fn maintain(&self, request: Maintain) -> Result<Maintained> {
        self.inner.maintain(request).await
    }

    fn hints(&self) -> HintStream {
        if self.is_mute {
            return HintSender::default().subscribe();
        }
        self.inner.hints()
    }
}
