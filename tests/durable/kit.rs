//! What the cases of durable stores have in common, whatever the backend.

use std::sync::Arc;
use std::time::Duration;

use tlo::store::{TaskStateStore, TaskStateStoreExt};
use tlo::task::NewTask;
use tlo::{Clock, Payload, SystemClock, TaskId, WorkerId};

use crate::kit::Store;

pub(crate) fn id(text: impl AsRef<str>) -> TaskId {
    TaskId::new(text).unwrap()
}

pub(crate) fn new(id_text: impl AsRef<str>) -> NewTask {
    NewTask::new(id(id_text), "greet", Payload::parse("{\"n\":1}").unwrap())
}

pub(crate) fn worker() -> WorkerId {
    WorkerId::new("w#1").unwrap()
}

/// Leases tasks of the kit's name.
pub(crate) async fn lease(
    store: &Store,
    limit: usize,
) -> tlo::Result<Vec<Arc<tlo::TaskStateRecord>>> {
    let minute = Duration::from_secs(60);
    store
        .lease(&worker(), "default", &["greet"], limit, minute)
        .await
}

pub(crate) async fn total(store: &impl TaskStateStore) -> u64 {
    use tlo::store::{CountBy, TaskFilter};
    let counts = store.count(&TaskFilter::default(), CountBy::All, 0).await;
    counts.unwrap().total()
}

/// Waits until a condition holds; fails after half a minute.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let started = SystemClock.steady().at;
    while !condition().await {
        let waited = SystemClock.steady().at.saturating_sub(started);
        assert!(
            waited < Duration::from_secs(30),
            "waited in vain until {what}"
        );
        SystemClock.sleep(Duration::from_millis(2)).await;
    }
}

/// Whether the full counts were asked for.
pub(crate) fn is_full() -> bool {
    std::env::var("TLO_PROOF").is_ok_and(|proof| proof == "full")
}
