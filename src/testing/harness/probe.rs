//! [`ProbeStore`]: a store that is watched, and that fails when told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::page::{Page, PageRequest};
use crate::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Effect, Event,
    HintStream, Maintain, Maintained, Mark, Op, SharedStore, StreamId, TaskFilter, TaskStateStore,
};
use crate::task::{NewTask, TaskStateRecord, TaskSummary};

/// What was asked of a [`ProbeStore`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls to `commit`.
    pub commit: u64,
    /// Commits that were applied, of all calls.
    pub applied: u64,
    /// Calls to `claim`.
    pub claim: u64,
    /// Tasks that were leased, by claims and as they were made.
    pub leased: u64,
    /// Calls that only read.
    pub read: u64,
    /// Calls to `maintain`.
    pub maintain: u64,
}

impl Calls {
    /// All calls.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.commit + self.claim + self.read + self.maintain
    }
}

/// Any store, watched: it counts what is asked of it, keeps what was created, and fails on demand.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use tlo::{MemoryStore, store::TaskStateStore, testing::ProbeStore};
/// let store = ProbeStore::around(Arc::new(MemoryStore::default()));
/// store.fail_next(1);
/// assert!(store.get(&[]).await.unwrap_err().is_retryable());
/// assert!(store.get(&[]).await.is_ok());
/// assert_eq!(store.calls().read, 2);
/// # });
/// ```
#[derive(Debug)]
pub struct ProbeStore {
    inner: SharedStore,
    calls: Mutex<Calls>,
    created: Mutex<Vec<NewTask>>,
    in_flight: AtomicUsize,
    failing: AtomicU64,
    losing: AtomicU64,
    away: AtomicBool,
}

struct Flight<'a>(&'a AtomicUsize);

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ProbeStore {
    /// Watches this store.
    #[must_use]
    pub fn around(inner: SharedStore) -> Arc<Self> {
        Arc::new(Self {
            inner,
            calls: Mutex::default(),
            created: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            failing: AtomicU64::new(0),
            losing: AtomicU64::new(0),
            away: AtomicBool::new(false),
        })
    }

    /// What was asked so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        *self.calls.lock()
    }

    /// The tasks that were created, in order.
    #[must_use]
    pub fn created(&self) -> Vec<NewTask> {
        self.created.lock().clone()
    }

    /// Calls that have not been answered yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// The next calls, so many, fail before they reach the store.
    pub fn fail_next(&self, calls: u64) {
        self.failing.store(calls, Ordering::SeqCst);
    }

    /// The next commits and claims, so many calls, are applied, and their answers are lost.
    pub fn lose_next_answers(&self, calls: u64) {
        self.losing.store(calls, Ordering::SeqCst);
    }

    /// Whether all calls fail, until this is said again.
    pub fn be_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn begin(&self, count: impl FnOnce(&mut Calls)) -> Result<Flight<'_>> {
        count(&mut self.calls.lock());
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let flight = Flight(&self.in_flight);
        if self.away.load(Ordering::SeqCst) || take_one(&self.failing) {
            return Err(unavailable("the store is away, as the test wants"));
        }
        Ok(flight)
    }

    fn answer(&self) -> Result<()> {
        if take_one(&self.losing) {
            return Err(unavailable("the answer is lost, as the test wants"));
        }
        Ok(())
    }
}

fn is_leased(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Created {
            leased: Some(_),
            ..
        }
    )
}

fn take_one(left: &AtomicU64) -> bool {
    let one_less = |left: u64| left.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
        .is_ok()
}

fn unavailable(why: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, "probe store", why).retryable(true)
}

#[async_trait]
impl TaskStateStore for ProbeStore {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        let _flight = self.begin(|calls| calls.commit += 1)?;
        let creates: Vec<Vec<(usize, NewTask)>> = commits.iter().map(creates).collect();
        let answers = self.inner.commit(commits).await?;
        let accepted = answers.iter().zip(creates).filter_map(|(answer, creates)| {
            let effects = answer.as_ref().ok()?;
            let leased = effects.iter().filter(|effect| is_leased(effect)).count();
            let mut calls = self.calls.lock();
            calls.applied += 1;
            calls.leased += u64::try_from(leased).unwrap_or(u64::MAX);
            Some((effects, creates))
        });
        for (effects, creates) in accepted {
            let made = creates
                .into_iter()
                .filter(|(op, _)| matches!(effects.get(*op), Some(Effect::Created { .. })));
            self.created.lock().extend(made.map(|(_, task)| task));
        }
        self.answer()?;
        Ok(answers)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        let _flight = self.begin(|calls| calls.claim += 1)?;
        let claims = self.inner.claim(request).await?;
        self.calls.lock().leased += u64::try_from(claims.tasks.len()).unwrap_or(u64::MAX);
        self.answer()?;
        Ok(claims)
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
        let _flight = self.begin(|calls| calls.read += 1)?;
        self.inner.get(ids).await
    }

    async fn list(&self, filter: &TaskFilter, page: PageRequest) -> Result<Page<TaskSummary>> {
        let _flight = self.begin(|calls| calls.read += 1)?;
        self.inner.list(filter, page).await
    }

    async fn count(&self, filter: &TaskFilter, by: CountBy, limit: usize) -> Result<Counts> {
        let _flight = self.begin(|calls| calls.read += 1)?;
        self.inner.count(filter, by, limit).await
    }

    async fn events(&self, stream: &StreamId, from: u64, limit: usize) -> Result<Vec<Event>> {
        let _flight = self.begin(|calls| calls.read += 1)?;
        self.inner.events(stream, from, limit).await
    }

    async fn marks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Mark>> {
        let _flight = self.begin(|calls| calls.read += 1)?;
        self.inner.marks(prefix, after, limit).await
    }

    async fn maintain(&self, request: Maintain) -> Result<Maintained> {
        let _flight = self.begin(|calls| calls.maintain += 1)?;
        self.inner.maintain(request).await
    }

    async fn check(&self) -> Result<Vec<String>> {
        let _flight = self.begin(|calls| calls.read += 1)?;
        self.inner.check().await
    }

    fn hints(&self) -> HintStream {
        self.inner.hints()
    }
}

/// The creates of a commit, with their places among its operations.
fn creates(commit: &Commit) -> Vec<(usize, NewTask)> {
    let ops = commit.ops.iter().enumerate();
    ops.filter_map(|(place, op)| match op {
        Op::Create(create) => Some((place, create.task.clone())),
        _ => None,
    })
    .collect()
}
