//! The one durable port: [`TaskStateStore`], and the values it speaks in.

mod capability;
mod claim;
mod commit;
mod event;
mod ext;
mod filter;
mod hint;
pub mod kv;
mod maintain;
mod mark;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

pub use capability::{Capability, Durability};
pub use claim::{ClaimRequest, Claims, Lanes, NameVersion};
pub use commit::{Change, Commit, Committed, Create, Effect, Guard, LeaseTo, Op, Patch, Refusal};
pub use event::{Event, NewEvent, StreamId};
pub use ext::TaskStateStoreExt;
pub use filter::{CountBy, Counts, SCAN_LIMIT, TaskFilter};
pub use hint::{Hint, HintSender, HintStream};
pub use maintain::{Maintain, Maintained, Retention};
pub use mark::{GATE_MARK, Mark, MarkExpect};

use crate::error::Result;
use crate::id::TaskId;
use crate::page::{Page, PageRequest};
use crate::task::{TaskStateRecord, TaskSummary};

/// A store, shared.
pub type SharedStore = Arc<dyn TaskStateStore>;

/// Where task records live.
///
/// Implement it to add a backend, or implement the four methods of [`kv::Rows`] over a key-value engine and get all
/// of this from [`RowStore`](crate::RowStore). Users call the pleasant verbs of [`TaskStateStoreExt`].
///
/// # Contract
///
/// Each sentence is a case of the conformance suite (`tlo::testing::conformance`, feature `testing`).
///
/// *Commits.* A commit is applied wholly or not at all. A refused guard changes nothing and names what failed.
/// Commits of one call are independent of each other. A created id cannot be created again, and the second create
/// answers with the first record's id. A result that was answered survives a reopen of a durable store.
///
/// *Leases.* A claimed task is nobody else's until its lease ends. The fence of a task only grows. A write with an old
/// fence or another token is refused and changes nothing. The same settle twice answers that it was already done.
/// A settle after the end of the lease is accepted while nobody took the task back. Extending moves the end of
/// the lease and brings back whether a cancel was asked for.
///
/// *Order.* Tasks are claimed by priority, then due time, then creation. A future task never blocks a ready one. A claim gives at most
/// as many as asked, only of lanes that the worker knows, and says when to look again.
///
/// *Gates.* Never more holders than the limit. A task behind a closed gate is parked and does not cost the others. What opens a gate
/// brings back the best that waits behind it. A holder is gone with its lease.
///
/// *Keys.* One owner per unique key inside its scope. The key is free again in the write that leaves the scope.
///
/// *Streams and marks.* Events are numbered from 1 without gaps. An event key is appended once. A mark changes only from the version that
/// its writer saw.
///
/// *Reading.* Lists are in order of creation, page by page, without repeats or holes while rows come and go.
#[async_trait]
pub trait TaskStateStore: Debug + Send + Sync + 'static {
    /// What this store promises.
    fn capability(&self) -> Capability;

    /// Applies each commit, atomically and durably, and says for each what happened.
    ///
    /// # Errors
    /// When the store as a whole failed; then each commit may or may not have been applied, and sending the same
    /// commits again is safe (creates have client-made ids, settles carry tokens).
    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>>;

    /// Leases the best due tasks of the worker's lanes.
    ///
    /// # Errors
    /// When the store failed. Tasks that were leased without an answer come back when their lease ends.
    async fn claim(&self, request: ClaimRequest) -> Result<Claims>;

    /// The records of these ids, `None` where there is none, in the order of the ids.
    ///
    /// # Errors
    /// When the store failed, or `Corrupt` when a record cannot be read.
    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>>;

    /// A page of the records that match, in order of creation. Examines at most [`SCAN_LIMIT`] rows.
    ///
    /// # Errors
    /// When the store failed.
    async fn list(&self, filter: &TaskFilter, page: PageRequest) -> Result<Page<TaskSummary>>;

    /// How many records match, by group. Stops after `limit` examined rows and says so.
    ///
    /// # Errors
    /// When the store failed.
    async fn count(&self, filter: &TaskFilter, by: CountBy, limit: usize) -> Result<Counts>;

    /// Events of a stream, from a number (the first is 1).
    ///
    /// # Errors
    /// When the store failed.
    async fn events(&self, stream: &StreamId, from: u64, limit: usize) -> Result<Vec<Event>>;

    /// Marks whose key starts with `prefix`, in order of their keys, after `after`.
    ///
    /// # Errors
    /// When the store failed.
    async fn marks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Mark>>;

    /// One small step of upkeep: retention, repair, checkpoint.
    ///
    /// # Errors
    /// When the store failed.
    async fn maintain(&self, request: Maintain) -> Result<Maintained>;

    /// Hints that something changed. They may be lost: polling is the truth.
    fn hints(&self) -> HintStream;
}
