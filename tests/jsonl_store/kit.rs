//! What the cases have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tlo::{IdSource, JsonlOptions, JsonlStore, SystemClock};

pub(crate) use crate::durable::{id, is_full, lease, new, total, until};

/// What the log is called.
pub(crate) const NAME: &str = "tlo.jsonl";

pub(crate) type Store = JsonlStore;

pub(crate) type Options = JsonlOptions;

/// The file that holds what a store at this path has.
pub(crate) fn data_of(path: &Path) -> PathBuf {
    path.to_owned()
}

/// A directory with the path of a log in it.
pub(crate) fn home() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    (directory, path)
}

/// The same in memory, where there is such a folder: for what opens a log again and again.
pub(crate) fn quick_home() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let directory = directory.unwrap();
    let path = directory.path().join(NAME);
    (directory, path)
}

/// Options with which a compaction begins soon, and again.
pub(crate) fn restless(path: &Path) -> JsonlOptions {
    JsonlOptions {
        compact_bytes: 50_000,
        compact_ratio: 2,
        ..JsonlOptions::at(path)
    }
}

/// A store for the tests of all durable backends: what keeps it there, and its name.
pub(crate) fn place() -> Option<(TempDir, String)> {
    let (directory, path) = home();
    Some((directory, path.display().to_string()))
}

pub(crate) async fn open_place(place: &str) -> Store {
    std::future::ready(open(Path::new(place))).await
}

pub(crate) fn open(path: &Path) -> Store {
    try_open(path).unwrap()
}

/// What is killed or filled up while it is open compacts all the time.
pub(crate) fn try_open(path: &Path) -> tlo::Result<Store> {
    open_with(restless(path))
}

pub(crate) fn open_with(options: JsonlOptions) -> tlo::Result<Store> {
    options.open(SystemClock::shared(), Arc::new(IdSource::random()))
}
