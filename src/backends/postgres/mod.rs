//! The store in a PostgreSQL database, shared by any number of processes: PostgreSQL 14 or newer.
//!
//! # What it promises
//!
//! - What was answered is on the disk of the server as `synchronous_commit` says there; a server that answers `off`, or
//!   runs without `fsync`, is refused unless `durability = "relaxed"` allows it.
//! - All times are those of the server (`statement_timestamp()`): clocks of workers do not matter. Leases are measured on
//!   its wall clock, so keep it in step with NTP and do not set it back or forth by hand.
//! - Claims lock what they take with `FOR UPDATE SKIP LOCKED`, so claimers never wait for each other; gates are locked in
//!   the order of their keys. Nothing is locked while a task runs.
//! - Commits of callers that wait at the same time share a transaction, written by a few statements however many they are.
//! - A call that others got in the way of (a conflict, a deadlock, a cut connection before the commit) is tried again
//!   inside; when the connection is cut at the commit itself the caller hears that it is not known whether it was written.
//!   Sending the same again is safe.
//!
//! # How to run it
//!
//! - Give it a database of its own or share yours: everything is in one schema (`tlo`), made when the store is opened. The
//!   user needs the right to create the schema once; after that a user with rights on its tables is enough.
//! - It opens up to `connections` (8) connections and one more that listens. Count them against `max_connections` for each
//!   process.
//! - `LISTEN`/`NOTIFY` brings hints to other processes within milliseconds; when it does not, workers look by themselves
//!   every second.
//! - A long transaction anywhere in the database keeps rows from being cleaned up: tables grow until it ends, so set
//!   `idle_in_transaction_session_timeout`. Claims pass over what is gone meanwhile, and look at everything again within
//!   5 s: a task that becomes ready before others that run already may wait that long. The tables ask for eager
//!   autovacuum themselves.
//! - Behind PgBouncer with `pool_mode = transaction` the store uses no named statements and does not listen; it finds out
//!   when it is opened, or is told by `pooler = "transaction"`. Hints then reach only the process they come from, and
//!   others look every 200 ms. With `pool_mode = session` nothing is different. Statement pooling cannot work.
//! - Backups are those of the database (`pg_dump`, base backups with WAL). A failover to an asynchronous replica loses what
//!   was not replicated, and may give the fences of leases among it again; `synchronous_commit = remote_apply` with synchronous
//!   replicas does not.
//!
//! Everything can be looked at with `psql`:
//!
//! ```text
//! SELECT id, name, status, record::jsonb -> 'error' FROM tlo.tasks WHERE status = 'failed' ORDER BY seq;
//! ```

mod columns;
mod engine;
mod enlist;
mod fault;
mod floor;
mod flush;
mod held;
mod link;
mod load;
mod loaded;
mod look;
mod maintain;
mod names;
mod needs;
mod options;
#[cfg(feature = "sqlx")]
mod over_sqlx;
mod pick;
mod pick_sql;
mod pool;
mod quick;
mod read;
mod row;
mod schema;
mod table;
mod tell;
mod transaction;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

pub use self::options::{PostgresDurability, PostgresOptions, PostgresPooler};

use self::engine::Engine;
use self::pool::Connections;
use self::tell::Teller;
use self::writer::Writers;
use super::deadline::{read_timed_out, within};
use super::io::IoThread;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{IdSource, TaskId};
use crate::page::{Page, PageRequest};
use crate::schedule::format_duration;
use crate::store::{
    Capability, ClaimRequest, Claims, Commit, Committed, CountBy, Counts, Durability, Event,
    HintSender, HintStream, Holdings, Maintain, Maintained, Mark, Retention, StreamId, Tables,
    TaskFilter, TaskStateStore,
};
use crate::task::{TaskStateRecord, TaskSummary};

/// The plugin name.
const NAME: &str = "postgres";

/// A [`TaskStateStore`] in a PostgreSQL database.
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tlo::Result<()> {
/// use std::sync::Arc;
/// use tlo::store::TaskStateStore;
/// use tlo::{IdSource, PostgresOptions, PostgresStore, SystemClock};
///
/// let options = PostgresOptions::at("postgres://app:secret@localhost/app");
/// let store = PostgresStore::open(options, SystemClock::shared(), Arc::new(IdSource::random())).await?;
/// assert!(store.capability().shared);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PostgresStore {
    engine: Arc<Engine>,
    writers: Writers,
    capability: Capability,
    /// Dropped last: the tasks of the others run on it.
    io: IoThread,
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.engine.connections.close();
    }
}

