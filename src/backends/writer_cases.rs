//! What callers of a group share, and what they do not.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::backends::RowStore;
use crate::clock::SystemClock;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{IdSource, TaskId, WorkerId};
use crate::payload::Payload;
use crate::store::kv::{Pairs, RowEngine, Rows};
use crate::store::{Capability, Commit, Create, LeaseTo, Op, TaskStateStore, TaskStateStoreExt};
use crate::task::{LOCK_NAME, NewTask, TaskStatus};

#[derive(Clone, Debug, Default)]
pub(super) struct Tree(BTreeMap<Vec<u8>, Vec<u8>>);

impl Rows for Tree {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        assert!(!key.ends_with(b"panic"), "asked for the row that panics");
        if key.ends_with(b"rotten") {
            return Err(Error::new(ErrorKind::Corrupt, "get", "rotten"));
        }
        if key.ends_with(b"offline") {
            return Err(Error::new(ErrorKind::Unavailable, "get", "offline"));
        }
        Ok(self.0.get(key).cloned())
    }
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.insert(key.to_vec(), value.to_vec());
        Ok(())
    }
    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.0.remove(key);
        Ok(())
    }
    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        let mut pairs: Pairs = self
            .0
            .range(from.to_vec()..until.to_vec())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if reverse {
            pairs.reverse();
        }
        pairs.truncate(limit);
        Ok(pairs)
    }
}

/// A tree whose transactions can be held up, and are counted.
#[derive(Debug, Default)]
struct Engine {
    tree: Mutex<Tree>,
    /// The next transaction waits until the other end is dropped.
    hold: Mutex<Option<mpsc::Receiver<()>>>,
    begun: AtomicUsize,
    /// Reads wait while this is set.
    hangs: Mutex<bool>,
    goes_on: Condvar,
    /// Reads that wait for it now.
    hanging: AtomicUsize,
}

impl RowEngine for Engine {
    fn capability(&self) -> Capability {
        crate::MemoryStore::default().capability()
    }
    fn write(&self, run: &mut dyn FnMut(&mut dyn Rows) -> Result<()>) -> Result<()> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let hold = self.hold.lock().take();
        if let Some(hold) = hold {
            let _ = hold.recv();
        }
        let mut tree = self.tree.lock().clone();
        run(&mut tree)?;
        *self.tree.lock() = tree;
        Ok(())
    }
    fn read(&self, run: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()> {
        self.hanging.fetch_add(1, Ordering::SeqCst);
        let mut hangs = self.hangs.lock();
        self.goes_on.wait_while(&mut hangs, |hangs| *hangs);
        drop(hangs);
        self.hanging.fetch_sub(1, Ordering::SeqCst);
        run(&*self.tree.lock())
    }
}

fn store() -> Store {
    let ids = Arc::new(IdSource::seeded(1));
    Arc::new(RowStore::open(Engine::default(), SystemClock::shared(), ids).unwrap())
}

fn task(id: &str) -> NewTask {
    NewTask::new(TaskId::new(id).unwrap(), "greet", Payload::null())
}

type Store = Arc<RowStore<Engine>>;
type Asking = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

fn create(store: &Store, id: &'static str) -> Asking {
    let store = Arc::clone(store);
    Box::pin(async move { store.create(task(id)).await.map(drop) })
}

fn claim(store: &Store, queue: &'static str) -> Asking {
    let store = Arc::clone(store);
    let worker = WorkerId::new("w").unwrap();
    let minute = Duration::from_secs(60);
    Box::pin(async move {
        let tasks = store.lease(&worker, queue, &["greet"], 5, minute).await;
        tasks.map(drop)
    })
}

/// Asks all of this in one group; answers the kinds of the errors.
async fn together(store: &Store, asking: Vec<Asking>) -> Vec<Option<ErrorKind>> {
    let engine = store.engine();
    let begun = engine.begun.load(Ordering::SeqCst);
    let (hold, held) = mpsc::channel();
    *engine.hold.lock() = Some(held);
    let first = tokio::spawn(create(store, "first"));
    // The first is inside its transaction; the others gather behind it.
    while engine.begun.load(Ordering::SeqCst) == begun {
        tokio::task::yield_now().await;
    }
    let waiting: Vec<_> = asking.into_iter().map(tokio::spawn).collect();
    // On this one-threaded runtime a turn lets each of them run until it waits for its answer.
    tokio::task::yield_now().await;
    drop::<mpsc::Sender<()>>(hold);
    first.await.unwrap().unwrap();
    let mut kinds = Vec::new();
    for answer in waiting {
        kinds.push(answer.await.unwrap().err().map(|error| error.kind()));
    }
    let groups = engine.begun.load(Ordering::SeqCst) - begun - 1;
    assert_eq!(groups, 1, "groups after the first");
    kinds
}

#[tokio::test]
async fn what_waits_together_is_written_together() {
    let store = store();
    assert_eq!(
        together(
            &store,
            vec![create(&store, "a"), create(&store, "b"), claim(&store, "q")]
        )
        .await,
        [None; 3]
    );
}

