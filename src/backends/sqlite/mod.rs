//! The embedded durable store: one SQLite file that several processes of one machine may share.
//!
//! - One thread writes for everybody, many commits in one `BEGIN IMMEDIATE` transaction; an answer is given when
//!   `COMMIT` has returned. A few more connections read, each on a consistent view that contains every answered commit.
//! - WAL mode and `synchronous=FULL` are asked for, read back and insisted on.
//! - Another process' writes are noticed by asking SQLite for its data version, four times a second while
//!   somebody listens for hints and not at all otherwise.
//! - A write that fails changes nothing; the next one is tried afresh, so a disk that has room again or a lock
//!   that was given up needs no restart.
//!
//! The file can be looked at with any SQLite shell of version 3.38 or newer while the store runs:
//!
//! ```text
//! $ sqlite3 -readonly tlo.db "SELECT id, name, status, error FROM tasks WHERE status = 'failed'"
//! ```

mod connection;
mod engine;
mod enlist;
mod fault;
mod options;
mod patience;
mod place;
mod readers;
mod rows;
mod schema;
mod upkeep;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::engine::SqliteEngine;
pub use self::options::{SqliteDurability, SqliteOptions};
pub use self::upkeep::SqliteFacts;
use super::rows::RowStore;
use crate::clock::Clock;
use crate::error::Result;
use crate::id::{IdSource, TaskId};
use crate::page::{Page, PageRequest};
use crate::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Event, HintStream,
    Holdings, Maintain, Maintained, Mark, StreamId, TaskFilter, TaskStateStore,
};
use crate::task::{TaskStateRecord, TaskSummary};

/// A [`TaskStateStore`] in a SQLite file.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tlo::Result<()> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("tlo.db");
/// use std::sync::Arc;
/// use tlo::store::TaskStateStore;
/// use tlo::{IdSource, SqliteOptions, SqliteStore, SystemClock};
///
/// let store = SqliteStore::open(SqliteOptions::at(path), SystemClock::shared(), Arc::new(IdSource::random()))?;
/// assert!(store.capability().shared);
/// assert_eq!(store.facts().await?.journal_mode, "wal");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SqliteStore(RowStore<SqliteEngine>);

impl SqliteStore {
    /// Opens the file, makes it when it is not there, and starts the writer. Blocks while it reads the disk, and up to
    /// `busy_timeout` while another process changes the layout.
    ///
    /// # Errors
    /// Those of [`SqliteEngine::open`].
    pub fn open(options: SqliteOptions, clock: Arc<dyn Clock>, ids: Arc<IdSource>) -> Result<Self> {
        let limit = options.call_limit();
        let engine = SqliteEngine::open(options, Arc::clone(&ids))?;
        let store = RowStore::open(engine, clock, ids)?;
        Ok(Self(store.call_timeout(limit)))
    }

    /// The file, its sizes, and its settings as SQLite reports them.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn facts(&self) -> Result<SqliteFacts> {
        self.0.reading(upkeep::facts).await
    }
}

#[async_trait]
impl TaskStateStore for SqliteStore {
    fn capability(&self) -> Capability {
        self.0.capability()
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        self.0.commit(commits).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        self.0.claim(request).await
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
        self.0.get(ids).await
    }

    async fn list(&self, filter: &TaskFilter, page: PageRequest) -> Result<Page<TaskSummary>> {
        self.0.list(filter, page).await
    }

    async fn count(&self, filter: &TaskFilter, by: CountBy, limit: usize) -> Result<Counts> {
        self.0.count(filter, by, limit).await
    }

    async fn events(&self, stream: &StreamId, from: u64, limit: usize) -> Result<Vec<Event>> {
        self.0.events(stream, from, limit).await
    }

    async fn marks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Mark>> {
        self.0.marks(prefix, after, limit).await
    }

    async fn holdings(&self, after: Option<&str>, limit: usize) -> Result<Holdings> {
        self.0.holdings(after, limit).await
    }

    async fn maintain(&self, request: Maintain) -> Result<Maintained> {
        self.0.maintain(request).await
    }

    async fn check(&self) -> Result<Vec<String>> {
        self.0.check().await
    }

    fn hints(&self) -> HintStream {
        self.0.hints()
    }
}
