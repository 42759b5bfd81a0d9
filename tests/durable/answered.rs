//! What callers were answered about their tasks, to be compared with what a store says after a death.

use std::collections::BTreeMap;
use std::fmt;

use tlo::TaskStatus;
use tlo::store::TaskStateStore;

use crate::kit::id;

/// The furthest that each task was said to be.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    tasks: BTreeMap<String, TaskStatus>,
    answers: usize,
}

impl Answered {
    pub(crate) fn note(&mut self, task: &str, status: TaskStatus) {
        self.answers += 1;
        let known = self.tasks.entry(task.to_owned()).or_insert(status);
        *known = (*known).max(status);
    }

    pub(crate) fn answers(&self) -> usize {
        self.answers
    }

    /// Nothing is damaged, and every task is at least as far as was said.
    pub(crate) async fn check(&self, store: &dyn TaskStateStore, seed: u64) {
        assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
        let ids: Vec<_> = self.tasks.keys().map(id).collect();
        let records = store.get(&ids).await.unwrap();
        for ((task, status), record) in self.tasks.iter().zip(records) {
            let record =
                record.unwrap_or_else(|| panic!("seed {seed}: {task} was {status} and is gone"));
            assert!(
                record.status >= *status,
                "seed {seed}: {task} was {status} and is {}",
                record.status
            );
        }
    }
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tasks, answers } = self;
        write!(
            f,
            "{answers} answers about {} tasks, none lost",
            tasks.len()
        )
    }
}
