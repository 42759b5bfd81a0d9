//! Ctrl-C and SIGTERM.

use super::RunnerHandle;

/// Turns signals into requests to stop, until listening is impossible.
pub(super) async fn listen(handle: RunnerHandle) {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::warn!(%error, "signals cannot be listened to; stop this process through its handle");
            return;
        }
    };
    while let Some(name) = signals.next().await {
        if handle.is_stopping() {
            tracing::warn!("{name} again: stopping now; what still runs is handed back");
        } else {
            tracing::info!("{name}: stopping; once more stops at once");
        }
        handle.stop();
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Option<&'static str> {
        tokio::select! {
            got = self.interrupt.recv() => got.map(|()| "interrupted"),
            got = self.terminate.recv() => got.map(|()| "terminated"),
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Option<&'static str> {
        tokio::signal::ctrl_c().await.ok().map(|()| "interrupted")
    }
}
