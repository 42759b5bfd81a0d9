//! What the cases have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tlo::store::{TaskStateStore, TaskStateStoreExt};
use tlo::task::NewTask;
use tlo::{Clock, IdSource, Payload, SqliteOptions, SqliteStore, SystemClock, TaskId, WorkerId};

/// A directory with the path of a database in it.
pub(crate) fn home() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tlo.db");
    (directory, path)
}

pub(crate) fn open(path: &Path) -> SqliteStore {
    open_with(SqliteOptions::at(path)).unwrap()
}

pub(crate) fn open_with(options: SqliteOptions) -> tlo::Result<SqliteStore> {
    SqliteStore::open(options, SystemClock::shared(), Arc::new(IdSource::random()))
}

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
    store: &SqliteStore,
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

/// Committed transactions in the write-ahead log since it began: frames that carry the size of the database.
pub(crate) fn logged_commits(path: &Path) -> usize {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let bytes = std::fs::read(wal).unwrap();
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    if bytes.len() < 32 {
        return 0;
    }
    let (page, salt) = (word(8) as usize, (word(16), word(20)));
    (32..bytes.len())
        .step_by(24 + page)
        .filter(|at| at + 24 <= bytes.len())
        .take_while(|at| (word(at + 8), word(at + 12)) == salt)
        .filter(|at| word(at + 4) != 0)
        .count()
}
