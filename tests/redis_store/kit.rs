//! What the cases have in common.

use std::sync::Arc;
use std::time::Duration;

use tlo::store::{CountBy, TaskFilter, TaskStateStore, TaskStateStoreExt};
use tlo::task::NewTask;
use tlo::{Clock, IdSource, Payload, RedisOptions, RedisStore, SystemClock, TaskId, WorkerId};

use crate::servers::redis::PrivateRedis;

pub(crate) type Store = RedisStore;

/// A store for the tests of all durable backends: what keeps it there, and its name.
pub(crate) fn place() -> Option<(PrivateRedis, String)> {
    let server = PrivateRedis::with(&["--appendonly", "yes", "--appendfsync", "always"])?;
    let url = server.url();
    Some((server, url))
}

pub(crate) async fn open_place(place: &str) -> Store {
    open(place).await
}

/// Whether the full counts were asked for.
pub(crate) fn is_full() -> bool {
    std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full")
}

pub(crate) fn id(text: impl AsRef<str>) -> TaskId {
    TaskId::new(text).unwrap()
}

pub(crate) fn new(id_text: impl AsRef<str>) -> NewTask {
    NewTask::new(id(id_text), "greet", Payload::parse("{\"n\":1}").unwrap())
}

pub(crate) async fn open(url: &str) -> RedisStore {
    open_with(RedisOptions::at(url)).await.unwrap()
}

pub(crate) async fn open_with(options: RedisOptions) -> tlo::Result<RedisStore> {
    RedisStore::open(options, SystemClock::shared(), Arc::new(IdSource::random())).await
}

/// Leases one task of the kit's name.
pub(crate) async fn lease(store: &RedisStore) -> tlo::Result<Vec<Arc<tlo::TaskStateRecord>>> {
    let worker = WorkerId::new("w#1").unwrap();
    let minute = Duration::from_secs(60);
    store.lease(&worker, "default", &["greet"], 1, minute).await
}

pub(crate) async fn total(store: &dyn TaskStateStore) -> u64 {
    let counts = store.count(&TaskFilter::default(), CountBy::All, 0).await;
    counts.unwrap().total()
}

/// Waits until a condition holds; fails after this long.
pub(crate) async fn until(what: &str, limit: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let started = SystemClock.steady().at;
    while !condition().await {
        let waited = SystemClock.steady().at.saturating_sub(started);
        assert!(waited < limit, "waited {waited:?} in vain until {what}");
        SystemClock.sleep(Duration::from_millis(2)).await;
    }
}
