//! A submit that was checked, on its way to the store.

use std::marker::PhantomData;

use super::signature::Untyped;
use super::{Client, TaskHandle};
use crate::error::{Error, Result};
use crate::id::TaskId;
use crate::observe::Lifecycle;
use crate::store::{Commit, Create, Effect, Enlist, EnlistAsync, Op, TaskStateStoreExt};
use crate::task::NewTask;

/// A task that was looked up and checked and is not submitted yet; [`Submit::prepare`](super::Submit::prepare) makes it.
#[derive(Debug)]
#[must_use = "nothing is submitted before `submit` or `submit_in` is called"]
pub struct Prepared<R = Untyped> {
    client: Client,
    new: NewTask,
    result: PhantomData<fn() -> R>,
}

impl<R> Prepared<R> {
    pub(super) fn new(client: Client, new: NewTask) -> Self {
        Self {
            client,
            new,
            result: PhantomData,
        }
    }

    /// The id that the task will have, unless its unique key gives another one.
    #[must_use]
    pub fn id(&self) -> &TaskId {
        &self.new.id
    }

    pub(super) fn create(&self) -> Op {
        Op::Create(Box::new(Create {
            task: self.new.clone(),
            lease_to: None,
        }))
    }

    /// Submits it. When this returns, the task is durable at the store's level.
    ///
    /// # Errors
    /// `Conflict`, `AlreadyExists` and `QueueFull` as asked for, and those of the store.
    pub async fn submit(self) -> Result<TaskHandle<R>> {
        let Self { client, new, .. } = self;
        let told = Told::of(&new);
        let create = Op::Create(Box::new(Create {
            task: new,
            lease_to: None,
        }));
        let effects = client.store().apply(Commit::of([create])).await;
        let effect = effects.map_err(refused)?.into_iter().next();
        Ok(told.handle(client, effect))
    }

    /// Submits it inside a transaction of yours, on the database that the store lives in: the task exists when you commit,
    /// together with what else you wrote, and never existed when you roll back. A refusal leaves your transaction as it was
    /// before; you may go on with it.
    ///
    /// Workers notice it as they notice the submits of other processes. Observers are not told: only you know whether the
    /// transaction is committed. What the handle says of the task holds from then on.
    ///
    /// For SQLite pass a `rusqlite::Transaction`, begun with `TransactionBehavior::Immediate`, of a connection to the file
    /// of the store, with the `rusqlite` that TLO re-exports. Tables of your own live in the same file beside TLO's `rows`,
    /// `tasks` and `migrations`; `user_version` and `application_id` are TLO's. The task is as durable as your commit:
    /// `synchronous` is FULL unless you set it lower.
    ///
    #[cfg_attr(feature = "sqlite", doc = "```")]
    #[cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tlo::prelude::*;
    /// use tlo::rusqlite::{Connection, TransactionBehavior};
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("tlo.db");
    /// let tlo = TloContext::builder()
    ///     .set("task_state_store", format!("sqlite:{}", path.display()))
    ///     .task(task("ship").run(|_: TaskContext, order: i64| async move { println!("order {order}") }))
    ///     .build()
    ///     .await?;
    /// let mut database = Connection::open(&path)?;
    /// database.execute_batch("CREATE TABLE orders (id INTEGER PRIMARY KEY, task TEXT)")?;
    ///
    /// // What needs the store is asked before; inside the transaction nothing waits.
    /// let ship = tlo.client().task("ship").args(&7).prepare().await?;
    /// let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    /// transaction.execute("INSERT INTO orders VALUES (7, ?1)", [ship.id().as_str()])?;
    /// let handle = ship.submit_in(&transaction)?;
    /// transaction.commit()?;
    /// assert_eq!(handle.status().await?, TaskStatus::Pending);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As for [`submit`](Self::submit), and `Invalid` for a connection without an open transaction or of a file that is no
    /// store of this build.
    pub fn submit_in(self, transaction: &impl Enlist) -> Result<TaskHandle<R>> {
        let parts = &self.client.0;
        let commit = Commit::of([self.create()]);
        let answer = transaction.enlist(commit, &*parts.clock, &parts.ids);
        let effects = answer.and_then(|committed| committed.map_err(Error::from));
        let effect = effects.map_err(refused)?.into_iter().next();
        let (id, existing) = submitted(self.new.id, effect);
        Ok(TaskHandle::new(self.client, id, !existing))
    }

