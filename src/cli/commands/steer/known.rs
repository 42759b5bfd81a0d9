//! Which queues and names there are: a misspelt one is told apart from an empty one.

use std::collections::BTreeSet;

use crate::client::Target;
use crate::context::TloContext;
use crate::error::{Error, ErrorKind, Result};
use crate::schedule::nearest::hint;
use crate::store::{CountBy, TaskFilter};

/// The queues and task names that somebody knows.
pub(in crate::cli::commands) struct Known {
    queues: BTreeSet<String>,
    names: BTreeSet<String>,
}

impl Known {
    /// Those of stored tasks, of the jobs file, of live workers, and with a rule of their own.
    ///
    /// # Errors
    /// Those of the store.
    pub(in crate::cli::commands) async fn of(tlo: &TloContext) -> Result<Self> {
        let client = tlo.client();
        let all = TaskFilter::default();
        let mut queues = BTreeSet::from(["default".to_owned()]);
        queues.extend(tlo.settings().queues.iter().cloned());
        queues.extend(client.count(&all, CountBy::Queue).await?.groups.into_keys());
        let mut names: BTreeSet<String> = BTreeSet::new();
        names.extend(client.count(&all, CountBy::Name).await?.groups.into_keys());
        for def in tlo.registry().list().await? {
            queues.insert(def.queue.to_string());
            names.insert(def.name.to_string());
            names.extend(def.aliases.iter().map(ToString::to_string));
        }
        for (_, worker) in client.workers().await? {
            queues.extend(worker.queues);
            names.extend(worker.names);
        }
        let limited = client.limits().await?.into_iter().map(|one| one.target);
        let paused = client.paused().await?.into_iter().map(|one| one.target);
        for target in limited.chain(paused) {
            match target {
                Target::Queue(name) => queues.insert(name),
                Target::Task(name) => names.insert(name),
                Target::Schedule(_) | Target::Key(_) => false,
            };
        }
        Ok(Self { queues, names })
    }

    /// That there is no such queue, with the nearest; `None` when there is.
    pub(in crate::cli::commands) fn no_queue(&self, name: &str) -> Option<Error> {
        unknown("queue", name, &self.queues)
    }

    /// That there is no such task, with the nearest; `None` when there is.
    pub(in crate::cli::commands) fn no_name(&self, name: &str) -> Option<Error> {
        unknown("task", name, &self.names)
    }

    /// The first of a filter's queue and name that nobody knows.
    pub(in crate::cli::commands) fn missing(&self, filter: &TaskFilter) -> Option<Error> {
        let queue = filter.queue.as_ref().and_then(|name| self.no_queue(name));
        queue.or_else(|| filter.name.as_ref().and_then(|name| self.no_name(name)))
    }
}

fn unknown(what: &'static str, name: &str, known: &BTreeSet<String>) -> Option<Error> {
    if known.contains(name) {
        return None;
    }
    let hint = hint(name, known.iter().map(String::as_str), "there are", "");
    let message = format!("no {what} is named \"{name}\"{hint}");
    Some(Error::new(ErrorKind::NotFound, what, message))
}
