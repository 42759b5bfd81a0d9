//! Steering one task.

use super::audit::AuditData;
use super::bulk::{TaskAction, is_reserved};
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::store::{Commit, Patch, TaskStateStoreExt};
use crate::task::Due;

impl Client {
    /// The same client, acting for somebody: what it submits and what it steers says so.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
    /// # use tlo::client::Target;
    /// # let tlo = tlo::TloContext::builder().build().await?;
    /// let ada = tlo.client().acting_as("ada");
    /// ada.pause(&Target::Queue("mail".to_owned()), Some("the relay is down")).await?;
    /// let audit = ada.audit(None, 10).await?;
    /// assert_eq!(audit[0].action, "pause");
    /// assert_eq!(audit[0].data.who.as_deref(), Some("ada"));
    /// assert_eq!(audit[0].data.why.as_deref(), Some("the relay is down"));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn acting_as(&self, actor: impl Into<String>) -> Self {
        let mut parts = (*self.0).clone();
        parts.created_by = Some(actor.into());
        Self(std::sync::Arc::new(parts), self.1.clone())
    }

    /// Who it acts for.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.0.created_by.as_deref()
    }

    /// Does something to one task, with its audit event in the same commit.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when the task's status does not allow it, and `QueueFull` for a move or a revival.
    pub async fn act(&self, id: &TaskId, action: &TaskAction, why: Option<&str>) -> Result<()> {
        if matches!(action, TaskAction::Revive(_)) && is_reserved(&self.get(id).await?.name) {
            let message =
                format!("{id} records a lock or a run of TLO itself: nobody could go on with it");
            return Err(Error::new(ErrorKind::Conflict, action.as_str(), message));
        }
        let by = self.actor().unwrap_or("an operator");
        let reason = why.map_or_else(|| format!("cancelled by {by}"), str::to_owned);
        let data = AuditData {
            target: id.to_string(),
            why: why.map(str::to_owned),
            to: action.to(),
            count: Some(1),
            ..AuditData::default()
        };
        let note = self.note(action.as_str(), data.clone())?;
        let commit = Commit::of([action.op(id.clone(), &reason), note]);
        self.store().apply(commit).await?;
        self.tell_steered(action.as_str(), &data);
        Ok(())
    }

    /// Cancels a task: at once while it waits; while it runs it is asked to stop.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` when it has ended.
    pub async fn cancel(&self, id: &TaskId, reason: &str) -> Result<()> {
        self.act(id, &TaskAction::Cancel, Some(reason)).await
    }

    /// Runs a failed or cancelled task again, with a fresh budget of attempts.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has not ended so, or another task owns its unique key; `QueueFull`.
    pub async fn revive(&self, id: &TaskId) -> Result<()> {
        self.act(id, &TaskAction::Revive(Due::Now), None).await
    }

    /// Makes a waiting task due at another time.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` unless it waits.
    pub async fn reschedule(&self, id: &TaskId, due: Due) -> Result<()> {
        self.act(id, &TaskAction::Reschedule(due), None).await
    }

    /// Moves a waiting task to another queue.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` unless it waits, or `QueueFull`.
    pub async fn move_to(&self, id: &TaskId, queue: &str) -> Result<()> {
        let action = TaskAction::Move(queue.to_owned());
        self.act(id, &action, None).await
    }

    /// Gives a waiting task another priority, 0 to 255; larger starts first.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` unless it waits.
    pub async fn reprioritise(&self, id: &TaskId, priority: u8) -> Result<()> {
        let action = TaskAction::Reprioritise(priority);
        self.act(id, &action, None).await
    }

    /// Removes a task that is not running.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` while it runs.
    pub async fn delete(&self, id: &TaskId) -> Result<()> {
        self.act(id, &TaskAction::Delete, None).await
    }
}

pub(super) fn due_patch(due: Due) -> Patch {
    Patch {
        due: Some(due),
        ..Patch::default()
    }
}

pub(super) fn queue_patch(queue: &str) -> Patch {
    Patch {
        queue: Some(queue.to_owned()),
        ..Patch::default()
    }
}

pub(super) fn priority_patch(priority: u8) -> Patch {
    Patch {
        priority: Some(priority),
        ..Patch::default()
    }
}

/// When something is due, for people.
pub(super) fn due_text(due: Due) -> String {
    match due {
        Due::Now => "now".to_owned(),
        Due::At(at) => at.to_string(),
        Due::In(wait) => format!("in {}", crate::schedule::format_duration(wait)),
    }
}
