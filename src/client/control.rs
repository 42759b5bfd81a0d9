//! Steering tasks.

use super::Client;
use crate::error::Result;
use crate::id::TaskId;
use crate::store::TaskStateStoreExt;
use crate::task::Due;

impl Client {
    /// Cancels a task: at once while it waits; while it runs it is asked to stop.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` when it has ended.
    pub async fn cancel(&self, id: &TaskId, reason: &str) -> Result<()> {
        self.0.store.cancel(id, reason).await.map(drop)
    }

    /// Runs a failed or cancelled task again, with a fresh budget of attempts.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` when it has not ended so.
    pub async fn revive(&self, id: &TaskId) -> Result<()> {
        self.0.store.revive(id, Due::Now).await
    }

    /// Makes a waiting task due at another time.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` unless it waits.
    pub async fn reschedule(&self, id: &TaskId, due: Due) -> Result<()> {
        self.0.store.reschedule(id, due).await
    }

    /// Moves a waiting task to another queue.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` unless it waits.
    pub async fn move_to(&self, id: &TaskId, queue: &str) -> Result<()> {
        self.0.store.move_to(id, queue).await
    }

    /// Removes a task that is not running.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` while it runs.
    pub async fn delete(&self, id: &TaskId) -> Result<()> {
        self.0.store.delete(id).await
    }
}
