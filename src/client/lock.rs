//! Locks: a gate of limit 1, held by a leased record.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Client, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::payload::Payload;
use crate::store::{Commit, Create, Effect, Guard, LeaseTo, Op, SharedStore, TaskStateStoreExt};
use crate::task::{Gate, LOCK_NAME, LeaseRef, NewTask, Settlement};

/// How long a lock stays when its holder is not heard of again; it is renewed every third of that.
const TTL: Duration = Duration::from_secs(30);

impl Client {
    /// Takes a lock, unless somebody holds it: then the answer is `None`, and nothing changes.
    ///
    /// The lock is the gate of this key: no task that is bound to the same gate (`task("x").gate("user/{id}", 1)`) runs
    /// while it is held, and it cannot be taken while one runs. It is held by a record with a lease, which a task of this
    /// runtime renews, so a process that dies gives it back after 30 s.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
    /// # let tlo = tlo::TloContext::builder().build().await?;
    /// # let client = tlo.client();
    /// let lock = client.lock("report/2026").await?.expect("nobody holds it");
    /// assert!(client.lock("report/2026").await?.is_none());
    /// lock.release().await?;
    /// assert!(client.lock("report/2026").await?.is_some());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` for a key that cannot be a gate's; `Conflict` while the key, or the queue `tlo.lock` in which locks are
    /// recorded, is paused or limited by an operator; those of the store.
    pub async fn lock(&self, key: impl Into<String>) -> Result<Option<Lock>> {
        let (client, key) = (self.clone(), key.into());
        // A caller that goes away before the answer must not leave a lock behind that nobody holds: then the lock ends up
        // here, is dropped, and goes back.
        tokio::spawn(async move { client.take_lock(key).await })
            .await
            .map_err(|source| {
                Error::new(ErrorKind::Closed, "lock", "the runtime is ending").with_source(source)
            })?
    }

    async fn take_lock(&self, key: String) -> Result<Option<Lock>> {
        let parts = &self.0;
        let id = parts.ids.task_id(parts.clock.now());
        let mut task = NewTask::new(id.clone(), LOCK_NAME, Payload::null());
        // Nobody can run it again: whoever held it is gone.
        task.max_lost = 0;
        // What is done to the queues of tasks does not reach them.
        task.queue = LOCK_NAME.into();
        task.created_by.clone_from(&parts.created_by);
        task.gates = vec![Gate {
            key: key.clone(),
            limit: 1,
        }];
        let worker = parts.ids.worker_id("lock")?;
        let create = Create {
            task,
            lease_to: Some(LeaseTo { worker, ttl: TTL }),
        };
        let made = parts
            .store
            .apply(Commit::of([Op::Create(Box::new(create))]))
            .await?;
        let lease = match made.into_iter().next() {
            Some(Effect::Created {
                leased: Some(record),
                ..
            }) => record.lease.as_ref().map(crate::task::Lease::reference),
            _ => None,
        };
        let Some(lease) = lease else {
            parts.store.delete(&id).await?;
            return self.why_not(key).await;
        };
        let held = Held {
            store: Arc::clone(&parts.store),
            id,
            lease,
        };
        let lost = CancellationToken::new();
        let renewing = tokio::spawn(renew(held.clone(), Arc::clone(&parts.clock), lost.clone()));
        Ok(Some(Lock {
            held: Some(held),
            lost,
            renewing: renewing.abort_handle(),
        }))
    }

    /// `None` when somebody holds it, and an error when an operator keeps all locks, or those of this key, from being taken.
    async fn why_not(&self, key: String) -> Result<Option<Lock>> {
        let (all, key) = (LOCK_NAME.to_owned(), Target::Key(key));
        for target in [Target::Queue(all.clone()), Target::Task(all), key] {
            let rule = self.rule(&target).await?;
            let is_limited = rule.has_limits() && !matches!(target, Target::Key(_));
            if rule.paused || is_limited {
                let message = format!("the {target} is paused or limited; resume it");
                return Err(Error::new(ErrorKind::Conflict, "lock", message));
            }
        }
        Ok(None)
    }
}

/// A lock that is held. [`release`](Self::release) gives it back and says so; dropping it gives it back in the background.
#[derive(Debug)]
#[must_use = "a lock that is dropped is given back"]
pub struct Lock {
    held: Option<Held>,
    lost: CancellationToken,
    renewing: tokio::task::AbortHandle,
}

#[derive(Clone, Debug)]
struct Held {
    store: SharedStore,
    id: TaskId,
    lease: LeaseRef,
}

impl Lock {
    /// Gives it back; whoever waits behind its gate goes on.
    ///
    /// # Errors
    /// `LeaseLost` when it was lost before, and those of the store: it then ends by itself.
    pub async fn release(mut self) -> Result<()> {
        self.renewing.abort();
        match self.held.take() {
            Some(held) => held.give_back().await,
            None => Ok(()),
        }
    }

    /// Waits until it is lost, because the store could not be reached for longer than it lasts. Never, normally.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Whether it was lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.renewing.abort();
        let (Some(held), Ok(runtime)) = (self.held.take(), tokio::runtime::Handle::try_current())
        else {
            // Without a runtime its lease ends by itself.
            return;
        };
        runtime.spawn(async move {
            if let Err(error) = held.give_back().await {
                tracing::debug!(%error, "a lock could not be given back; it ends by itself");
            }
        });
    }
}

impl Held {
    /// Ends the record and removes it: a lock has no history.
    async fn give_back(&self) -> Result<()> {
        let settle = Op::Settle(
            self.id.clone(),
            Box::new(Settlement::success(Payload::null())),
        );
        let commit = Commit::of([settle, Op::Delete(self.id.clone())])
            .when(Guard::Held(self.id.clone(), self.lease));
        self.store.apply(commit).await.map(drop)
    }

    async fn extend(&self) -> Result<()> {
        let commit = Commit::of([Op::Extend(self.id.clone(), TTL)])
            .when(Guard::Held(self.id.clone(), self.lease));
        self.store.apply(commit).await.map(drop)
    }
}

async fn renew(held: Held, clock: Arc<dyn crate::clock::Clock>, lost: CancellationToken) {
    loop {
        clock.sleep(TTL / 3).await;
        match held.extend().await {
            Ok(()) => {}
            Err(error) if is_for_good(&error) => {
                tracing::warn!(id = %held.id, %error, "a lock was lost");
                lost.cancel();
                return;
            }
            // Two more thirds are left.
            Err(error) => tracing::warn!(%error, "a lock could not be renewed; trying again"),
        }
    }
}

fn is_for_good(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::LeaseLost | ErrorKind::NotFound | ErrorKind::Conflict
    )
}
