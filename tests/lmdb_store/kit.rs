//! What the cases have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tlo::{IdSource, LmdbOptions, LmdbStore, SystemClock};

pub(crate) use crate::durable::{id, is_full, lease, new, total, until};

/// What the directory of the store is called.
pub(crate) const NAME: &str = "tlo.lmdb";

pub(crate) type Store = LmdbStore;

pub(crate) type Options = LmdbOptions;

/// The file that holds what a store at this path has.
pub(crate) fn data_of(path: &Path) -> PathBuf {
    path.join("data.mdb")
}

/// A directory with the path of a store in it.
pub(crate) fn home() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(NAME);
    (directory, path)
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

pub(crate) fn try_open(path: &Path) -> tlo::Result<Store> {
    open_with(LmdbOptions::at(path))
}

pub(crate) fn open_with(options: LmdbOptions) -> tlo::Result<Store> {
    options.open(SystemClock::shared(), Arc::new(IdSource::random()))
}
