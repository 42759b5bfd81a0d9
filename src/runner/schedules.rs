//! Firing schedules when they are due.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::Error;
use crate::scheduler::Scheduler;

/// The longest wait after a store failed; the slots are made up for then.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Waits from which on it pays to end them exactly.
const LONG: Duration = Duration::from_millis(20);

/// How late a timer of the runtime may be: it counts in milliseconds and rounds up twice.
const LATE: Duration = Duration::from_millis(2);

/// Fires until an error ends it, which only happens in strict mode.
pub(super) async fn fire(mut scheduler: Scheduler, clock: Arc<dyn Clock>, strict: bool) -> Error {
    let mut pause = Duration::from_millis(100);
    loop {
        match scheduler.tick().await {
            Ok(Some(wait)) => {
                pause = Duration::from_millis(100);
                sleep_exactly(&*clock, wait).await;
            }
            Ok(None) => std::future::pending::<()>().await,
            Err(error) if strict && !error.is_retryable() => return error,
            Err(error) => {
                tracing::warn!(%error, "schedules could not be fired; trying again");
                clock.sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Waits, and after a long wait ends within a fraction of a millisecond: a timer of the runtime is up to two late. The rest of
/// the wait is slept by a thread; where none is free, a timer ends it after all.
async fn sleep_exactly(clock: &dyn Clock, wait: Duration) {
    if wait < LONG || !clock.is_of_the_machine() {
        return clock.sleep(wait).await;
    }
    let due = clock.steady().at + wait;
    clock.sleep(wait.saturating_sub(LATE)).await;
    let rest = due.saturating_sub(clock.steady().at);
    let slept = tokio::task::spawn_blocking(move || std::thread::sleep(rest));
    tokio::select! {
        _ = slept => {}
        () = clock.sleep(rest) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn a_wait_ends_where_no_thread_is_free() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        runtime.block_on(async {
            let _busy = tokio::task::spawn_blocking(move || held.recv());
            let before = SystemClock.steady().at;
            sleep_exactly(&SystemClock, LONG).await;
            assert!(SystemClock.steady().at - before >= LONG);
        });
        drop(release);
    }
}
