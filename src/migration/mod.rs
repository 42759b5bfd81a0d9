//! [`Migration`]: everything that one store holds, copied to another one.
//!
//! Records keep their ids, their histories and their results, events their numbers and times, marks and unique keys their
//! values, owners and ends; so what comes next goes on on the other store as it would have here. Of the source nothing is
//! changed; opening a store may bring its layout up to date before.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
//! use std::sync::Arc;
//! use tlo::migration::Migration;
//! use tlo::prelude::*;
//! use tlo::store::{SharedStore, TaskStateStoreExt};
//! use tlo::task::NewTask;
//! use tlo::{MemoryStore, Payload, TaskId};
//!
//! let (from, to): (SharedStore, SharedStore) = (Arc::<MemoryStore>::default(), Arc::<MemoryStore>::default());
//! from.create(NewTask::new(TaskId::new("mail-17")?, "mail", Payload::null())).await?;
//!
//! let report = Migration::between(from, to.clone()).run().await?;
//! assert!(report.agrees());
//! assert_eq!(report.from.records, 1);
//! assert_eq!(report.from.checksum(), report.to.checksum());
//! assert_eq!(to.read(&TaskId::new("mail-17")?).await?.status, TaskStatus::Pending);
//! # Ok(()) }
//! ```
//!
//! # What is copied
//!
//! Records in their order of creation, whatever their status; all streams of events, the audit and the logs of runs among
//! them; marks, which hold the cursors and specifications of schedules, pauses and limits; and the owners of unique keys.
//! Marks of workers are not. What a rate has used up is not either: its first period on the other store begins anew.
//!
//! # Interrupted, and done again
//!
//! How far it came is kept in a mark of the target, so the same migration goes on where it ended, whatever ended it, and
//! copies nothing twice. Until it is done nothing else may use the target.
//!
//! # Rest
//!
//! The source has to be at rest: with a worker that lives, or a task that somebody holds a live lease of, it is refused.
//! Clients that submit meanwhile are not seen; they are found when both sides are compared at the end, and a second run
//! copies the tasks that they added. When tasks changed or went, only a copy into an empty store has it right. A task whose lease has ended is copied as it is, and taken back on the target as it would have
//! been on the source.

mod copy;
mod lost;
mod progress;
mod report;
mod rest;
mod tally;
mod walk;

use std::fmt;
use std::sync::Arc;

pub use report::{Differences, MigrationReport};
pub use tally::{Group, Tally};

use self::copy::Copying;
use self::progress::{Progress, Stage};
use self::rest::Target;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{MarkExpect, SharedStore};

/// The operation of its errors.
const OPERATION: &str = "move tasks";

/// How far a migration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// So many records were copied, of about so many.
    Records {
        /// Copied, in this run or an earlier one.
        done: u64,
        /// All of them, as they were counted at the beginning.
        of: u64,
    },
    /// So many streams and keys were copied.
    Holdings(u64),
    /// Both sides are read and compared.
    Comparing,
}

type Watch = Arc<dyn Fn(Step) + Send + Sync>;

/// A migration of everything in one store to another.
#[must_use = "it does nothing until it is run"]
pub struct Migration {
    from: SharedStore,
    to: SharedStore,
    names: (String, String),
    clock: Arc<dyn Clock>,
    watch: Watch,
}

impl fmt::Debug for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migration")
            .field("from", &self.names.0)
            .field("to", &self.names.1)
            .finish_non_exhaustive()
    }
}

fn conflict(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Conflict, OPERATION, message)
}

/// From which store a copy into this one did not come to its end, if there is such.
#[cfg(feature = "cli")]
pub(crate) async fn unfinished(store: &SharedStore) -> Result<Option<String>> {
    let begun = progress::begun_in(store).await?;
    Ok(begun.map(|(begun, _)| begun.from))
}

