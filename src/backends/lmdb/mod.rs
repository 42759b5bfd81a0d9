//! A durable store in LMDB: one memory-mapped file that several processes of one machine may share. How it is used, and what it promises: [`LmdbStore`].

mod engine;
mod environment;
mod fault;
mod layout;
mod options;
mod place;
mod rows;
mod upkeep;

pub use self::engine::LmdbEngine;
pub use self::options::{LmdbDurability, LmdbOptions};
pub use self::upkeep::LmdbFacts;
use super::rows::RowStore;

/// A [`TaskStateStore`](crate::store::TaskStateStore) in an LMDB environment, opened by [`LmdbOptions::open`].
///
/// # What it promises
///
/// - One thread writes for everybody, many commits in one transaction; an answer is given when LMDB has written and synced
///   the pages and then the page that makes them count. What was answered survives the death of the process and a power
///   failure; `durability = "relaxed"` lets a power failure take the latest commit. The flags are read back and insisted on.
/// - A process that is killed in the middle of a write leaves nothing of it, and the next writer goes on at once.
/// - Reads never wait for writes, and each sees one consistent state.
/// - The map grows by itself, from 64 MiB, and uses of the disk what is kept. A full disk, or `max_bytes`, refuses what adds to
///   the store as `Unavailable`; beyond `max_bytes` an eighth is kept so that tasks can still be settled and deleted.
/// - A path is opened once in a process: all handles share it.
/// - Another process' writes are noticed by the number of the last transaction, which is asked four times a second while
///   somebody listens for hints.
///
/// # In production
///
/// ```toml
/// task_state_store = "lmdb:/var/lib/app/tlo.lmdb"
/// [lmdb]
/// max_bytes = 10737418240   # 10 GiB; without it the disk is the limit
/// call_timeout = "30s"
/// ```
///
/// - On a local disk. Network and FUSE file systems are refused, for processes share memory and locks beside the file; so do
///   not share a store between machines, or between containers that do not share their process ids.
/// - The size of the map shows as virtual memory, and pages of the file that were read as resident memory: the system takes
///   those back when it needs them.
/// - What was deleted is used again, not given back to the disk. To shrink: stop the processes and `mdb_copy -c` the directory.
/// - Back up a running store with `mdb_copy tlo.lmdb backup.lmdb`; copying the file alone while somebody writes may tear it.
/// - LMDB has no checksums: it trusts its disk. A file that was damaged from outside may end the process that reads it.
/// - A process that is stopped (SIGSTOP, a debugger) in the middle of a write keeps the lock of writers: calls of the others end
///   as `Timeout` after `call_timeout`.
/// - It is looked at with `tlo`, or with LMDB's own `mdb_stat -a` and `mdb_dump -s rows`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tlo::Result<()> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("tlo.lmdb");
/// use std::sync::Arc;
/// use tlo::store::TaskStateStore;
/// use tlo::{IdSource, LmdbOptions, SystemClock};
///
/// let store = LmdbOptions::at(path).open(SystemClock::shared(), Arc::new(IdSource::random()))?;
/// assert!(store.capability().shared);
/// assert_eq!(store.engine().facts()?.rows, 0);
/// # Ok(())
/// # }
/// ```
pub type LmdbStore = RowStore<LmdbEngine>;
