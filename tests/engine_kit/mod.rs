//! What the engine's tests share.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test file uses a part of it"
)]

mod wrapped;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tlo::prelude::*;
use tlo::settings::SettingsSource;
use tlo::store::{Event, SharedStore, StreamId, TaskStateStore};
use tlo::{Clock, IdSource, MemoryStore, SqliteOptions, SqliteStore, SystemClock, TaskId};
use tlo::{TaskStateRecord, TloContextBuilder};

pub use wrapped::Wrapped;

/// What tests write down while they run.
#[derive(Clone, Debug)]
pub struct Notes<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Notes<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Notes<T> {
    pub fn add(&self, note: T) {
        self.0.lock().push(note);
    }

    pub fn all(&self) -> Vec<T> {
        self.0.lock().clone()
    }

    pub fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// Waits in real time until the condition holds; fails after ten seconds.
#[track_caller]
pub fn until<F>(what: &str, condition: F) -> impl Future<Output = ()>
where
    F: AsyncFnMut() -> bool,
{
    until_within(what, Duration::from_secs(10), condition)
}

pub async fn until_within<F>(what: &str, limit: Duration, mut condition: F)
where
    F: AsyncFnMut() -> bool,
{
    let clock = SystemClock;
    let begun = clock.steady().at;
    while !condition().await {
        let waited = clock.steady().at - begun;
        assert!(waited < limit, "waited {waited:?} in vain until {what}");
        clock.sleep(Duration::from_millis(2)).await;
    }
}

/// Awaits in real time; fails after ten seconds.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::select! {
        answer = future => answer,
        () = SystemClock.sleep(Duration::from_secs(10)) => panic!("waited in vain until {what}"),
    }
}

/// A builder that takes nothing from this machine.
pub fn program() -> TloContextBuilder {
    TloContext::builder().settings(SettingsSource::empty())
}

pub fn memory() -> SharedStore {
    Arc::new(MemoryStore::default())
}

/// A SQLite store in a directory that goes away with the test.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.0.path().join("tlo.db")
    }

    pub fn open(&self) -> SharedStore {
        self.open_with(SystemClock::shared())
    }

    pub fn open_with(&self, clock: Arc<dyn Clock>) -> SharedStore {
        let options = SqliteOptions {
            path: self.path(),
            ..SqliteOptions::default()
        };
        Arc::new(SqliteStore::open(options, clock, Arc::new(IdSource::random())).unwrap())
    }
}

/// The decisions of a schedule that are in the store.
pub async fn decisions(store: &dyn TaskStateStore, schedule: &str) -> Vec<Event> {
    let stream = StreamId::new(schedule, "decisions").unwrap();
    store.events(&stream, 1, 1_000).await.unwrap()
}

pub async fn record(store: &dyn TaskStateStore, id: &TaskId) -> TaskStateRecord {
    store
        .get(std::slice::from_ref(id))
        .await
        .unwrap()
        .remove(0)
        .unwrap()
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A retry policy without chance.
pub fn plain_retry(base: Duration) -> RetryPolicy {
    RetryPolicy {
        base,
        factor: 2.0,
        cap: Duration::from_secs(60),
        jitter: 0.0,
        delays: Vec::new(),
    }
}

/// The harness of a program on each of the stores: in memory, and on a SQLite file that goes away with the test.
pub async fn on_each_store(
    build: impl Fn() -> tlo::testing::HarnessBuilder,
) -> Vec<(tlo::testing::Harness, Place)> {
    let mut all = vec![(build().start().await.unwrap(), Place::new())];
    let (place, clock) = (Place::new(), tlo::testing::ManualClock::shared());
    let store = place.open_with(Arc::clone(&clock) as Arc<dyn Clock>);
    let builder = build().clock(clock).store(store);
    all.push((builder.start().await.unwrap(), place));
    all
}
