//! Watching: what happens to tasks, schedules and workers, told to whoever asked.

#[cfg(feature = "log-capture")]
mod capture;
mod lifecycle;
mod observers;
mod tracing;

#[cfg(feature = "log-capture")]
pub use self::capture::CaptureLogs;
pub use self::lifecycle::Lifecycle;
pub use self::observers::{Observer, Observers};
pub use self::tracing::TracingObserver;
