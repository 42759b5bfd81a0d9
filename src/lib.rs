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

pub use backends::{MemoryStore, RowStore};
pub use clock::{Clock, Steady, SystemClock};
pub use error::{Error, ErrorKind, Result};
pub use handler::{Task, TaskContext, hours, millis, minutes, secs, task};
pub use id::{IdSource, LeaseToken, NAME_LIMIT, TaskId, WorkerId, check_name, stable_hash};
pub use page::{Cursor, PAGE_LIMIT, Page, PageRequest};
pub use payload::{PAYLOAD_LIMIT, Payload};
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
