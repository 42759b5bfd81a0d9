//! [`BlockingPool`]: where handlers without `async` run.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::sync::Semaphore;

/// The most blocking handlers that run at once unless a pool says otherwise.
const DEFAULT_LIMIT: usize = 64;

/// Places beyond those that a worker needs, and the most places of a worker's pool.
const SPARE: usize = 64;
const MOST: usize = 384;

/// Runs functions that block, at most so many at once, on the runtime's threads for blocking work.
///
/// A function that has started cannot be interrupted: when its task is cancelled or times out, the task ends, but the
/// function goes on and keeps its place until it returns. Long ones should look at
/// [`TaskContext::is_cancelled`](super::TaskContext::is_cancelled).
#[derive(Clone, Debug)]
pub struct BlockingPool {
    places: Arc<Semaphore>,
    limit: usize,
    left_behind: Arc<AtomicUsize>,
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
            left_behind: Arc::default(),
        }
    }

    /// A pool for a worker that runs so many tasks at once: each has a place, also while 64 functions go on that were left
    /// behind. No more than 384, for a runtime has 512 threads for what blocks unless it is made with more, and stores
    /// need some of them.
    #[must_use]
    pub fn beside(concurrency: usize) -> Self {
        Self::new(concurrency.saturating_add(SPARE).min(MOST))
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

    /// How many functions go on although their task has ended.
    #[must_use]
    pub fn left_behind(&self) -> usize {
        self.left_behind.load(Ordering::Relaxed)
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
        let watched = Arc::new(Watched {
            state: AtomicU8::new(QUEUED),
            left_behind: Arc::clone(&self.left_behind),
        });
        let (ending, waiting) = (Ending(Arc::clone(&watched)), Waiting(watched));
        let running = tokio::task::spawn_blocking(move || {
            let _place = place;
            // It may have waited for a thread for so long that its task is somebody else's by now.
            ending.begins().then(function)
        });
        let ended = running.await;
        drop(waiting);
        match ended {
            Ok(Some(result)) => Ok(result),
            Ok(None) => Err(Box::new("nobody waited for it any more")),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => Err(panic),
                Err(error) => Err(Box::new(error.to_string())),
            },
        }
    }
}

const QUEUED: u8 = 0;
const RUNNING: u8 = 1;
const LEFT: u8 = 2;
const ENDED: u8 = 3;

/// A function that runs or waits for a thread, seen by itself and by who waits for it.
#[derive(Debug)]
struct Watched {
    state: AtomicU8,
    left_behind: Arc<AtomicUsize>,
}

impl Watched {
    fn moves(&self, from: u8, to: u8) -> bool {
        let moved = self
            .state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        moved.is_ok()
    }
}

/// Dropped when the function ends, however it does.
struct Ending(Arc<Watched>);

impl Ending {
    /// Whether it is to run: somebody waits for it.
    fn begins(&self) -> bool {
        self.0.moves(QUEUED, RUNNING)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.0.state.swap(ENDED, Ordering::AcqRel) == LEFT {
            self.0.left_behind.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Dropped when nobody waits any more.
struct Waiting(Arc<Watched>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.0.moves(QUEUED, ENDED) {
            return;
        }
        // Counted before it can be seen to have ended, so that the number never falls below none.
        self.0.left_behind.fetch_add(1, Ordering::Relaxed);
        if !self.0.moves(RUNNING, LEFT) {
            self.0.left_behind.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_function_that_still_waits_for_a_thread_does_not_run_when_nobody_waits_for_it() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            let pool = BlockingPool::default();
            let (go_on, wait) = mpsc::channel::<()>();
            let busy = tokio::task::spawn_blocking(move || wait.recv());
            let has_run = Arc::new(AtomicBool::new(false));
            let noted = Arc::clone(&has_run);
            let given_up = pool.run(move || noted.store(true, Ordering::SeqCst));
            tokio::select! {
                biased;
                _ = given_up => panic!("there is no thread for it"),
                () = tokio::task::yield_now() => {}
            }
            assert_eq!(pool.left_behind(), 0);
            go_on.send(()).unwrap();
            busy.await.unwrap().unwrap();
            // One thread takes one after the other.
            assert_eq!(pool.run(|| 7).await.unwrap(), 7);
            assert!(!has_run.load(Ordering::SeqCst));
            assert_eq!((pool.left_behind(), pool.busy_places()), (0, 0));
        });
    }
}
