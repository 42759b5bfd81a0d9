//! [`ProbeStore`]: a store that is watched, and that fails when told to.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::faults::{Fault, Faults, Trouble, Verb, Weather, never, unavailable};
use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::id::TaskId;
use crate::page::{Page, PageRequest};
use crate::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Effect, Event,
    HintStream, Holdings, Maintain, Maintained, Mark, Op, SharedStore, StreamId, Tables,
    TaskFilter, TaskStateStore,
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
/// What goes wrong is a [`Fault`] that is planned, or [`Weather`] for what comes by chance; [`fail_next`](Self::fail_next),
/// [`lose_next_answers`](Self::lose_next_answers) and [`be_away`](Self::be_away) are short for the usual ones.
/// [`heal`](Self::heal) ends it all.
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
    under_way: AtomicUsize,
    delayed: AtomicUsize,
    faults: Mutex<Faults>,
    clock: Arc<dyn Clock>,
}

struct Flight<'a>(&'a AtomicUsize);

impl<'a> Flight<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ProbeStore {
    /// Watches this store. What is slow takes real time.
    #[must_use]
    pub fn around(inner: SharedStore) -> Arc<Self> {
        Self::on_clock(inner, SystemClock::shared())
    }

    /// Watches this store. What is slow takes time of this clock.
    #[must_use]
    pub fn on_clock(inner: SharedStore, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            calls: Mutex::default(),
            created: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            delayed: AtomicUsize::new(0),
            faults: Mutex::default(),
            clock,
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

    /// Calls that the store works on now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Calls that have not been answered yet, those among them that a fault delays or drops.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }

    /// Calls that a fault delays now.
    pub(super) fn delayed(&self) -> usize {
        self.delayed.load(Ordering::SeqCst)
    }

    /// From now on this goes wrong, besides what was planned before.
    pub fn plan(&self, fault: Fault) {
        self.faults.lock().plan(fault);
    }

    /// From now on this goes wrong by chance: the same for the same seed and the same calls.
    pub fn set_weather(&self, weather: Weather, seed: u64) {
        self.faults.lock().set_weather(Some((weather, seed)));
    }

    /// Nothing goes wrong any more. Calls that hang do so for ever.
    pub fn heal(&self) {
        self.faults.lock().clear();
    }

    /// The next calls, so many, fail before they reach the store.
    pub fn fail_next(&self, calls: u64) {
        let fault = Fault::fail(Verb::Any).times(calls);
        self.faults.lock().plan_instead(fault);
    }

    /// The next commits and claims, so many calls, are applied, and their answers are lost.
    pub fn lose_next_answers(&self, calls: u64) {
        let fault = Fault::fail(Verb::Write).times(calls).after_effect();
        self.faults.lock().plan_instead(fault);
    }

    /// Whether all calls fail, until this is said again.
    pub fn be_away(&self, away: bool) {
        self.faults.lock().away = away;
    }

    /// Takes a call to the store and its answer back, through what goes wrong on the way.
    async fn pass<T>(&self, verb: Verb, call: impl Future<Output = Result<T>>) -> Result<T> {
        {
            let mut calls = self.calls.lock();
            match verb {
                Verb::Commit => calls.commit += 1,
                Verb::Claim => calls.claim += 1,
                Verb::Maintain => calls.maintain += 1,
                _ => calls.read += 1,
            }
        }
        let _under_way = Flight::begin(&self.under_way);
        let troubles = self.faults.lock().meet(verb);
        for trouble in troubles.before {
            self.suffer(trouble, "the store is away, as the test wants")
                .await?;
        }
        let answer = {
            let _flight = Flight::begin(&self.in_flight);
            call.await?
        };
        for trouble in troubles.after {
            self.suffer(trouble, "the answer is lost, as the test wants")
                .await?;
        }
        Ok(answer)
    }

    async fn suffer(&self, trouble: Trouble, why: &'static str) -> Result<()> {
        match trouble {
            Trouble::Fail => Err(unavailable(why)),
            Trouble::Delay(by) => {
                let _delayed = Flight::begin(&self.delayed);
                self.clock.sleep(by).await;
                Ok(())
            }
            Trouble::Hang => never().await,
        }
    }
}

#[async_trait]
impl TaskStateStore for ProbeStore {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        self.pass(Verb::Commit, self.watched_commit(commits)).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        let claiming = async {
            let claims = self.inner.claim(request).await?;
            self.calls.lock().leased += u64::try_from(claims.tasks.len()).unwrap_or(u64::MAX);
            Ok(claims)
        };
        self.pass(Verb::Claim, claiming).await
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
        self.pass(Verb::Get, self.inner.get(ids)).await
    }

    async fn list(&self, filter: &TaskFilter, page: PageRequest) -> Result<Page<TaskSummary>> {
        self.pass(Verb::List, self.inner.list(filter, page)).await
    }

    async fn count(&self, filter: &TaskFilter, by: CountBy, limit: usize) -> Result<Counts> {
        self.pass(Verb::Count, self.inner.count(filter, by, limit))
            .await
    }

    async fn events(&self, stream: &StreamId, from: u64, limit: usize) -> Result<Vec<Event>> {
        self.pass(Verb::Events, self.inner.events(stream, from, limit))
            .await
    }

    async fn marks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Mark>> {
        self.pass(Verb::Marks, self.inner.marks(prefix, after, limit))
            .await
    }

    async fn holdings(&self, after: Option<&str>, limit: usize) -> Result<Holdings> {
        self.pass(Verb::Holdings, self.inner.holdings(after, limit))
            .await
    }

    async fn maintain(&self, request: Maintain) -> Result<Maintained> {
        self.pass(Verb::Maintain, self.inner.maintain(request))
            .await
    }

    async fn check(&self) -> Result<Vec<String>> {
        self.pass(Verb::Check, self.inner.check()).await
    }

    fn tables(&self) -> Option<Tables> {
        self.inner.tables()
    }

    fn hints(&self) -> HintStream {
        self.inner.hints()
    }
}

impl ProbeStore {
    async fn watched_commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
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
        Ok(answers)
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

/// The creates of a commit, with their places among its operations.
fn creates(commit: &Commit) -> Vec<(usize, NewTask)> {
    let ops = commit.ops.iter().enumerate();
    ops.filter_map(|(place, op)| match op {
        Op::Create(create) => Some((place, create.task.clone())),
        _ => None,
    })
    .collect()
}