#[tokio::test]
async fn a_row_that_cannot_be_read_fails_its_own_caller_only() {
    let store = store();
    // A claim reads the rule of its queue only when there are rules at all.
    let rule = Payload::parse("{}").unwrap();
    store
        .put_mark("gate/other", rule, None, None)
        .await
        .unwrap();
    let asking = vec![
        create(&store, "a"),
        claim(&store, "rotten"),
        create(&store, "c"),
    ];
    let kinds = together(&store, asking).await;
    assert_eq!(kinds, [None, Some(ErrorKind::Corrupt), None]);
    let kept = store
        .get(&["a", "c"].map(|id| TaskId::new(id).unwrap()))
        .await;
    assert!(kept.unwrap().iter().all(Option::is_some));
}

#[tokio::test]
async fn a_failing_engine_fails_the_group_and_keeps_nothing_of_it() {
    let store = store();
    let kinds = together(
        &store,
        vec![
            create(&store, "a"),
            create(&store, "offline"),
            create(&store, "c"),
        ],
    )
    .await;
    assert_eq!(kinds, [Some(ErrorKind::Unavailable); 3]);
    assert!(store.read(&TaskId::new("a").unwrap()).await.is_err());
    store.create(task("a")).await.unwrap();
}

#[tokio::test]
async fn a_panic_is_an_error_for_its_group_and_the_writer_lives() {
    let store = store();
    let kinds = together(&store, vec![create(&store, "a"), create(&store, "panic")]).await;
    assert_eq!(kinds, [Some(ErrorKind::Internal); 2]);
    store.create(task("a")).await.unwrap();
}

#[tokio::test]
async fn dropping_the_store_waits_for_its_writer() {
    let store = store();
    store.create(task("a")).await.unwrap();
    let engine = Arc::downgrade(&store.engine);
    drop(store);
    assert!(engine.upgrade().is_none(), "the engine is closed");
}

const SOON: Duration = Duration::from_millis(40);

/// The answer, on a machine so busy that healthy calls take too long as well.
async fn in_the_end<T, F: Future<Output = Result<T>>>(call: impl Fn() -> F) -> T {
    loop {
        match call().await {
            Err(error) if error.kind() == ErrorKind::Timeout => {}
            answer => return answer.unwrap(),
        }
    }
}

fn impatient() -> Store {
    let ids = Arc::new(IdSource::seeded(1));
    let store = RowStore::open(Engine::default(), SystemClock::shared(), ids).unwrap();
    Arc::new(store.call_timeout(SOON))
}

#[tokio::test]
async fn a_write_that_hangs_ends_in_time_and_says_what_is_known_of_it() {
    let store = impatient();
    let (hold, held) = mpsc::channel();
    *store.engine().hold.lock() = Some(held);
    let hanging = tokio::spawn(create(&store, "begun"));
    while store.engine().begun.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let mut waiting = vec![create(&store, "waiting"), claim(&store, "default")];
    let maintained = Arc::clone(&store);
    waiting.push(Box::pin(async move {
        let (retention, limit) = (crate::store::Retention::default(), 1);
        let step = crate::store::Maintain { retention, limit };
        maintained.maintain(step).await.map(drop)
    }));
    let waiting: Vec<_> = waiting.into_iter().map(tokio::spawn).collect();
    let begun = hanging.await.unwrap().unwrap_err();
    assert_eq!(
        (begun.kind(), begun.is_retryable()),
        (ErrorKind::Timeout, true)
    );
    assert!(begun.to_string().contains("is not known"), "{begun}");
    for waiting in waiting {
        let error = waiting.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.to_string().contains("nothing of it was"), "{error}");
    }
    // What was said of each is true when the disk goes on.
    drop::<mpsc::Sender<()>>(hold);
    in_the_end(|| store.create(task("after"))).await;
    let ids = ["begun", "waiting"].map(|id| TaskId::new(id).unwrap());
    let found = in_the_end(|| store.get(&ids)).await;
    assert_eq!(
        found.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, false]
    );
}

/// A store with the task "a", and a claim of it that is inside its transaction until the sender is dropped.
async fn claim_under_way() -> (Store, tokio::task::JoinHandle<Result<()>>, mpsc::Sender<()>) {
    let store = store();
    store.create(task("a")).await.unwrap();
    let begun = store.engine().begun.load(Ordering::SeqCst);
    let (hold, held) = mpsc::channel();
    *store.engine().hold.lock() = Some(held);
    let claiming = tokio::spawn(claim(&store, "default"));
    while store.engine().begun.load(Ordering::SeqCst) == begun {
        tokio::task::yield_now().await;
    }
    (store, claiming, hold)
}

/// Status, attempt, losses and leases of the task "a", after the writer did what was asked before.
async fn state(store: &Store) -> (TaskStatus, u32, u32, u64) {
    store.create(task("after")).await.unwrap();
    let record = store.read(&TaskId::new("a").unwrap()).await.unwrap();
    (record.status, record.attempt, record.lost, record.leases)
}

