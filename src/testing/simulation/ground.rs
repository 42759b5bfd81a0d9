//! The store below all nodes: it crashes, is opened again, and everything that takes effect in it is witnessed.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::witness::Witness;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{IdSource, TaskId};
use crate::page::{Page, PageRequest};
use crate::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Durability, Effect,
    Event, Guard, HintSender, HintStream, Holdings, Import, Maintain, Maintained, Mark, Op,
    Refusal, SharedStore, StreamId, TaskFilter, TaskStateStore,
};
use crate::task::{TaskStateRecord, TaskSummary};
use crate::testing::ManualClock;
use crate::testing::conformance::{Feature, StoreFactory};

/// Waits on the spot: a call takes effect in one step of the simulation, also in a store that works on threads of its own.
pub(super) fn at_once<T>(call: impl Future<Output = T>) -> T {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let mut call = std::pin::pin!(tokio::task::unconstrained(call));
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(answer) = call.as_mut().poll(&mut Context::from_waker(&waker)) {
            return answer;
        }
        std::thread::park();
    }
}

/// A store put in front of another.
pub(super) type Wrap = dyn Fn(SharedStore) -> SharedStore + Send + Sync;

struct Open {
    store: SharedStore,
    hints: HintStream,
}

/// The store, as nobody sees it: without faults between.
pub(super) struct Ground {
    factory: Arc<dyn StoreFactory>,
    wrap: Option<Arc<Wrap>>,
    place: String,
    clock: Arc<ManualClock>,
    ids: Arc<IdSource>,
    reopens: bool,
    open: Mutex<Option<Open>>,
    /// A store that lives in the process outlives its crash, as a server that was merely not reachable.
    aside: Mutex<Option<Open>>,
    capability: Capability,
    hints: HintSender,
    pub(super) witness: Mutex<Witness>,
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ground")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

fn away() -> Error {
    Error::new(ErrorKind::Unavailable, "simulate", "the store has crashed").retryable(true)
}

impl Ground {
    pub(super) async fn open(
        factory: Arc<dyn StoreFactory>,
        wrap: Option<Arc<Wrap>>,
        place: String,
        clock: Arc<ManualClock>,
        seed: u64,
        witness: Witness,
    ) -> Result<Self> {
        let reopens = factory.features().contains(&Feature::Reopen);
        let mut ground = Self {
            factory,
            wrap,
            place,
            clock,
            ids: Arc::new(IdSource::seeded(seed)),
            reopens,
            open: Mutex::default(),
            aside: Mutex::default(),
            capability: crate::backends::MemoryStore::default().capability(),
            hints: HintSender::default(),
            witness: Mutex::new(witness),
        };
        ground.reopen().await?;
        if let Some(open) = &*ground.open.lock() {
            // The nodes are processes that share it and that it survives.
            ground.capability = Capability {
                shared: true,
                durability: Durability::Process,
                ..open.store.capability()
            };
        }
        Ok(ground)
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.lock().is_some()
    }

    /// From now on all calls fail. What was answered stays.
    pub(super) fn crash(&self) {
        let crashed = self.open.lock().take();
        if !self.reopens {
            *self.aside.lock() = crashed;
        }
    }

    pub(super) async fn reopen(&self) -> Result<()> {
        if self.is_open() {
            return Ok(());
        }
        let kept = self.aside.lock().take();
        let open = match kept {
            Some(open) => open,
            None => {
                let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
                let ids = Arc::clone(&self.ids);
                let store = self.factory.open(&self.place, clock, ids).await?;
                let store = match &self.wrap {
                    Some(wrap) => wrap(store),
                    None => store,
                };
                Open {
                    hints: store.hints(),
                    store,
                }
            }
        };
        *self.open.lock() = Some(open);
        Ok(())
    }

    pub(super) async fn discard(&self) {
        drop(self.open.lock().take());
        drop(self.aside.lock().take());
        self.factory.discard(&self.place).await;
    }

    pub(super) fn store(&self) -> Result<SharedStore> {
        let open = self.open.lock();
        let open = open.as_ref().ok_or_else(away)?;
        Ok(Arc::clone(&open.store))
    }

    fn commit(&self, who: &str, commits: &[Commit]) -> Result<Vec<Committed>> {
        let store = self.store()?;
        let answers = at_once(store.commit(commits.to_vec()))?;
        let ids = touched(commits, &answers);
        let wanted: Vec<_> = ids.iter().cloned().collect();
        let after = at_once(store.get(&wanted))?;
        self.witness
            .lock()
            .committed(who, commits, &answers, ids.into_iter().zip(after));
        self.pass_hints_on(&store);
        Ok(answers)
    }