impl PostgresStore {
    /// Connects, makes or migrates the tables, and reads back what the server promises.
    ///
    /// The store goes by the time of the server; a `clock` that is not that of the machine, as in tests, is taken instead.
    ///
    /// # Errors
    /// `Configuration` for options that cannot work, a server that refuses the user or cannot keep the promise, and tables
    /// of a newer build; `Unavailable` when the server cannot be reached.
    pub async fn open(
        options: PostgresOptions,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<Self> {
        options.check()?;
        let io = IoThread::start()?;
        let limit = options.call_timeout;
        let opening = {
            let options = options.clone();
            io.run(async move { Connections::open(&options).await })
        };
        let connections = within(limit, opening).await.unwrap_or_else(|| {
            let limit = format_duration(limit);
            Ok(Err(Error::new(
                ErrorKind::Timeout,
                "open postgres",
                format!("the PostgreSQL server did not answer within {limit}"),
            )))
        })??;
        let capability = capability(&connections, &options);
        let off = connections.pooled;
        let origin = format!("{:x}", IdSource::random().unit().to_bits());
        let teller = Teller::new(connections.names.channel(), origin, off);
        let hints = HintSender::default();
        let engine = Arc::new(Engine::new(
            connections,
            clock,
            ids,
            hints,
            teller.clone(),
            limit,
        ));
        let writers = Writers::start(&engine, io.handle());
        if !off {
            let (first, listens) = oneshot::channel();
            io.handle()
                .spawn(teller.clone().serve(Arc::downgrade(&engine)));
            io.handle()
                .spawn(teller.listen(Arc::downgrade(&engine), first));
            // Without an ear for others the store works, too: it polls.
            let _ = within(options.connect_timeout, listens).await;
        }
        Ok(Self {
            engine,
            writers,
            capability,
            io,
        })
    }

    /// Runs on the thread of the connections, no longer than a call may take.
    async fn on_io<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let limit = self.engine.limit;
        within(limit, self.io.run(work))
            .await
            .unwrap_or_else(|| Err(read_timed_out(limit)))?
    }
}

fn capability(connections: &Connections, options: &PostgresOptions) -> Capability {
    let server = &connections.server;
    let strict = options.durability == PostgresDurability::Strict;
    let (durability, kept) = if strict {
        (
            Durability::Power,
            "what was answered survives a power failure of the server",
        )
    } else {
        (
            Durability::Process,
            "a crash of the server may take what was answered in its last 0.6 s",
        )
    };
    let hints = if connections.pooled {
        "none from other processes: a pooler of transactions stands between"
    } else {
        "LISTEN/NOTIFY"
    };
    Capability {
        name: NAME,
        durability,
        shared: true,
        pushes: !connections.pooled,
        retention: Retention::default(),
        poll: if connections.pooled {
            Duration::from_millis(200)
        } else {
            Duration::from_secs(1)
        },
        promise: format!(
            "the schema \"{}\" of the PostgreSQL database \"{}\"; {kept}",
            options.schema, server.database
        ),
        facts: vec![
            ("server", server.version.clone()),
            ("synchronous_commit", server.synchronous_commit.clone()),
            ("fsync", server.fsync.clone()),
            ("tables", connections.names.space()),
            ("connections", options.connections.to_string()),
            ("hints", hints.to_owned()),
        ],
    }
}

#[async_trait]
impl TaskStateStore for PostgresStore {
    fn capability(&self) -> Capability {
        self.capability.clone()
    }

    async fn commit(&self, commits: Vec<Commit>) -> Result<Vec<Committed>> {
        self.writers.commit(&self.engine, commits).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Claims> {
        let (engine, hand) = (Arc::clone(&self.engine), self.writers.hander());
        let handed = self
            .on_io(async move { writer::claim(&engine, &request).await.map(hand) })
            .await?;
        handed
            .take()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "claim", "the answer was taken before"))
    }

    async fn get(&self, ids: &[TaskId]) -> Result<Vec<Option<TaskStateRecord>>> {
        let (engine, ids) = (Arc::clone(&self.engine), ids.to_vec());
        self.on_io(async move { read::get(&engine, &ids).await })
            .await
    }

    async fn list(&self, filter: &TaskFilter, page: PageRequest) -> Result<Page<TaskSummary>> {
        let (engine, filter) = (Arc::clone(&self.engine), filter.clone());
        self.on_io(async move { read::list(&engine, &filter, page).await })
            .await
    }

    async fn count(&self, filter: &TaskFilter, by: CountBy, limit: usize) -> Result<Counts> {
        let (engine, filter) = (Arc::clone(&self.engine), filter.clone());
        self.on_io(async move { read::count(&engine, &filter, by, limit).await })
            .await
    }

    async fn events(&self, stream: &StreamId, from: u64, limit: usize) -> Result<Vec<Event>> {
        let (engine, stream) = (Arc::clone(&self.engine), stream.clone());
        self.on_io(async move { look::events(&engine, &stream, from, limit).await })
            .await
    }

    async fn marks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Mark>> {
        let engine = Arc::clone(&self.engine);
        let (prefix, after) = (prefix.to_owned(), after.map(ToOwned::to_owned));
        self.on_io(async move { look::marks(&engine, &prefix, after.as_deref(), limit).await })
            .await
    }

    async fn holdings(&self, after: Option<&str>, limit: usize) -> Result<Holdings> {
        let (engine, after) = (Arc::clone(&self.engine), after.map(ToOwned::to_owned));
        self.on_io(async move { look::holdings(&engine, after.as_deref(), limit).await })
            .await
    }

    async fn maintain(&self, request: Maintain) -> Result<Maintained> {
        let engine = Arc::clone(&self.engine);
        self.on_io(async move { maintain::maintain(&engine, &request).await })
            .await
    }

    async fn check(&self) -> Result<Vec<String>> {
        let engine = Arc::clone(&self.engine);
        // As long as it takes: somebody asked for it.
        self.io
            .run(async move { read::check(&engine).await })
            .await?
    }

    fn tables(&self) -> Option<Tables> {
        Some(self.engine.connections.names.tables())
    }

    fn hints(&self) -> HintStream {
        self.engine.hints.subscribe()
    }
}
