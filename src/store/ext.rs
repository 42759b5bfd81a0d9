//! The pleasant verbs over a store.

use std::time::Duration;

use async_trait::async_trait;

use super::{
    ClaimRequest, Commit, Committed, Create, Effect, Guard, Lanes, Mark, MarkExpect, NewEvent, Op,
    Patch, StreamId, TaskFilter, TaskStateStore,
};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{TaskId, WorkerId};
use crate::page::PageRequest;
use crate::payload::Payload;
use crate::task::{
    Due, LeaseRef, NewTask, OnConflict, Settlement, TaskStateRecord, TaskStatus, TaskSummary,
};

/// What users of a store call; every store has it.
#[async_trait]
pub trait TaskStateStoreExt: TaskStateStore {
    /// Applies one commit.
    ///
    /// # Errors
    /// The refusal as an error, or that of the store.
    async fn apply(&self, commit: Commit) -> Result<Vec<Effect>> {
        let answer: Option<Committed> = self.commit(vec![commit]).await?.pop();
        match answer {
            Some(committed) => committed.map_err(Error::from),
            None => Err(Error::new(
                ErrorKind::Internal,
                "commit",
                "the store gave no answer for a commit",
            )),
        }
    }

    /// Makes a record; one of the same id must not exist.
    ///
    /// # Errors
    /// `AlreadyExists` for a known id, `Conflict` for a unique key that is owned, and those of the store.
    async fn create(&self, mut task: NewTask) -> Result<TaskId> {
        task.on_conflict = OnConflict::Fail;
        self.enqueue(task).await
    }

    /// Makes a record, or gives the id of the one that is there, as the task's conflict option says.
    ///
    /// # Errors
    /// Those of the task's checks and of the store.
    async fn enqueue(&self, task: NewTask) -> Result<TaskId> {
        let id = task.id.clone();
        let effects = self
            .apply(Commit::of([Op::Create(Box::new(Create {
                task,
                lease_to: None,
            }))]))
            .await?;
        Ok(match effects.into_iter().next() {
            Some(Effect::Existing { id, .. }) => id,
            _ => id,
        })
    }

