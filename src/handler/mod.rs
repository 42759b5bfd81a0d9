//! What runs: handlers, the context they are given, the layers around them, and the builder that defines tasks.

mod blocking;
mod builder;
pub mod builtin;
mod collected;
mod context;
mod context_builder;
mod extensions;
mod interruption;
mod into;
pub mod layers;
mod log;
#[cfg(feature = "opentelemetry")]
mod open_telemetry;
mod outcome;
mod period;
mod table;
mod task;
mod traced;
mod when;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::blocking::BlockingPool;
pub use self::builder::TaskBuilder;
pub use self::collected::{Collected, collected};
pub use self::context::{Surroundings, TaskContext};
pub use self::context_builder::TaskContextBuilder;
pub use self::extensions::Extensions;
pub use self::interruption::Interruption;
pub use self::into::IntoHandler;
#[doc(hidden)]
pub use self::into::{ByBlocking, ByFuture, ByHandler, ByShared};
pub use self::layers::Layer;
pub(crate) use self::layers::panic::panic_message;
#[doc(hidden)]
pub(crate) use self::log::LogBatch;
pub use self::outcome::{Boxed, Plain};
pub use self::outcome::{Gives, IntoOutcome};
pub use self::period::{IntoInstant, IntoPeriod};
pub use self::table::HandlerTable;
pub use self::task::{Task, hours, millis, minutes, secs, task};
pub(crate) use self::traced::Trace;
pub use self::traced::traced;
use crate::payload::Payload;
use crate::task::Ended;

/// Runs the tasks of a name.
///
/// Most programs never name this trait: functions and closures become handlers by
/// [`TaskBuilder::run`]. Implement it for what needs the JSON itself.
///
/// # Contract
/// - `run` may be called many times at once, and the future may be dropped at any await when a task is aborted.
/// - Every way to end is a value of [`Ended`]; a panic is caught by the layers and counts as a failed attempt.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Runs one task to its end.
    async fn run(&self, context: TaskContext, args: Payload) -> Ended;
}

/// A handler as tables and layers pass it around.
pub type SharedHandler = Arc<dyn Handler>;
