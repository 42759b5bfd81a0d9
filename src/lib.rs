//! TLO runs background work: recurring tasks, a durable task queue, and the tools to see and steer both.
//!
//! ```no_run
//! use tlo::prelude::*;
//!
//! #[tokio::main]
//! async fn main() -> tlo::Result<()> {
//!     let tlo = TloContext::builder()
//!         .task(task("heartbeat").every(secs(1)).run(|_: TaskContext, _: ()| async { println!("tick") }))
//!         .build().await?;
//!     Runner::new(tlo).run().await
//! }
//! ```
//!
//! # Use it
//!
//! - Say what runs: [`task()`] starts a definition, [`TaskBuilder`](handler::TaskBuilder) has when, how often, how long and
//!   how many at once. A handler is `async fn(TaskContext, Args) -> impl IntoOutcome`, or the same without `async`.
//! - Put it together: [`TloContext::builder`] resolves settings, store and registry, and checks everything before anything starts.
//! - Run it: [`Runner`] fires schedules, runs tasks, takes back what crashed workers left, and stops well.
//! - Submit: [`Client::task`] gives a [`TaskHandle`] to wait for the result, to look at, or to cancel.
//! - Schedules are data: [`schedule::Schedule`] is a pure function from the last slot to the next.
//! - Test: feature `testing` has a manual clock and runs everything on the real store in memory.
//!
//! A handler may run more than once: when its worker is lost, another takes the task over. [`TaskContext::id`] is the same in every
//! attempt and [`TaskContext::fence`] grows with every lease; give them to the systems you call, and they can tell.
//!
//! # Write a backend
//!
//! [`store::TaskStateStore`] is the only durable port; its *Contract* is a list of sentences, each of them a case of
//! `testing::conformance`. If your engine has ordered keys, implement the four methods of [`store::kv::Rows`] and get the
//! port from [`RowStore`]. Give it a name with [`plugin::PluginTable`], and `TLO_TASK_STATE_STORE=yours` finds it.
//!
//! # Operate it
//!
//! The binary (`--features full`) has `tlo run`, `check`, `list`, `inspect`, `stats`, `submit`, `explain`, `doctor` and more;
//! `cli::main` gives your own program the same commands with its own handlers. [`settings`] come in layers and remember where
//! they came from. [`observe::Observer`] is told what happens.
//!
//! # Carry it on
//!
//! Imports flow one way, from words to surfaces: errors and time, then [`schedule`] and [`mod@task`] (plain data and total functions), the
//! ports [`store`], [`registry`], [`handler`] and [`observe`], the stores, the [`client`], the engines [`scheduler`] and [`worker`],
//! assembly in [`settings`], [`plugin`], [`context`] and [`runner`], and the commands on top. A test holds them to it.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `macros` (default) | `#[tlo::task]` |
//! | `sqlite` (default) | the embedded durable store |
//! | `lmdb` | the store in LMDB |
//! | `jsonl` | the store in memory and a log that a person can read |
//! | `redis`, `redis-tls` | the store on a Redis server; `rediss://` |
//! | `postgres` | the store in a PostgreSQL database |
//! | `sqlx` | submits inside PostgreSQL transactions of `sqlx` 0.9 |
//! | `testing` | manual clock, harness, conformance suite |
//! | `command` | tasks that run programs |
//! | `log-capture` | what handlers say with `tracing` becomes the log of their run |
//! | `metrics` | what happens as counters, histograms and gauges of the `metrics` facade |
//! | `cli` | the commands of the binary |
//! | `opentelemetry` | runs as spans of OpenTelemetry |
//! | `full` | everything but `opentelemetry` and `sqlx` |

mod clock;
mod error;
mod host_name;
mod id;
mod page;
mod payload;
mod timestamp;

pub mod schedule;

pub mod task;

pub mod store;

pub mod registry;

pub mod handler;

pub mod observe;

pub mod prelude;

mod backends;

pub mod client;

pub mod migration;

pub mod scheduler;

pub mod worker;

pub mod settings;

pub mod plugin;

pub mod context;

pub mod runner;

#[cfg(feature = "cli")]
pub mod cli;

#[cfg(feature = "testing")]
pub mod testing;

/// The attribute that the async traits of this crate are implemented with.
pub use async_trait::async_trait;
#[cfg(feature = "jsonl")]
pub use backends::{JsonlDurability, JsonlEngine, JsonlFacts, JsonlOptions, JsonlStore};
#[cfg(feature = "lmdb")]
pub use backends::{LmdbDurability, LmdbEngine, LmdbFacts, LmdbOptions, LmdbStore};
pub use backends::{MemoryStore, RowStore};
#[cfg(feature = "postgres")]
pub use backends::{PostgresDurability, PostgresOptions, PostgresPooler, PostgresStore};
#[cfg(feature = "redis")]
pub use backends::{RedisDurability, RedisOptions, RedisStore};
#[cfg(feature = "sqlite")]
pub use backends::{SqliteDurability, SqliteEngine, SqliteFacts, SqliteOptions, SqliteStore};
pub use client::{Client, ClientContext, TaskHandle};
pub use clock::{Clock, Steady, SystemClock};
pub use context::{TloContext, TloContextBuilder};
pub use error::{Error, ErrorKind, Result};
pub use handler::{Task, TaskContext, hours, millis, minutes, secs, task};
pub use id::{IdSource, LeaseToken, NAME_LIMIT, TaskId, WorkerId, check_name, stable_hash};
pub use page::{Cursor, PAGE_LIMIT, Page, PageRequest};
pub use payload::{PAYLOAD_LIMIT, Payload};
pub use runner::{Runner, RunnerHandle};
/// The SQLite that the store is built with, for [submits inside transactions of your own](client::Prepared::submit_in).
#[cfg(feature = "sqlite")]
pub use rusqlite;
pub use settings::{StopBehavior, TloSettings};
pub use task::{RetryPolicy, TaskError, TaskResult, TaskStateRecord, TaskStatus, error_group};
pub use timestamp::Timestamp;
#[cfg(feature = "macros")]
pub use tlo_macros::task;
/// The client of PostgreSQL that the store is built with, for [submits inside transactions of your
/// own](client::Prepared::submit_within).
#[cfg(feature = "postgres")]
pub use tokio_postgres;

/// What the macros generate calls; not for programs.
#[doc(hidden)]
#[cfg(feature = "macros")]
pub mod __private {
    pub use inventory::submit;
}

/// The programs of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