impl Migration {
    /// From one store to another, which is empty or holds what an earlier run of the same migration brought.
    pub fn between(from: SharedStore, to: SharedStore) -> Self {
        let names = (from.capability().promise, to.capability().promise);
        Self {
            from,
            to,
            names,
            clock: SystemClock::shared(),
            watch: Arc::new(|_| {}),
        }
    }

    /// What the stores are called: in errors, and to tell whether an unfinished migration is this one. Without it they are
    /// called by what they promise.
    pub fn named(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.names = (from.into(), to.into());
        self
    }

    /// Another clock than that of this machine.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Tells how far it is.
    pub fn watch(mut self, watch: impl Fn(Step) + Send + Sync + 'static) -> Self {
        self.watch = Arc::new(watch);
        self
    }

    /// Looks whether it could be run, and counts what it would copy. It writes nothing.
    ///
    /// # Errors
    /// Those of [`run`](Self::run) that it finds before it begins.
    pub async fn look(&self) -> Result<Tally> {
        rest::check_source(self).await?;
        if let Target::Holds(has, _) = rest::check_target(self).await? {
            return Err(rest::not_empty(self, &has));
        }
        let read = tally::read(&self.from).await?;
        Ok(read.after(self.clock.now()))
    }

    /// Copies everything, or what is left of it, and compares both sides.
    ///
    /// # Errors
    /// `Conflict` when the source is not at rest, when the target holds something else than the source, when somebody else copies into it,
    /// and when a task on the target is no longer as it was copied. `Corrupt` when an event of the source cannot be read;
    /// a record that cannot be read is only reported. `Invalid` when the target does not take something as the source has
    /// it. `Unsupported` when a store cannot be copied, or another version of TLO began the migration. And those of the
    /// stores.
    pub async fn run(&self) -> Result<MigrationReport> {
        rest::check_source(self).await?;
        let progress = match rest::check_target(self).await? {
            Target::Empty => Progress::begin(self, MarkExpect::Absent, Stage::default()).await?,
            Target::Begun(begun, version) => Progress::go_on(self, (begun, version)).await?,
            Target::Holds(has, mark) => return self.compare_only(&has, mark).await,
        };
        let mut copying = Copying::new(self, progress).await?;
        copying.run().await?;
        let (from, to) = self.tallies().await?;
        let differences = match from == to {
            true => Differences::default(),
            false => lost::differences(self).await?,
        };
        let report = MigrationReport {
            unreadable: lost::unreadable(&self.from, from.records).await?,
            differences,
            resumed: copying.resumed,
            from,
            to,
        };
        if report.from == report.to {
            // What cannot be read does not become readable by another run: the report tells of it, and all else is there.
            copying.progress.finish(self).await?;
        } else {
            // Whatever differs is copied by the next run, from the beginning.
            copying.progress.save(self, Stage::default()).await?;
        }
        Ok(report)
    }

    async fn tallies(&self) -> Result<(Tally, Tally)> {
        (self.watch)(Step::Comparing);
        let from = tally::read(&self.from).await?;
        let to = tally::read(&self.to).await?;
        let now = self.clock.now();
        Ok((from.after(now), to.after(now)))
    }

    /// The end of an earlier run may not have been heard of: then all is there. A target that holds something else stays
    /// as it is.
    async fn compare_only(&self, has: &str, mark: MarkExpect) -> Result<MigrationReport> {
        let progress = Progress::begin(self, mark, Stage::Nothing).await?;
        let same = match rest::count(&self.from).await? == rest::count(&self.to).await? {
            true => Some(self.tallies().await?).filter(|(from, to)| from == to),
            false => None,
        };
        progress.finish(self).await?;
        let (from, to) = same.ok_or_else(|| rest::not_empty(self, has))?;
        Ok(MigrationReport {
            unreadable: lost::unreadable(&self.from, from.records).await?,
            differences: Differences::default(),
            resumed: true,
            from,
            to,
        })
    }
}
