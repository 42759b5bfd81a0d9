//! Firing schedules when they are due.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::Error;
use crate::scheduler::Scheduler;

/// The longest wait after a store failed; the slots are made up for then.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Fires until an error ends it, which only happens in strict mode.
pub(super) async fn fire(mut scheduler: Scheduler, clock: Arc<dyn Clock>, strict: bool) -> Error {
    let mut pause = Duration::from_millis(100);
    loop {
        match scheduler.tick().await {
            Ok(Some(wait)) => {
                pause = Duration::from_millis(100);
                clock.sleep(wait).await;
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
