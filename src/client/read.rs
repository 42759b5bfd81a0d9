//! Reading tasks.

use serde::Serialize;

use super::Client;
use crate::error::Result;
use crate::id::TaskId;
use crate::page::{Page, PageRequest};
use crate::store::{CountBy, Counts, SCAN_LIMIT, TaskFilter, TaskStateStoreExt};
use crate::task::{TaskStateRecord, TaskStatus, TaskSummary};

/// Numbers for an overview.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stats {
    /// Records by status.
    pub statuses: Counts,
    /// Waiting and running records by queue.
    pub queues: Counts,
    /// All records by task name.
    pub names: Counts,
    /// Failed records by error group.
    pub error_groups: Counts,
}

impl Client {
    /// The record of an id.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn get(&self, id: &TaskId) -> Result<TaskStateRecord> {
        self.0.store.read(id).await
    }

    /// A page of the tasks that match.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(&self, filter: &TaskFilter, page: PageRequest) -> Result<Page<TaskSummary>> {
        self.0.store.list(filter, page).await
    }

    /// How many tasks match, by group.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn count(&self, filter: &TaskFilter, by: CountBy) -> Result<Counts> {
        self.0.store.count(filter, by, SCAN_LIMIT).await
    }

    /// The numbers of an overview.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn stats(&self) -> Result<Stats> {
        let open = TaskFilter::status([TaskStatus::Pending, TaskStatus::Running]);
        Ok(Stats {
            statuses: self.count(&TaskFilter::default(), CountBy::Status).await?,
            queues: self.count(&open, CountBy::Queue).await?,
            names: self.count(&TaskFilter::default(), CountBy::Name).await?,
            error_groups: self
                .count(
                    &TaskFilter::status([TaskStatus::Failed]),
                    CountBy::ErrorGroup,
                )
                .await?,
        })
    }
}
