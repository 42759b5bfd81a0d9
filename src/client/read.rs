//! Reading tasks.

use serde::Serialize;

use super::Client;
use crate::error::Result;
use crate::id::TaskId;
use crate::page::{Page, PageRequest};
use crate::store::{CountBy, Counts, SCAN_LIMIT, StreamId, TaskFilter, TaskStateStoreExt};
use crate::task::{LogLine, TaskStateRecord, TaskStatus, TaskSummary, log_stream};

/// Batches of lines read in one call.
const LOG_PAGE: usize = 256;

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

    /// What the runs of an attempt said, the oldest line first. It is written within about a second while a run goes on.
    ///
    /// # Errors
    /// Those of the store. A task that said nothing, or is not there, has no lines.
    pub async fn log(&self, id: &TaskId, attempt: u32) -> Result<Vec<LogLine>> {
        let stream = StreamId::new(id.as_str(), log_stream(attempt))?;
        let mut lines = Vec::new();
        let mut from = 0;
        loop {
            let events = self.0.store.events(&stream, from, LOG_PAGE).await?;
            for event in &events {
                lines.append(&mut event.data.decode::<Vec<LogLine>>()?);
            }
            match events.last() {
                Some(last) if events.len() == LOG_PAGE => from = last.number + 1,
                _ => return Ok(lines),
            }
        }
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