    fn claim(&self, who: &str, request: ClaimRequest) -> Result<Claims> {
        let store = self.store()?;
        let ttl = request.ttl;
        let lanes = request.lanes.clone();
        let claims = at_once(store.claim(request))?;
        self.witness.lock().claimed(who, &lanes, ttl, &claims);
        self.pass_hints_on(&store);
        Ok(claims)
    }

    /// A writer thread sends hints when it has answered. A call behind it waits for that, so that they come at the same
    /// moment in each run of a seed.
    fn pass_hints_on(&self, store: &SharedStore) {
        if self.reopens {
            // Without commits it changes nothing.
            drop(at_once(store.commit(Vec::new())));
        }
        let mut open = self.open.lock();
        while let Some(hint) = open.as_mut().and_then(|open| open.hints.try_next()) {
            self.hints.send(hint);
        }
    }

    /// All records there are, in order of their creation.
    pub(super) async fn all(&self) -> Result<Vec<TaskStateRecord>> {
        let store = self.store()?;
        let mut page = PageRequest::first(500);
        let mut all = Vec::new();
        loop {
            let found = store.list(&TaskFilter::default(), page).await?;
            all.extend(found.items.into_iter().map(|item| item.record));
            match found.next {
                Some(next) if !found.complete => page.after = Some(next),
                _ => return Ok(all),
            }
        }
    }
}

/// The records that a call may have changed by name.
fn touched(commits: &[Commit], answers: &[Committed]) -> BTreeSet<TaskId> {
    let mut ids = BTreeSet::new();
    for (commit, answer) in commits.iter().zip(answers) {
        for op in &commit.ops {
            match op {
                Op::Create(create) => drop(ids.insert(create.task.id.clone())),
                Op::Settle(id, _)
                | Op::Extend(id, _)
                | Op::Patch(id, _)
                | Op::Cancel(id, _)
                | Op::Revive(id, _)
                | Op::Wake(id)
                | Op::Delete(id) => drop(ids.insert(id.clone())),
                Op::Import(import) => {
                    if let Import::Record(record) = &**import {
                        ids.insert(record.id.clone());
                    }
                }
                Op::Append(..) | Op::Trim(..) | Op::PutMark { .. } | Op::DropMark(_) => {}
            }
        }
        for guard in &commit.guards {
            if let Guard::Held(id, _) | Guard::Expired(id, _) = guard {
                ids.insert(id.clone());
            }
        }
        match answer {
            Ok(effects) => ids.extend(effects.iter().filter_map(|effect| match effect {
                Effect::Existing { id, .. } => Some(id.clone()),
                _ => None,
            })),
            Err(Refusal::KeyTaken { owner, .. }) => drop(ids.insert(owner.clone())),
            Err(_) => {}
        }
    }
    ids
}

/// The store as one node reaches it.
#[derive(Debug)]
pub(super) struct Door {
    ground: Arc<Ground>,
    who: String,
}

impl Door {
    pub(super) fn new(ground: &Arc<Ground>, who: &str) -> Self {
        Self {
            ground: Arc::clone(ground),
            who: who.to_owned(),
        }
    }
}

#[async_trait]
impl TaskStateStore for Door {
    fn capability(&self) -> Capability {
        self.ground.capability.clone()
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        self.ground.commit(&self.who, &commits)
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        self.ground.claim(&self.who, request)
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
        let store = self.ground.store()?;
        at_once(store.get(ids))
    }

    async fn list(&self, filter: &TaskFilter, page: PageRequest) -> Result<Page<TaskSummary>> {
        let store = self.ground.store()?;
        at_once(store.list(filter, page))
    }

    async fn count(&self, filter: &TaskFilter, by: CountBy, limit: usize) -> Result<Counts> {
        let store = self.ground.store()?;
        at_once(store.count(filter, by, limit))
    }

    async fn events(&self, stream: &StreamId, from: u64, limit: usize) -> Result<Vec<Event>> {
        let store = self.ground.store()?;
        at_once(store.events(stream, from, limit))
    }

    async fn marks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Mark>> {
        let store = self.ground.store()?;
        at_once(store.marks(prefix, after, limit))
    }

    async fn holdings(&self, after: Option<&str>, limit: usize) -> Result<Holdings> {
        let store = self.ground.store()?;
        at_once(store.holdings(after, limit))
    }

    async fn maintain(&self, request: Maintain) -> Result<Maintained> {
        let store = self.ground.store()?;
        let done = at_once(store.maintain(request))?;
        self.ground.witness.lock().maintained(&self.who, done);
        self.ground.pass_hints_on(&store);
        Ok(done)
    }

    async fn check(&self) -> Result<Vec<String>> {
        let store = self.ground.store()?;
        at_once(store.check())
    }

    fn hints(&self) -> HintStream {
        self.ground.hints.subscribe()
    }
}
