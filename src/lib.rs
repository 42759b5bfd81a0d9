//! TLO runs background work: recurring tasks, a durable task queue, and the tools to see and steer both.

mod clock;
mod error;
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
pub use backends::{MemoryStore, RowStore};
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
pub use settings::{StopBehavior, TloSettings};
pub use task::{RetryPolicy, TaskError, TaskResult, TaskStateRecord, TaskStatus, error_group};
pub use timestamp::Timestamp;
#[cfg(feature = "macros")]
pub use tlo_macros::task;

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
