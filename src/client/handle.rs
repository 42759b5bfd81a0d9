//! A submitted task, to wait for or to steer.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Client;
use super::signature::Untyped;
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::store::{Hint, TaskStateStoreExt};
use crate::task::{TaskStateRecord, TaskStatus};

/// A task that was submitted. `R` is the type of its result, where that is known.
pub struct TaskHandle<R = Untyped> {
    client: Client,
    id: TaskId,
    is_new: bool,
    result: PhantomData<fn() -> R>,
}

impl<R> Clone for TaskHandle<R> {
    fn clone(&self) -> Self {
        Self::new(self.client.clone(), self.id.clone(), self.is_new)
    }
}

impl<R> fmt::Debug for TaskHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("id", &self.id)
            .field("is_new", &self.is_new)
            .finish_non_exhaustive()
    }
}

impl<R> TaskHandle<R> {
    pub(super) fn new(client: Client, id: TaskId, is_new: bool) -> Self {
        Self {
            client,
            id,
            is_new,
            result: PhantomData,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        &self.id
    }

    /// Whether the submit made it; false when a task of the same id or unique key was there.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Its record now.
    ///
    /// # Errors
    /// `NotFound` when it was deleted.
    pub async fn record(&self) -> Result<TaskStateRecord> {
        self.client.store().read(&self.id).await
    }

    /// Its status now.
    ///
    /// # Errors
    /// `NotFound` when it was deleted.
    pub async fn status(&self) -> Result<TaskStatus> {
        Ok(self.record().await?.status)
    }

    /// Waits until it has ended. Pushed by the store's hints where it has them, else polled.
    ///
    /// # Errors
    /// `NotFound` when it was deleted.
    pub async fn wait(&self) -> Result<TaskStateRecord> {
        let mut hints = self.client.store().hints();
        let poll = self.client.store().capability().poll;
        loop {
            let record = self.record().await?;
            if record.status.is_terminal() {
                return Ok(record);
            }
            let wait = self.client.clock().sleep(poll);
            tokio::pin!(wait);
            let mut hinted = true;
            loop {
                tokio::select! {
                    () = &mut wait => break,
                    hint = hints.next(), if hinted => match hint {
                        Some(Hint::Finished(id)) if id == self.id => break,
                        Some(Hint::Unknown) => break,
                        Some(_) => {}
                        None => hinted = false,
                    },
                }
            }
        }
    }

    /// Waits until it has ended, at most this long.
    ///
    /// # Errors
    /// `Timeout` when the time was up first; the task goes on.
    pub async fn wait_for(&self, limit: Duration) -> Result<TaskStateRecord> {
        let clock = std::sync::Arc::clone(self.client.clock());
        tokio::select! {
            record = self.wait() => record,
            () = clock.sleep(limit) => Err(Error::new(
                ErrorKind::Timeout,
                "wait",
                format!("\"{}\" has not ended within {}", self.id, crate::schedule::format_duration(limit)),
            )),
        }
    }

    /// The latest report of its progress that the store has; `None` before the first. A run writes it with its heartbeat,
    /// every third of its lease, and at its end.
    ///
    /// # Errors
    /// `NotFound` when it was deleted, `Invalid` when the report is of another type.
    pub async fn progress<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let progress = self.record().await?.progress;
        progress.map(|report| report.decode()).transpose()
    }

    /// Cancels it: at once while it waits; while it runs it is asked to stop.
    ///
    /// # Errors
    /// `Conflict` when it has ended.
    pub async fn cancel(&self, reason: &str) -> Result<()> {
        self.client.cancel(&self.id, reason).await
    }

    async fn outcome<T: DeserializeOwned>(&self) -> Result<T> {
        let record = self.wait().await?;
        match (record.status, record.result) {
            (TaskStatus::Succeeded, Some(result)) => result.decode(),
            (status, _) => {
                let why = record.error.unwrap_or_else(|| "no message".to_owned());
                Err(Error::new(
                    ErrorKind::TaskFailed,
                    "wait",
                    format!("\"{}\" {status}: {why}", self.id),
                ))
            }
        }
    }
}

impl TaskHandle {
    /// Waits until it has ended and gives its result.
    ///
    /// # Errors
    /// `TaskFailed` with its error when it failed or was cancelled, `Invalid` when the result is of another type.
    pub async fn result<T: DeserializeOwned>(&self) -> Result<T> {
        self.outcome().await
    }
}

impl<R: DeserializeOwned> TaskHandle<R> {
    /// Waits until it has ended and gives its result.
    ///
    /// # Errors
    /// `TaskFailed` with its error when it failed or was cancelled, `Invalid` when the result is of another type.
    pub async fn result(&self) -> Result<R> {
        self.outcome().await
    }
}