    /// As [`submit_in`](Self::submit_in), inside a transaction of yours on a database over the network.
    ///
    /// For PostgreSQL pass a `tokio_postgres::Transaction` of a connection to the database of the store, with the
    /// `tokio_postgres` that TLO re-exports. It may be one of `READ COMMITTED`, the default, or stricter; under the stricter
    /// ones a conflict with others is an error of your transaction, to be begun anew. What the submit locks (its id, its
    /// unique key) stays locked until your transaction ends, so end it soon.
    ///
    #[cfg_attr(feature = "postgres", doc = "```")]
    #[cfg_attr(not(feature = "postgres"), doc = "```ignore")]
    /// use tlo::prelude::*;
    /// use tlo::tokio_postgres::Client as Database;
    ///
    /// /// Writes the order, and what has to be done for it: both are there, or none.
    /// async fn buy(client: &Client, database: &mut Database, order: i64) -> Result<TaskHandle, Box<dyn std::error::Error>> {
    ///     let ship = client.task("ship").args(&order).prepare().await?;
    ///     let transaction = database.transaction().await?;
    ///     let task = ship.id().to_string();
    ///     transaction.execute("INSERT INTO orders (id, task) VALUES ($1, $2)", &[&order, &task]).await?;
    ///     // Every `?` drops the transaction, and that rolls it back.
    ///     let handle = ship.submit_within(&transaction).await?;
    ///     transaction.commit().await?;
    ///     Ok(handle)
    /// }
    /// ```
    ///
    /// With the feature `sqlx`, pass `&mut transaction` of an `sqlx::Transaction<'_, Postgres>`, or an `&mut PgConnection` on
    /// which a transaction is open, of `sqlx` 0.9:
    ///
    #[cfg_attr(feature = "sqlx", doc = "```")]
    #[cfg_attr(not(feature = "sqlx"), doc = "```ignore")]
    /// use tlo::prelude::*;
    ///
    /// async fn buy(client: &Client, pool: &sqlx::PgPool, order: i64) -> Result<TaskHandle, Box<dyn std::error::Error>> {
    ///     let ship = client.task("ship").args(&order).prepare().await?;
    ///     let mut transaction = pool.begin().await?;
    ///     let insert = sqlx::query("INSERT INTO orders (id, task) VALUES ($1, $2)").bind(order).bind(ship.id().as_str());
    ///     insert.execute(&mut *transaction).await?;
    ///     let handle = ship.submit_within(&mut transaction).await?;
    ///     transaction.commit().await?;
    ///     Ok(handle)
    /// }
    /// ```
    ///
    /// Roll the transaction back when you give this call up before it has answered: a part of it may be written.
    ///
    /// # Errors
    /// As for [`submit`](Self::submit), and `Invalid` when the database has no store where the client's is, when there is no
    /// open transaction, or when a statement of it failed before.
    pub async fn submit_within(self, transaction: impl EnlistAsync) -> Result<TaskHandle<R>> {
        let parts = &self.client.0;
        let commit = Commit::of([self.create()]);
        let answer = transaction
            .enlist(commit, &*parts.store, &*parts.clock, &parts.ids)
            .await;
        let effects = answer.and_then(|committed| committed.map_err(Error::from));
        let effect = effects.map_err(refused)?.into_iter().next();
        let (id, existing) = submitted(self.new.id, effect);
        Ok(TaskHandle::new(self.client, id, !existing))
    }

    pub(super) fn into_told(self) -> Told {
        Told::of(&self.new)
    }
}

/// What observers are told of a submit.
pub(super) struct Told {
    id: TaskId,
    name: std::sync::Arc<str>,
    queue: std::sync::Arc<str>,
}

impl Told {
    fn of(new: &NewTask) -> Self {
        Self {
            id: new.id.clone(),
            name: std::sync::Arc::clone(&new.name),
            queue: std::sync::Arc::clone(&new.queue),
        }
    }

    /// Tells that the store has it.
    pub(super) fn handle<R>(self, client: Client, effect: Option<Effect>) -> TaskHandle<R> {
        let Self { id, name, queue } = self;
        let (id, existing) = submitted(id, effect);
        client.0.observers.notify(|| Lifecycle::Submitted {
            id: id.clone(),
            name,
            queue,
            existing,
        });
        TaskHandle::new(client, id, !existing)
    }
}

/// The id, and whether the task was there already.
fn submitted(id: TaskId, effect: Option<Effect>) -> (TaskId, bool) {
    match effect {
        Some(Effect::Existing { id, .. }) => (id, true),
        _ => (id, false),
    }
}

pub(super) fn refused(error: Error) -> Error {
    Error::new(error.kind(), "submit", error.to_string())
        .retryable(error.is_retryable())
        .with_source(error)
}
