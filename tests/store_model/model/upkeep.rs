//! Whether a step of upkeep removed what it should.

use tlo::store::{Maintain, Maintained};
use tlo::{TaskId, TaskStateRecord};

use super::{Checked, Model, want};

impl Model {
    /// A step of upkeep, what was answered, and which of the records are there after it.
    pub(crate) fn maintain(
        &mut self,
        request: &Maintain,
        done: &Maintained,
        stored: &[Option<TaskStateRecord>],
    ) -> Checked {
        let may_go = self.may_go(request);
        let gone: Vec<_> = self
            .tasks
            .iter()
            .zip(stored)
            .filter(|(_, stored)| stored.is_none())
            .map(|(task, _)| task.id.clone())
            .collect();
        want!(
            gone.len() as u64 == done.removed,
            "{} records are gone, {} were counted",
            gone.len(),
            done.removed
        );
        want!(
            gone.len() <= request.limit,
            "more was removed than a step may"
        );
        for id in &gone {
            want!(may_go.contains(id), "{id} was removed");
        }
        // The first that ended go first.
        for id in may_go.iter().take(request.limit) {
            want!(gone.contains(id), "{id} was kept");
        }
        for id in &gone {
            self.forget(id);
        }
        let over = |until: Option<tlo::Timestamp>| until.is_some_and(|until| until <= self.now);
        let mut marks: Vec<_> = self
            .marks
            .iter()
            .filter(|mark| over(mark.until))
            .cloned()
            .collect();
        marks.sort_by(|a, b| (a.until, &a.key).cmp(&(b.until, &b.key)));
        marks.truncate(request.limit);
        want!(
            marks.len() as u64 == done.marks,
            "{} marks were removed, {} should be",
            done.marks,
            marks.len()
        );
        self.marks.retain(|mark| !marks.contains(mark));
        let mut keys: Vec<_> = self
            .keys
            .iter()
            .filter(|key| over(key.until))
            .map(|key| (key.until, key.key.clone()))
            .collect();
        keys.sort();
        keys.truncate(request.limit);
        self.keys
            .retain(|key| !keys.contains(&(key.until, key.key.clone())));
        want!(
            done.unreadable == 0,
            "{} records cannot be read",
            done.unreadable
        );
        Ok(())
    }

    /// What has ended and is kept no longer, in the order of its end: too old, or more than are kept. What a parent that
    /// goes on may still read stays.
    fn may_go(&self, request: &Maintain) -> Vec<TaskId> {
        let mut ended: Vec<_> = self
            .tasks
            .iter()
            .filter(|task| task.status.is_terminal())
            .collect();
        ended.sort_by_key(|task| (task.finished_at, task.seq));
        let keep = request
            .retention
            .count
            .map_or(ended.len(), |count| usize::try_from(count).unwrap());
        let mut surplus = ended.len().saturating_sub(keep);
        let cutoff = request
            .retention
            .age
            .map(|age| self.now.saturating_sub(age));
        let mut go = Vec::new();
        for task in ended {
            let is_old =
                cutoff.is_some_and(|cutoff| task.finished_at.is_some_and(|at| at < cutoff));
            let parent = task.parent.as_ref().and_then(|parent| self.task(parent));
            if parent.is_some_and(|parent| !parent.status.is_terminal()) || !(is_old || surplus > 0)
            {
                continue;
            }
            surplus = surplus.saturating_sub(1);
            go.push(task.id.clone());
        }
        go
    }
}
