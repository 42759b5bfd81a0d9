//! What the cases have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tlo::{IdSource, SqliteOptions, SqliteStore, SystemClock};

pub(crate) use crate::durable::{id, is_full, lease, new, total, until};

/// What the database is called.
pub(crate) const NAME: &str = "tlo.db";

pub(crate) type Store = SqliteStore;

pub(crate) type Options = SqliteOptions;

/// The file that holds what a store at this path has.
pub(crate) fn data_of(path: &Path) -> PathBuf {
    path.to_owned()
}

/// A directory with the path of a database in it.
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
    open_with(SqliteOptions::at(path))
}

pub(crate) fn open_with(options: SqliteOptions) -> tlo::Result<SqliteStore> {
    SqliteStore::open(options, SystemClock::shared(), Arc::new(IdSource::random()))
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
