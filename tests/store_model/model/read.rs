//! Reading: a look at everything.

use std::collections::BTreeMap;

use tlo::store::{CountBy, Event, Mark, StreamId, TaskFilter};
use tlo::{TaskStateRecord, TaskStatus};

use super::Model;

impl Model {
    fn matches(&self, filter: &TaskFilter, task: &TaskStateRecord) -> bool {
        let tagged = |tag: &String| task.tags.contains(tag);
        (filter.status.is_empty() || filter.status.contains(&task.status))
            && filter.name.as_ref().is_none_or(|name| **name == *task.name)
            && filter
                .queue
                .as_ref()
                .is_none_or(|queue| **queue == *task.queue)
            && filter.tag.as_ref().is_none_or(tagged)
            && (filter.parent.is_none() || filter.parent == task.parent)
            && filter
                .schedule
                .as_ref()
                .is_none_or(|wanted| task.schedule.as_deref() == Some(wanted))
            && (filter.error_group.is_none() || filter.error_group == task.error_group)
            && filter.worker.as_ref().is_none_or(|worker| {
                task.lease
                    .as_ref()
                    .is_some_and(|lease| lease.worker == *worker)
            })
            && (!filter.lease_expired || self.has_ended(task))
            && filter
                .created_from
                .is_none_or(|from| task.created_at >= from)
            && filter
                .created_before
                .is_none_or(|before| task.created_at < before)
            && filter
                .id_prefix
                .as_ref()
                .is_none_or(|start| task.id.as_str().starts_with(start))
    }

    pub(crate) fn list(&self, filter: &TaskFilter, newest_first: bool) -> Vec<TaskStateRecord> {
        let found = self.tasks.iter().filter(|task| self.matches(filter, task));
        let mut found: Vec<_> = found.cloned().collect();
        if newest_first {
            found.reverse();
        }
        found
    }

    pub(crate) fn count(&self, filter: &TaskFilter, by: CountBy) -> BTreeMap<String, u64> {
        let mut groups = BTreeMap::new();
        for task in self.tasks.iter().filter(|task| self.matches(filter, task)) {
            let group = match by {
                CountBy::All => "all",
                CountBy::Status => task.status.as_str(),
                CountBy::Queue => &task.queue,
                CountBy::Name => &task.name,
                CountBy::ErrorGroup => task.error_group.as_deref().unwrap_or_default(),
            };
            *groups.entry(group.to_owned()).or_insert(0) += 1;
        }
        groups
    }

    /// The streams that ever were, and what is kept of each.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (&StreamId, &[Event])> {
        self.streams
            .iter()
            .map(|stream| (&stream.id, stream.kept.as_slice()))
    }

    /// Marks in the order of their keys.
    pub(crate) fn marks(&self, prefix: &str) -> Vec<Mark> {
        let live = |mark: &&Mark| mark.until.is_none_or(|until| until > self.now);
        let starts = |mark: &&Mark| mark.key.starts_with(prefix);
        let mut found: Vec<_> = self
            .marks
            .iter()
            .filter(live)
            .filter(starts)
            .cloned()
            .collect();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        found
    }

    pub(crate) fn pending(&self) -> usize {
        let waits = |task: &&TaskStateRecord| task.status == TaskStatus::Pending;
        self.tasks.iter().filter(waits).count()
    }
}
