//! A thread of its own for everything that talks to a server: connections never live on the caller's runtime.
//!
//! A handler that blocks its runtime would else also stop the driver of the connection that renews its lease. A store over
//! the network owns one such thread; what is handed to it runs there and only the answer comes back.

use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, Result};

/// The thread `tlo-io` with its current-thread runtime. It ends when this is dropped; what still runs on it is dropped with
/// it, and whoever waits for that hears `Closed`.
#[derive(Debug)]
pub(super) struct IoThread {
    handle: Handle,
    /// Dropped with this: the thread then ends.
    _alive: oneshot::Sender<()>,
}

impl IoThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// `Unavailable` when the machine refuses a thread or a runtime.
    pub(super) fn start() -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(not_started)?;
        let handle = runtime.handle().clone();
        let (alive, dropped) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("tlo-io".to_owned())
            .spawn(move || {
                // An error is the sign: nothing is ever sent.
                let _ = runtime.block_on(dropped);
                runtime.shutdown_background();
            })
            .map_err(not_started)?;
        Ok(Self {
            handle,
            _alive: alive,
        })
    }

    /// Runs a future on the thread. It runs to its end there even when whoever waits for it goes away.
    ///
    /// # Errors
    /// `Closed` when the thread ended meanwhile, `Internal` when the future panicked.
    pub(super) async fn run<F>(&self, future: F) -> Result<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future).await.map_err(|failed| {
            if failed.is_panic() {
                Error::new(
                    ErrorKind::Internal,
                    "ask the store",
                    "the store met a fault of its own; whether something was written is not known",
                )
            } else {
                Error::new(
                    ErrorKind::Closed,
                    "ask the store",
                    "the store was closed before it answered",
                )
            }
        })
    }

    /// The runtime of the thread, for tasks that nobody waits for. It does not keep the thread alive.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

fn not_started(source: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "open store",
        "the thread for connections did not start",
    )
    .with_source(source)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn futures_run_on_the_thread_and_not_here() {
        let io = IoThread::start().unwrap();
        let name = io
            .run(async { thread::current().name().map(str::to_owned) })
            .await
            .unwrap();
        assert_eq!(name.as_deref(), Some("tlo-io"));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_thread_goes_on() {
        let io = IoThread::start().unwrap();
        let refused: Result<()> = io.run(async { panic!("planned") }).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(io.run(async { 7 }).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn what_runs_when_the_thread_ends_is_closed() {
        let io = IoThread::start().unwrap();
        let handle = io.handle().clone();
        let waiting = handle.spawn(std::future::pending::<()>());
        drop(io);
        assert!(waiting.await.unwrap_err().is_cancelled());
    }
}
