//! What the cases have in common.

use std::sync::Arc;
use std::time::Duration;

use tlo::prelude::*;
use tlo::settings::SettingsSource;
use tlo::store::{CountBy, SharedStore, TaskFilter, TaskStateStore, TaskStateStoreExt};
use tlo::task::NewTask;
use tlo::{
    Clock, IdSource, Payload, PostgresOptions, PostgresStore, SystemClock, TaskId, TaskStateRecord,
    WorkerId,
};

use super::servers::postgres::PrivatePostgres;

pub(crate) type Store = PostgresStore;

/// A store for the tests of all durable backends: what keeps it there, and its name.
pub(crate) fn place() -> Option<(PrivatePostgres, String)> {
    let server = PrivatePostgres::start()?;
    let url = server.url();
    Some((server, url))
}

pub(crate) async fn open_place(place: &str) -> Store {
    try_open(PostgresOptions::at(place)).await.unwrap()
}

/// Whether the full counts were asked for.
pub(crate) fn is_full() -> bool {
    std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full")
}

pub(crate) async fn open(options: PostgresOptions) -> Arc<PostgresStore> {
    Arc::new(try_open(options).await.unwrap())
}

pub(crate) async fn try_open(options: PostgresOptions) -> tlo::Result<PostgresStore> {
    let ids = Arc::new(IdSource::random());
    PostgresStore::open(options, SystemClock::shared(), ids).await
}

/// A program over a store, whose task `ship` answers with the number after the one it is given.
pub(crate) async fn program(store: &Arc<PostgresStore>) -> TloContext {
    let ship = |_: TaskContext, order: i64| async move { TaskResult::Ok(order + 1) };
    TloContext::builder()
        .settings(SettingsSource::empty())
        .store(Arc::clone(store) as SharedStore)
        .set("lease", "5s")
        .task(task("ship").run(ship))
        .build()
        .await
        .unwrap()
}

pub(crate) fn id(text: impl AsRef<str>) -> TaskId {
    TaskId::new(text).unwrap()
}

pub(crate) fn new(id_text: impl AsRef<str>) -> NewTask {
    NewTask::new(id(id_text), "greet", Payload::parse("{\"n\":1}").unwrap())
}

/// Leases tasks of the kit's name.
pub(crate) async fn lease(
    store: &PostgresStore,
    limit: usize,
) -> tlo::Result<Vec<Arc<TaskStateRecord>>> {
    let minute = Duration::from_secs(60);
    let worker = WorkerId::new("w#1").unwrap();
    store
        .lease(&worker, "default", &["greet"], limit, minute)
        .await
}

pub(crate) async fn total(store: &impl TaskStateStore) -> u64 {
    let counts = store.count(&TaskFilter::default(), CountBy::All, 0).await;
    counts.unwrap().total()
}

pub(crate) fn since_boot() -> Duration {
    SystemClock.steady().at
}

/// Waits until a condition holds; fails after half a minute.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let started = since_boot();
    while !condition().await {
        let waited = since_boot().saturating_sub(started);
        assert!(
            waited < Duration::from_secs(30),
            "waited in vain until {what}"
        );
        SystemClock.sleep(Duration::from_millis(2)).await;
    }
}
