//! Watching: what happens to tasks, schedules and workers, told to whoever asked.

mod lifecycle;
mod observers;
mod tracing;

pub use self::lifecycle::Lifecycle;
pub use self::observers::{Observer, Observers};
pub use self::tracing::TracingObserver;
