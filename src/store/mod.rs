//! The one durable port: [`TaskStateStore`], and the values it speaks in.

mod capability;
mod claim;
mod commit;
mod enlist;
mod event;
mod ext;
mod filter;
mod hint;
mod holdings;
pub(crate) mod import;
pub mod kv;
mod maintain;
mod mark;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

pub use capability::{Capability, Durability};
pub use claim::{ClaimRequest, Claims, Lanes, NameVersion};
pub use commit::{Change, Commit, Committed, Create, Effect, Guard, LeaseTo, Op, Patch, Refusal};
pub use enlist::{Enlist, EnlistAsync, Tables};
pub use event::{Event, NewEvent, StreamId};
pub use ext::TaskStateStoreExt;
pub use filter::{CountBy, Counts, SCAN_LIMIT, TaskFilter};
pub use hint::{Hint, HintSender, HintStream};
pub use holdings::{Holding, Holdings, KeyOwner, StreamExtent};
pub use import::Import;
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
/// # Deadlines
///
/// Every call ends. A store that may hang (a disk, a lock, a network) ends a call after a time of its own, 30 s unless
/// chosen otherwise, with [`Timeout`](crate::ErrorKind::Timeout). Then a commit or a claim may or may not have been made,
/// unless the message says that it was given up before it began. The stores that come with TLO keep this; the one in
/// memory has nothing to wait for.
///
/// # Contract
///
/// Each sentence is a case of the conformance suite (`tlo::testing::conformance`, feature `testing`). What needs
/// something that not every store can do (a reopen, several handles, a steady clock) is skipped where it is missing.
///
/// *Commits*
///
/// - A commit is applied wholly or not at all.
/// - A refused guard changes nothing and names what failed.
/// - An open guard refuses what has ended.
/// - A revision guard refuses a writer that read an older record.
/// - Commits of one call are independent of each other.
/// - Commits of one call are applied in their order.
/// - Operations of a commit see those before them.
/// - Every write to a record raises its revision.
/// - An operation on an unknown id is refused as not found.
/// - A call without commits and a commit without operations change nothing.
/// - A settle and what follows from it are one write.
/// - A fused commit with a stale part changes nothing.
///
/// *Creating*
///
/// - A created record has the fields it was given.
/// - A created id cannot be created again, and the second create answers with the first record's id.
/// - A create that must be new is refused for a known id.
/// - A task can be created and deleted in one commit whether its id is known or not.
/// - Many callers that create one id make one record.
/// - Creation sequences grow in the order of creation.
/// - A commit of many creates is all or nothing.
/// - Creates in commits of their own report each by itself.
/// - Creates of one commit report each in its order, also beside known ones.
/// - A created task can be leased to its creator in the same write.
/// - A lease at creation is not given before the task is due.
/// - A lease at creation is not given to a task that expired.
/// - A lease at creation is not given while a gate is closed.
/// - A lease at creation is a claim for unique keys and for the time a task expires.
/// - A full queue refuses another task.
/// - A full queue refuses a move and a revival and takes back what it gave out.
///
/// *Claiming*
///
/// - Tasks are claimed by priority, then due time, then creation.
/// - However many come due at once the best of them is claimed first.
/// - A future task never blocks a ready one.
/// - A task is claimed from its due time on and not before.
/// - A due time given as a wait counts from the clock of the store.
/// - A claim gives at most as many as asked.
/// - A claim gives only tasks of the queues and names it asks for.
/// - Queues are served in the order they are asked for.
/// - A task with a version goes to a worker that knows that version.
/// - A task without a version fits any version of its name.
/// - A worker of many names claims in the order of one queue.
/// - Tasks of unknown names do not hide those of known ones.
/// - An empty queue gives nothing and no time to look again.
/// - A claimed record shows its lease, its attempt and its start.
/// - A task that expired is cancelled instead of started.
/// - A preferred worker claims first and the others when that ends.
/// - The time to look again is never after the first delayed task.
/// - The time to look again is never after the end of a lease.
/// - A claim that stopped at its limit says to look again at once.
/// - A change of priority or due time changes the order at once.
/// - Many claimers at once get each task exactly once.
///
/// *Leases*
///
/// - A claimed task is nobody else's until its lease ends.
/// - The fence of a task only grows.
/// - Every lease has a token of its own.
/// - A write with an old fence or another token is refused and changes nothing.
/// - The same settle twice answers that it was already done.
/// - A settle after the end of the lease is accepted while nobody took the task back.
/// - A settle after the task was taken back is refused.
/// - Extending moves the end of the lease.
/// - Extending brings back whether a cancel was asked for or a wake came.
/// - A lease that ended can be extended while nobody took the task back.
/// - A batch of extends answers for each by itself.
///
/// *Lost leases*
///
/// - A lease is taken back only after its end.
/// - Taking back is refused for another fence.
/// - Of many that take a task back, one succeeds.
/// - Of a settle, an extend and a taking back, each order has one outcome.
/// - A lost lease counts as lost and not as an attempt.
/// - A task that lost too many leases has failed.
/// - A task that runs at most once fails with its first lost lease.
/// - The list of ended leases has those and no others.
/// - Setting the wall clock does not end a lease.
/// - A reboot ends every lease.
///
/// *The end of a run*
///
/// - A success keeps its result, its end and its attempt.
/// - A failed attempt waits for its retry and keeps its error.
/// - The failure of the last attempt is final.
/// - A success takes the earlier error away.
/// - A snooze and a release give the attempt back.
/// - A snoozed task waits until it is due again.
/// - A wake during a run ends its next snooze at once.
/// - A request to cancel wins over a retry and a snooze, and not over a success.
/// - A cancelled run keeps the reason it was cancelled for.
/// - What has ended is settled no more.
/// - What does not run cannot be settled as done.
/// - A settlement leads to waiting or to an end.
/// - The history keeps the first attempt and the last twenty.
/// - Long error texts are cut.
/// - A settlement can carry the phase and the state of an engine.
///
/// *Gates*
///
/// - There are never more holders than the limit.
/// - Many claimers at once never pass the limit.
/// - A task behind a closed gate is parked and does not hold up the others.
/// - A thousand times more tasks behind one key do not hide the others.
/// - What opens a gate brings back the best that waits behind it.
/// - A holder is gone when its lost lease is taken back.
/// - A task that waits again gives its place up.
/// - With different limits on one key, each task goes by its own.
/// - Many tasks of a small limit do not hide one of a larger.
/// - A task enters all its gates or none.
/// - A backlog that waits for two gates takes few claims from one to the other.
/// - A task that was brought back and is not to run passes its turn on.
/// - A task that was brought back and expired passes its turn on.
/// - A parked task that is put off does not keep the gate shut.
/// - A parked task can be cancelled, moved and deleted.
/// - Upkeep brings back what waits behind an open gate.
///
/// *Rules of gates, queues and names*
///
/// - A rule replaces the limit that tasks carry.
/// - A dropped rule brings the limits of the tasks back.
/// - A paused gate starts nothing and its tasks come back when it goes on.
/// - A gate that goes on opens also for those behind tasks that wait for another.
/// - A paused queue gives nothing and what runs goes on.
/// - A paused task name stops that name only.
/// - However many wait of a name that may not start they hide no other one.
/// - A rule of a name holds for the older names of its task.
/// - A gate that a task has in two ways counts it once.
/// - A limit on a queue or a name bounds what runs.
/// - A rate lets so many start in its period.
/// - A rate lets a burst start after a quiet time.
/// - A rate that was changed holds at once.
/// - The time to look again is never after the next start that a rate allows.
/// - A start that comes late does not put off the next one that a rate allows.
/// - A rule with a time to live ends by itself.
/// - What is no rule is refused as the rule of a gate.
///
/// *Unique keys*
///
/// - A unique key has one owner inside its scope and the first payload is kept.
/// - Many callers with one key make one task.
/// - A key kept while queued is free after the claim.
/// - A key kept while unfinished is free in the write that ends the task.
/// - A key kept while unfinished is kept while the task runs and waits again.
/// - A key kept for a time is free after it, ended or not.
/// - A key kept for ever stays taken after its task is deleted.
/// - A key is freed by its owner only.
/// - Deleting the owner frees the key.
/// - A conflict can be refused with the owner.
/// - A conflict can replace what the waiting owner does.
/// - A conflict that replaces args replaces the gates made from them.
/// - A conflict can put the waiting owner off.
/// - A conflict leaves an owner that runs alone.
/// - A revived task takes its key anew and is refused while another owns it.
///
/// *Control*
///
/// - Cancelling what waits ends it at once with the reason.
/// - Cancelling what runs asks and ends nothing.
/// - What has ended cannot be cancelled or woken.
/// - A revived task has a fresh budget and keeps its history.
/// - Only what failed or was cancelled can be revived.
/// - A wake makes a waiting task due now.
/// - A deleted task is gone with its streams.
/// - Deleted in a commit it can be made again in it.
/// - What runs cannot be deleted.
/// - A patch changes what it names and nothing else.
/// - What runs cannot be moved and can report progress.
/// - A moved task keeps its id and is claimed from its new queue.
///
/// *Streams*
///
/// - Events are numbered from one without gaps.
/// - An event keeps its kind, its key, its data and its time.
/// - An event key is appended once.
/// - Many writers of one stream leave no gap.
/// - Trimming removes what came before a number and keeps the numbers of the rest.
/// - A length guard counts every event ever appended.
/// - Streams of other owners and names do not mix.
/// - Events are read from a number on up to a limit.
///
/// *Marks*
///
/// - A mark changes only from the version that its writer saw.
/// - Of many writers that saw one version, one wins.
/// - A mark keeps its value and the time it was set.
/// - A mark with a time to live is gone after it.
/// - Setting a mark again replaces its time to live.
/// - A mark that was dropped and set again has another version.
/// - Marks are listed by prefix in order of their keys, page by page.
///
/// *Reading*
///
/// - Records are given in the order of the ids asked for.
/// - Lists are in order of creation, page by page, without repeats or holes while rows come and go.
/// - Lists can be read with the newest first.
/// - Each filter finds exactly what matches it.
/// - The conditions of a filter must all hold.
/// - A page has at least one and at most a thousand items.
/// - A list looks at ten thousand rows and says where to go on.
/// - A list by id prefix does not end before the last match.
/// - Summaries cut long payloads and say so.
///
/// *Counting*
///
/// - Counts agree with lists after every step.
/// - A count that stops early says so.
/// - Failures that differ in numbers are counted as one group.
///
/// *Names and payloads*
///
/// - Payloads are kept byte for byte.
/// - A payload of one mebibyte is kept and one byte more is refused.
/// - Hostile names stay apart.
/// - Names of 255 bytes are kept and longer ones are refused.
/// - Empty names and control characters are refused.
/// - Too many gates or tags, a gate of limit zero and one given twice are refused.
///
/// *Upkeep*
///
/// - Retention by age removes what ended before it and nothing else.
/// - Retention by count keeps those that ended last.
/// - Retention never removes what has not ended.
/// - Children of a parent that has not ended are kept.
/// - Kept children do not hide what can go.
/// - What ended first goes first also where a parent ends between two steps.
/// - Upkeep is done in small steps until nothing is left.
/// - Upkeep removes marks whose time is over.
/// - A removed record takes its streams along and leaves the key that outlives it.
///
/// *Moving to another store*
///
/// - An imported record is as it was but for its place in the order of creation.
/// - An imported record takes part in all that follows.
/// - Importing the same again changes nothing.
/// - Another record of an imported id is refused.
/// - A record that cannot be is not imported.
/// - An imported lease ends by the clock of the store it came to.
/// - An imported holder keeps its places and an imported parked task waits behind them.
/// - Imported events keep their numbers and times and leave no gap.
/// - An imported mark keeps its times and its rule holds.
/// - An imported key has its owner whether that is there or not.
/// - What is held besides records and marks is told page by page.
///
/// *Hints*
///
/// - A new task is hinted to those who serve its queue.
/// - The end of a task is hinted.
/// - A wake or a request to cancel of what runs is hinted.
/// - What comes back to wait is hinted.
/// - A place that becomes free is hinted.
/// - A refused commit hints nothing.
///
/// *Durability and several handles*
///
/// - What was answered survives a reopen.
/// - A lease survives a reopen and is still its holder's.
/// - What waits behind a gate or for a time survives a reopen.
/// - Numbers go on after a reopen.
/// - Two handles see what the other wrote.
/// - Two handles never lease one task twice.
/// - Two handles never make one key or one mark twice.
/// - A record that cannot be read is reported and the others go on.
/// - A record that cannot be read does not stop upkeep.
/// - A lease of a record that cannot be read ends once and frees its places.
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

    /// What it holds beside records and marks: streams, and unique keys whose time is not over; at most about `limit` of
    /// them, behind what an earlier call answered as [`Holdings::next`]. It walks through all there is, for moves to
    /// another store. Each comes at least once; what is made or goes meanwhile may be missed.
    ///
    /// # Errors
    /// When the store failed, or `Invalid` for an `after` that no store like it said.
    async fn holdings(&self, after: Option<&str>, limit: usize) -> Result<Holdings>;

    /// One small step of upkeep: retention, repair, checkpoint.
    ///
    /// # Errors
    /// When the store failed.
    async fn maintain(&self, request: Maintain) -> Result<Maintained>;

    /// Reads everything there is and says what is wrong with it, a line each, at most 200; nothing when all is well. It
    /// takes as long as that takes: it is for a person who asks, as `tlo doctor` does.
    ///
    /// # Errors
    /// When the store failed, or does not get as far as to say what is wrong.
    async fn check(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Where its tables are in a database, when commits can become a part of a transaction of the caller there
    /// ([`EnlistAsync`]); nothing unless a store says so.
    fn tables(&self) -> Option<Tables> {
        None
    }

    /// Hints that something changed. They may be lost: polling is the truth.
    fn hints(&self) -> HintStream;
}
