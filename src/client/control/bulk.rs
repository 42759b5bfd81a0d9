//! Many tasks at once: what is to be done to which, and what became of it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::bulk_run;
use super::one::{due_patch, due_text, priority_patch, queue_patch};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::page::{PAGE_LIMIT, PageRequest};
use crate::store::{CountBy, Op, TaskFilter};
use crate::task::{Due, LOCK_NAME, TaskStatus};

/// What is done to a task, or to each of many.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskAction {
    /// Cancels what waits at once, and asks what runs to stop.
    Cancel,
    /// Runs failed tasks again; cancelled ones when the filter names that status.
    Revive(Due),
    /// Moves waiting tasks to a queue.
    Move(String),
    /// Gives waiting tasks a priority.
    Reprioritise(u8),
    /// Makes waiting tasks due at a time.
    Reschedule(Due),
    /// Removes tasks that have ended; waiting ones when the filter names that status.
    Delete,
}

impl TaskAction {
    /// The verb, as audit events have it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Revive(_) => "revive",
            Self::Move(_) => "move",
            Self::Reprioritise(_) => "reprioritise",
            Self::Reschedule(_) => "reschedule",
            Self::Delete => "purge",
        }
    }

    /// The statuses that it is for when the filter names none, and those that the filter may name.
    const fn statuses(&self) -> (&'static [TaskStatus], &'static [TaskStatus]) {
        use TaskStatus::{Cancelled, Failed, Pending, Running, Succeeded};
        match self {
            Self::Cancel => (&[Pending, Running], &[Pending, Running]),
            Self::Revive(_) => (&[Failed], &[Failed, Cancelled]),
            Self::Move(_) | Self::Reprioritise(_) | Self::Reschedule(_) => (&[Pending], &[Pending]),
            Self::Delete => (
                &[Succeeded, Failed, Cancelled],
                &[Succeeded, Failed, Cancelled, Pending],
            ),
        }
    }

    /// That it cannot be done to a task of this status.
    #[cfg(feature = "cli")]
    pub(crate) fn refusal(&self, id: &TaskId, status: TaskStatus) -> Option<Error> {
        let (_, allowed) = self.statuses();
        let message = || {
            format!(
                "\"{id}\" is {status}; `{}` does not apply to it",
                self.as_str()
            )
        };
        (!allowed.contains(&status))
            .then(|| Error::new(ErrorKind::Conflict, self.as_str(), message()))
    }

    pub(super) fn op(&self, id: TaskId, why: &str) -> Op {
        match self {
            Self::Cancel => Op::Cancel(id, why.to_owned()),
            Self::Revive(due) => Op::Revive(id, *due),
            Self::Move(queue) => Op::Patch(id, Box::new(queue_patch(queue))),
            Self::Reprioritise(priority) => Op::Patch(id, Box::new(priority_patch(*priority))),
            Self::Reschedule(due) => Op::Patch(id, Box::new(due_patch(*due))),
            Self::Delete => Op::Delete(id),
        }
    }

    pub(super) fn to(&self) -> Option<String> {
        match self {
            Self::Cancel | Self::Delete | Self::Revive(Due::Now) => None,
            Self::Revive(due) | Self::Reschedule(due) => Some(due_text(*due)),
            Self::Move(queue) => Some(queue.clone()),
            Self::Reprioritise(priority) => Some(priority.to_string()),
        }
    }
}

/// Whether records of this name are TLO's own: they hold locks and record long runs.
pub(super) fn is_reserved(name: &str) -> bool {
    name == bulk_run::NAME || name == LOCK_NAME
}

/// A task that did not take part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BulkRefusal {
    /// Its id.
    pub id: TaskId,
    /// Why, such as that it ended in the meantime, or that another task owns its unique key.
    pub why: String,
    /// What sort of error that is.
    #[serde(skip)]
    pub kind: ErrorKind,
}

/// What a bulk operation has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BulkReport {
    /// Tasks that were changed.
    pub done: u64,
    /// Tasks that refused it.
    pub refused: u64,
    /// The first of those, at most ten.
    pub refusals: Vec<BulkRefusal>,
    /// The record of the run, when it took more than one step: it shows its progress, and cancelling it stops the run.
    pub run: Option<TaskId>,
    /// Somebody stopped it before it was through.
    pub stopped: bool,
}

type OnProgress = Box<dyn FnMut(&BulkReport) + Send + Sync>;

/// An operation on all tasks that match a filter, about to be run.
///
/// It works in steps of at most 500 tasks, in order of creation, and takes only tasks that were there when it began. The
/// records of locks and of such runs are none of them, unless the filter has their name. What
/// fits into one step is one commit. A longer run is a record itself, named `tlo.bulk`: it shows its progress, cancelling it
/// stops the run, and when this process dies it ends as failed, with what was done so far.
#[must_use = "nothing happens before `run` is called"]
pub struct Bulk {
    pub(super) client: Client,
    pub(super) action: TaskAction,
    filter: TaskFilter,
    all: bool,
    pub(super) why: Option<String>,
    pub(super) rate: Option<u32>,
    pub(super) on_progress: Option<OnProgress>,
}

