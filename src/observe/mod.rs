//! Watching: what happens to tasks, schedules and workers, told to whoever asked.

#[cfg(feature = "log-capture")]
mod capture;
mod lifecycle;
#[cfg(feature = "metrics")]
mod metrics;
mod observers;
mod tracing;

#[cfg(feature = "log-capture")]
pub use self::capture::CaptureLogs;
pub use self::lifecycle::Lifecycle;
#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
pub use self::observers::{Observer, Observers};
pub use self::tracing::TracingObserver;
pub use crate::handler::traced;