#[tokio::test]
async fn leases_for_a_caller_that_went_away_go_back_at_once() {
    let (store, claiming, hold) = claim_under_way().await;
    claiming.abort();
    assert!(claiming.await.is_err());
    drop(hold);
    assert_eq!(state(&store).await, (TaskStatus::Pending, 0, 0, 1));
    claim(&store, "default").await.unwrap();
    let record = store.read(&TaskId::new("a").unwrap()).await.unwrap();
    assert_eq!((record.status, record.leases), (TaskStatus::Running, 2));
}

#[tokio::test]
async fn leases_in_an_answer_that_nobody_reads_go_back_at_once() {
    let store = store();
    store.create(task("a")).await.unwrap();
    let (hold, held) = mpsc::channel();
    *store.engine().hold.lock() = Some(held);
    let mut claiming = claim(&store, "default");
    tokio::select! {
        biased;
        _ = &mut claiming => panic!("its transaction is held up"),
        () = std::future::ready(()) => {}
    }
    drop::<mpsc::Sender<()>>(hold);
    // Written after the claim, whose answer waits unread.
    store.create(task("b")).await.unwrap();
    let record = store.read(&TaskId::new("a").unwrap()).await.unwrap();
    assert_eq!(record.status, TaskStatus::Running);
    drop(claiming);
    assert_eq!(state(&store).await, (TaskStatus::Pending, 0, 0, 1));
}

/// A task is made and leased to its creator, who goes away before the answer.
#[tokio::test]
async fn a_lease_at_creation_that_nobody_takes_goes_back_at_once() {
    let store = store();
    let begun = store.engine().begun.load(Ordering::SeqCst);
    let (hold, held) = mpsc::channel();
    *store.engine().hold.lock() = Some(held);
    let made = |id: &str, name: &str| {
        let mut task = task(id);
        task.name = name.into();
        // Neither is run again when it is lost.
        task.max_lost = 0;
        let worker = WorkerId::new("w#1").unwrap();
        let ttl = Duration::from_secs(30);
        Op::Create(Box::new(Create {
            task,
            lease_to: Some(LeaseTo { worker, ttl }),
        }))
    };
    let mut creating = store.commit(vec![Commit::of([made("a", "t"), made("lock", LOCK_NAME)])]);
    tokio::select! {
        biased;
        _ = &mut creating => panic!("its transaction is held up"),
        () = std::future::ready(()) => {}
    }
    // What comes next is not to share its transaction.
    while store.engine().begun.load(Ordering::SeqCst) == begun {
        tokio::task::yield_now().await;
    }
    drop::<mpsc::Sender<()>>(hold);
    drop(creating);
    assert_eq!(state(&store).await, (TaskStatus::Pending, 0, 0, 1));
    // Nobody could run it again: it ends with its lease.
    let lock = store.read(&TaskId::new("lock").unwrap()).await.unwrap();
    assert_eq!(lock.status, TaskStatus::Running);
}

#[tokio::test]
async fn a_claim_whose_caller_went_away_is_not_begun() {
    let store = store();
    store.create(task("a")).await.unwrap();
    let begun = store.engine().begun.load(Ordering::SeqCst);
    let (hold, held) = mpsc::channel();
    *store.engine().hold.lock() = Some(held);
    let first = tokio::spawn(create(&store, "first"));
    while store.engine().begun.load(Ordering::SeqCst) == begun {
        tokio::task::yield_now().await;
    }
    let waiting = tokio::spawn(claim(&store, "default"));
    tokio::task::yield_now().await;
    waiting.abort();
    assert!(waiting.await.is_err());
    drop::<mpsc::Sender<()>>(hold);
    first.await.unwrap().unwrap();
    assert_eq!(state(&store).await, (TaskStatus::Pending, 0, 0, 0));
}

#[tokio::test]
async fn reads_that_hang_end_in_time_and_take_a_bounded_number_of_threads() {
    let store = impatient();
    in_the_end(|| store.create(task("a"))).await;
    *store.engine().hangs.lock() = true;
    let readers: Vec<_> = (0..100)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.read(&TaskId::new("a").unwrap()).await })
        })
        .collect();
    for reader in readers {
        let error = reader.await.unwrap().unwrap_err();
        assert_eq!(
            (error.kind(), error.is_retryable()),
            (ErrorKind::Timeout, true)
        );
    }
    let hanging = store.engine().hanging.load(Ordering::SeqCst);
    assert!((1..=64).contains(&hanging), "{hanging} reads hang");
    *store.engine().hangs.lock() = false;
    store.engine().goes_on.notify_all();
    while store.engine().hanging.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    in_the_end(|| store.get(&[])).await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_runtime_ends_no_call_early() {
    let ids = Arc::new(IdSource::seeded(1));
    let store = Arc::new(RowStore::open(Engine::default(), SystemClock::shared(), ids).unwrap());
    let (hold, held) = mpsc::channel();
    *store.engine().hold.lock() = Some(held);
    let hanging = tokio::spawn(create(&store, "a"));
    // The writer answers from a thread that the runtime does not know of, a while later.
    let other = std::thread::spawn(move || {
        std::thread::park_timeout(SOON);
        drop::<mpsc::Sender<()>>(hold);
    });
    hanging.await.unwrap().unwrap();
    other.join().unwrap();
}
