//! Asking for work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::id::WorkerId;
use crate::task::TaskStateRecord;
use crate::timestamp::Timestamp;

/// A task name and, where handlers of several versions live side by side, a version.
pub type NameVersion = (Arc<str>, Option<Arc<str>>);

/// Which tasks a worker can run: a lane is a queue, a name and a version.
#[derive(Clone, Debug)]
pub struct Lanes {
    /// The queues, the first served first.
    pub queues: Vec<Arc<str>>,
    /// The names and versions that have a handler. A record without a version fits any version of its name.
    pub names: Arc<BTreeSet<NameVersion>>,
    /// Older names, and the name that each stands for: the rule of that one, `task/<name>`, holds for tasks of the older
    /// name as well.
    pub aliases: Arc<BTreeMap<Arc<str>, Arc<str>>>,
}

impl Lanes {
    /// Lanes of these queues and of names without a version.
    pub fn new<Q: AsRef<str>, N: AsRef<str>>(
        queues: impl IntoIterator<Item = Q>,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        Self {
            queues: queues
                .into_iter()
                .map(|queue| Arc::from(queue.as_ref()))
                .collect(),
            names: Arc::new(
                names
                    .into_iter()
                    .map(|name| (Arc::from(name.as_ref()), None))
                    .collect(),
            ),
            aliases: Arc::default(),
        }
    }

    /// Whether the worker can run a task of this name and version.
    #[must_use]
    pub fn knows(&self, name: &Arc<str>, version: Option<&Arc<str>>) -> bool {
        match version {
            Some(version) => self
                .names
                .contains(&(Arc::clone(name), Some(Arc::clone(version)))),
            None => {
                let first = (Arc::clone(name), None);
                self.names
                    .range(first..)
                    .next()
                    .is_some_and(|(found, _)| found == name)
            }
        }
    }
}

/// A request for work.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// Who asks.
    pub worker: WorkerId,
    /// What it can run.
    pub lanes: Lanes,
    /// At most this many tasks.
    pub limit: usize,
    /// How long each lease lasts.
    pub ttl: Duration,
}

/// The answer to a request for work.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// Leased to the asker, best first; each carries its lease.
    pub tasks: Vec<Arc<TaskStateRecord>>,
    /// No work of these lanes comes due, no lease ends and no gate opens by itself before this, by the store's
    /// clock; `None` when nothing is waiting at all.
    pub next_due: Option<Timestamp>,
    /// The claim ended at its limit, of tasks or of rows to examine, or of delayed tasks to put in order, and left less behind than it found: asking again
    /// at once may find more.
    pub more: bool,
    /// The store's time of the answer.
    pub now: Timestamp,
}
