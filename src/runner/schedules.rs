//! Firing schedules when they are due.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::scheduler::Scheduler;

/// The longest wait after a store failed; the slots are made up for then.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Waits from which on it pays to end them exactly.
const LONG: Duration = Duration::from_millis(20);

/// How late a timer of the runtime may be: it counts in milliseconds and rounds up twice.
const LATE: Duration = Duration::from_millis(2);

/// Before a long wait ends there is time for what can be done ahead.
const AHEAD: Duration = Duration::from_millis(4);

/// Fires until an error ends it, which only happens in strict mode.
pub(super) async fn fire(mut scheduler: Scheduler, clock: Arc<dyn Clock>, strict: bool) -> Error {
    let mut pause = Duration::from_millis(100);
    loop {
        match scheduler.tick().await {
            Ok(Some(wait)) => {
                pause = Duration::from_millis(100);
                sleep_exactly(&*clock, wait, || {
                    scheduler.look_ahead();
                })
                .await;
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

/// Waits, and after a long wait ends within a fraction of a millisecond: a timer of the runtime is up to two late, so the rest
/// of the wait is slept by a thread of its own. Shortly before the end of such a wait `prepare` is called.
async fn sleep_exactly(clock: &dyn Clock, wait: Duration, prepare: impl FnOnce()) {
    if wait < LONG || !clock.is_of_the_machine() {
        return clock.sleep(wait).await;
    }
    let due = clock.steady().at + wait;
    clock.sleep(wait.saturating_sub(AHEAD + LATE)).await;
    prepare();
    let rest = move || {
        due.saturating_sub(SystemClock.steady().at)
            .min(AHEAD + LATE)
    };
    let (wake, woken) = oneshot::channel();
    let alarm = move || {
        std::thread::sleep(rest());
        // Who waited may have been dropped.
        let _ = wake.send(());
    };
    let thread = std::thread::Builder::new().name("tlo-alarm".to_owned());
    match thread.spawn(alarm) {
        Ok(_) => drop(woken.await),
        // The machine has no thread to give.
        Err(_) => clock.sleep(rest()).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_is_never_shorter_than_asked_for() {
        for wait in [Duration::from_millis(1), LONG, LONG + LATE] {
            let before = SystemClock.steady().at;
            sleep_exactly(&SystemClock, wait, || {}).await;
            assert!(SystemClock.steady().at - before >= wait, "{wait:?}");
        }
    }
}
