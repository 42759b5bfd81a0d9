//! Ctrl-C and SIGTERM.

use std::sync::OnceLock;

use super::RunnerHandle;

/// A signal that stops a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C, SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Signal {
    /// What a process that it ended exits with: 130 or 143.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Interrupt => "interrupted",
            Self::Terminate => "terminated",
        }
    }
}

/// Turns signals into requests to stop, until listening is impossible. The one that forces is remembered.
pub(super) async fn listen(handle: RunnerHandle, forced: &OnceLock<Signal>) {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::warn!(%error, "signals cannot be listened to; stop this process through its handle");
            return;
        }
    };
    while let Some(signal) = signals.next().await {
        let what = signal.what();
        if !handle.is_stopping() {
            tracing::info!("{what}: stopping when what runs has ended; once more stops at once");
        } else if forced.set(signal).is_ok() {
            tracing::warn!("{what} again: stopping now; what still runs is handed back");
        }
        handle.stop();
    }
}

/// Waits for a signal; for ever where none are to be had.
#[cfg(feature = "cli")]
pub(crate) async fn signal() -> Signal {
    if let Ok(mut signals) = Signals::new()
        && let Some(signal) = signals.next().await
    {
        return signal;
    }
    std::future::pending().await
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

    async fn next(&mut self) -> Option<Signal> {
        tokio::select! {
            got = self.interrupt.recv() => got.map(|()| Signal::Interrupt),
            got = self.terminate.recv() => got.map(|()| Signal::Terminate),
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

    async fn next(&mut self) -> Option<Signal> {
        tokio::signal::ctrl_c()
            .await
            .ok()
            .map(|()| Signal::Interrupt)
    }
}
