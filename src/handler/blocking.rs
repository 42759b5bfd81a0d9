//! [`BlockingPool`]: where handlers without `async` run.

use std::any::Any;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// The most blocking handlers that run at once unless a pool says otherwise.
const DEFAULT_LIMIT: usize = 64;

/// Runs functions that block, at most so many at once, on the runtime's threads for blocking work.
///
/// A function that has started cannot be interrupted: when its task is cancelled or times out, the task ends, but the
/// function goes on and keeps its place until it returns. Long ones should look at
/// [`TaskContext::is_cancelled`](super::TaskContext::is_cancelled).
#[derive(Clone, Debug)]
pub struct BlockingPool {
    places: Arc<Semaphore>,
    limit: usize,
}

impl Default for BlockingPool {
    /// 64 places.
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

impl BlockingPool {
    /// A pool of this many places, at least one.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(limit)),
            limit,
        }
    }

    /// How many more functions could start now.
    #[must_use]
    pub fn free_places(&self) -> usize {
        self.places.available_permits()
    }

    /// How many functions run now.
    #[must_use]
    pub fn busy_places(&self) -> usize {
        self.limit.saturating_sub(self.free_places())
    }

    /// Runs the function when a place is free.
    ///
    /// # Errors
    /// The payload of its panic.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        function: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Box<dyn Any + Send>> {
        // The semaphore is never closed, so the permit is always there.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let running = tokio::task::spawn_blocking(move || {
            let _place = place;
            function()
        });
        match running.await {
            Ok(result) => Ok(result),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => Err(panic),
                Err(error) => Err(Box::new(error.to_string())),
            },
        }
    }
}