impl fmt::Debug for Bulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulk")
            .field("action", &self.action)
            .field("filter", &self.filter)
            .field("all", &self.all)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Starts an operation on all tasks that match a filter. An empty filter is refused unless [`Bulk::all`] says that all
    /// are meant.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
    /// use tlo::client::TaskAction;
    /// use tlo::prelude::*;
    /// use tlo::store::TaskFilter;
    /// let tlo = TloContext::builder().task(task("greet").declare()).build().await?;
    /// let client = tlo.client();
    /// client.task("greet").submit().await?;
    /// let report = client.bulk(TaskAction::Cancel, TaskFilter::name("greet")).why("not today").run().await?;
    /// assert_eq!((report.done, report.refused), (1, 0));
    /// assert!(client.bulk(TaskAction::Delete, TaskFilter::default()).run().await.is_err());
    /// assert_eq!(client.bulk(TaskAction::Delete, TaskFilter::default()).all().run().await?.done, 1);
    /// # Ok(()) }
    /// ```
    pub fn bulk(&self, action: TaskAction, filter: TaskFilter) -> Bulk {
        Bulk {
            client: self.clone(),
            action,
            filter,
            all: false,
            why: None,
            rate: None,
            on_progress: None,
        }
    }
}

impl Bulk {
    /// Means all tasks, when the filter is empty.
    pub fn all(mut self) -> Self {
        self.all = true;
        self
    }

    /// Why, for the audit event; cancelled tasks keep it as their error.
    pub fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// At most so many tasks a second, at least 1: a hundred thousand that are revived at once would crowd out the others.
    pub fn rate(mut self, per_second: u32) -> Self {
        self.rate = Some(per_second.max(1));
        self
    }

    /// Tells what was done so far after each step.
    pub fn on_progress(mut self, tell: impl FnMut(&BulkReport) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Box::new(tell));
        self
    }

    /// How many tasks match now; nothing is changed.
    ///
    /// # Errors
    /// `Invalid` as for [`run`](Self::run), and those of the store.
    pub async fn count(&self) -> Result<u64> {
        let filter = self.narrowed()?;
        let counted = self.client.count(&filter, CountBy::Name).await?;
        if counted.complete {
            let groups = counted.groups.iter();
            let meant = groups.filter(|(name, _)| !self.spares(name));
            return Ok(meant.map(|(_, count)| count).sum());
        }
        let mut page = PageRequest::first(PAGE_LIMIT);
        let mut count = 0;
        loop {
            let found = self.client.list(&filter, page).await?;
            let meant = found.items.iter();
            count += meant.filter(|item| !self.spares(&item.record.name)).count() as u64;
            match found.next {
                Some(next) => page.after = Some(next),
                None => return Ok(count),
            }
        }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// `Invalid` for an empty filter without [`all`](Self::all), and for a status that the operation is not for;
    /// `LeaseLost` when this process was stopped for so long that its run was given up; those of the store. What was
    /// done before stays done.
    pub async fn run(self) -> Result<BulkReport> {
        let filter = self.narrowed()?;
        bulk_run::run(self, filter).await
    }

    /// The filter with the statuses that the operation is for.
    fn narrowed(&self) -> Result<TaskFilter> {
        let action = self.action.as_str();
        let (usual, allowed) = self.action.statuses();
        // Each id begins with an empty text: as a condition it is none.
        if self.filter.id_prefix.as_deref() == Some("") {
            let message = "the beginning of the ids is empty, which all of them have; leave it out";
            return Err(Error::invalid(action, message));
        }
        if self.filter == TaskFilter::default() && !self.all {
            return Err(Error::invalid(
                action,
                format!("the filter is empty: to {action} all tasks, say so explicitly"),
            ));
        }
        if let Some(wrong) = self
            .filter
            .status
            .iter()
            .find(|status| !allowed.contains(status))
        {
            let words: Vec<_> = allowed.iter().map(ToString::to_string).collect();
            return Err(Error::invalid(
                action,
                format!(
                    "{wrong} tasks are not there to {action}; it is for {} ones",
                    words.join(" and ")
                ),
            ));
        }
        let mut filter = self.filter.clone();
        if filter.status.is_empty() {
            filter.status = usual.to_vec();
        }
        Ok(filter)
    }

    /// Whether records of this name are none of the tasks that are meant: those that hold locks and record long runs are
    /// only when the filter names them, and nobody could go on with one that is revived.
    pub(super) fn spares(&self, name: &str) -> bool {
        let is_named = self.filter.name.as_deref() == Some(name);
        is_reserved(name) && (!is_named || matches!(self.action, TaskAction::Revive(_)))
    }

    /// What the audit event says it was done to.
    pub(super) fn target(&self) -> String {
        if self.filter == TaskFilter::default() {
            "all tasks".to_owned()
        } else {
            format!("tasks with {}", self.filter)
        }
    }

    /// Between two steps of so many tasks.
    pub(super) fn pause_after(&self, tasks: usize) -> Duration {
        let tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
        self.rate
            .map_or(Duration::ZERO, |rate| Duration::from_secs(1) * tasks / rate)
    }
}
