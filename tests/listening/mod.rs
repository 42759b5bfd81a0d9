//! A subscriber of `tracing` for one test among others of its process.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise"
)]

use std::sync::Once;

use tracing::Subscriber;
use tracing::subscriber::{DefaultGuard, set_default, set_global_default};

/// Listens on this thread while the guard lives.
///
/// Where the only subscriber of a process is that of one thread, `tracing` asks the thread that comes to a span first whether
/// anybody wants it, and remembers the answer for all: another test, which listens to nothing, would say no. So the whole
/// process has one, too, which wants everything and keeps nothing.
pub fn listen(subscriber: impl Subscriber + Send + Sync + 'static) -> DefaultGuard {
    static EVERYWHERE: Once = Once::new();
    EVERYWHERE.call_once(|| set_global_default(tracing_subscriber::registry()).unwrap());
    set_default(subscriber)
}