    /// The record of an id.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    async fn read(&self, id: &TaskId) -> Result<TaskStateRecord> {
        self.get(std::slice::from_ref(id))
            .await?
            .pop()
            .flatten()
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    "read task",
                    format!("there is no task \"{id}\""),
                )
            })
    }

    /// Changes fields of a record.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` when its status does not allow the change.
    async fn update(&self, id: &TaskId, patch: Patch) -> Result<()> {
        self.apply(Commit::of([Op::Patch(id.clone(), Box::new(patch))]))
            .await
            .map(drop)
    }

    /// Removes a record that is not running.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` while it runs.
    async fn delete(&self, id: &TaskId) -> Result<()> {
        self.apply(Commit::of([Op::Delete(id.clone())]))
            .await
            .map(drop)
    }

    /// Leases tasks of these names from one queue for a worker.
    ///
    /// # Errors
    /// Those of the store.
    async fn lease(
        &self,
        worker: &WorkerId,
        queue: &str,
        names: &[&str],
        limit: usize,
        ttl: Duration,
    ) -> Result<Vec<std::sync::Arc<TaskStateRecord>>> {
        let lanes = Lanes::new([queue], names);
        Ok(self
            .claim(ClaimRequest {
                worker: worker.clone(),
                lanes,
                limit,
                ttl,
            })
            .await?
            .tasks)
    }

    /// Writes the end of a run under its lease.
    ///
    /// # Errors
    /// `LeaseLost` when the lease is no longer this one's, `Conflict` when this end was recorded before.
    async fn settle(
        &self,
        id: &TaskId,
        lease: LeaseRef,
        settlement: Settlement,
    ) -> Result<TaskStatus> {
        let commit = Commit::of([Op::Settle(id.clone(), Box::new(settlement))])
            .when(Guard::Held(id.clone(), lease));
        match self.apply(commit).await?.pop() {
            Some(Effect::Status(status)) => Ok(status),
            _ => Err(Error::new(
                ErrorKind::Internal,
                "settle",
                "the store did not say what became of the task",
            )),
        }
    }

    /// Ends a run with a result.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    async fn succeed(&self, id: &TaskId, lease: LeaseRef, result: Payload) -> Result<TaskStatus> {
        self.settle(id, lease, Settlement::success(result)).await
    }

    /// Ends a run to go on later, without a failure.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    async fn snooze(&self, id: &TaskId, lease: LeaseRef, due: Due) -> Result<TaskStatus> {
        self.settle(id, lease, Settlement::snooze(due)).await
    }

    /// Hands a task back unfinished.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    async fn release(&self, id: &TaskId, lease: LeaseRef) -> Result<TaskStatus> {
        self.settle(id, lease, Settlement::release()).await
    }

    /// Cancels what waits, asks what runs to stop.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` when it has ended.
    async fn cancel(&self, id: &TaskId, reason: &str) -> Result<Effect> {
        let effects = self
            .apply(Commit::of([Op::Cancel(id.clone(), reason.to_owned())]))
            .await?;
        Ok(effects.into_iter().next().unwrap_or(Effect::Done))
    }

    /// Runs a failed or cancelled task again.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has not ended so, or another task owns its unique key.
    async fn revive(&self, id: &TaskId, due: Due) -> Result<()> {
        self.apply(Commit::of([Op::Revive(id.clone(), due)]))
            .await
            .map(drop)
    }

    /// Moves a waiting task to another queue.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` unless it waits.
    async fn move_to(&self, id: &TaskId, queue: &str) -> Result<()> {
        self.update(
            id,
            Patch {
                queue: Some(queue.to_owned()),
                ..Patch::default()
            },
        )
        .await
    }

    /// Makes a waiting task due at another time.
    ///
    /// # Errors
    /// `NotFound`, or `Conflict` unless it waits.
    async fn reschedule(&self, id: &TaskId, due: Due) -> Result<()> {
        self.update(
            id,
            Patch {
                due: Some(due),
                ..Patch::default()
            },
        )
        .await
    }

    /// The first waiting tasks of a queue in order of creation, without leasing them.
    ///
    /// # Errors
    /// Those of the store.
    async fn peek(&self, queue: &str, limit: usize) -> Result<Vec<TaskSummary>> {
        let filter = TaskFilter {
            queue: Some(queue.to_owned()),
            ..TaskFilter::status([TaskStatus::Pending])
        };
        Ok(self.list(&filter, PageRequest::first(limit)).await?.items)
    }

    /// A mark.
    ///
    /// # Errors
    /// Those of the store.
    async fn mark(&self, key: &str) -> Result<Option<Mark>> {
        let found = self.marks(key, None, 1).await?;
        Ok(found.into_iter().find(|mark| *mark.key == *key))
    }

    /// Sets a mark if it is as expected; answers its new version.
    ///
    /// # Errors
    /// `Conflict` when it is not as expected.
    async fn put_mark(
        &self,
        key: &str,
        value: Payload,
        expected: Option<MarkExpect>,
        ttl: Option<Duration>,
    ) -> Result<u64> {
        let mut commit = Commit::of([Op::PutMark {
            key: key.into(),
            value,
            ttl,
        }]);
        commit
            .guards
            .extend(expected.map(|expected| Guard::Mark(key.into(), expected)));
        match self.apply(commit).await?.pop() {
            Some(Effect::Marked(version)) => Ok(version),
            _ => Err(Error::new(
                ErrorKind::Internal,
                "put mark",
                "the store did not say the version",
            )),
        }
    }

    /// Appends events to a stream; answers their numbers.
    ///
    /// # Errors
    /// Those of the store.
    async fn append(&self, stream: &StreamId, events: Vec<NewEvent>) -> Result<Vec<u64>> {
        match self
            .apply(Commit::of([Op::Append(stream.clone(), events)]))
            .await?
            .pop()
        {
            Some(Effect::Appended(numbers)) => Ok(numbers),
            _ => Err(Error::new(
                ErrorKind::Internal,
                "append",
                "the store did not say the numbers",
            )),
        }
    }
}

impl<S: TaskStateStore + ?Sized> TaskStateStoreExt for S {}
