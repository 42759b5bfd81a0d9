//! Calls that end: a disk or a lock that hangs must not hang whoever asked.

#[cfg(not(all(test, tlo_shuttle)))]
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::sync::{AtomicU8, Ordering};
#[cfg(not(all(test, tlo_shuttle)))]
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind};
use crate::schedule::format_duration;

/// How long a call to a store may take, unless chosen otherwise.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(all(test, tlo_shuttle))]
pub(super) use super::sync::within;

/// The answer of a call, or `None` when it took longer, by the steady clock of the machine.
#[cfg(not(all(test, tlo_shuttle)))]
pub(super) async fn within<F: Future>(limit: Duration, call: F) -> Option<F::Output> {
    let mut call = pin!(call);
    let end = SystemClock.steady().at.saturating_add(limit);
    loop {
        let left = end.saturating_sub(SystemClock.steady().at);
        tokio::select! {
            biased;
            done = &mut call => return Some(done),
            () = SystemClock.sleep(left) => {
                // A runtime whose time is paused for a test wakes early; what works elsewhere does so in real time.
                if SystemClock.steady().at >= end {
                    return None;
                }
            }
        }
    }
}

/// A read that took too long.
pub(super) fn read_timed_out(limit: Duration) -> Error {
    let limit = format_duration(limit);
    Error::new(
        ErrorKind::Timeout,
        "read",
        format!("the store did not answer within {limit}; its disk or a lock may hang"),
    )
}

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// Whether a write that waits for its turn was begun or given up: never both.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn(Arc<AtomicU8>);

impl Turn {
    /// One that never begins.
    pub(super) fn given_up() -> Self {
        Self(Arc::new(AtomicU8::new(GIVEN_UP)))
    }

    /// Begins the write; false when its caller gave up before.
    pub(super) fn begin(&self) -> bool {
        self.leave_waiting(BEGUN)
    }

    /// Gives the write up after this long, and says what is known of it.
    pub(super) fn give_up(&self, operation: &'static str, limit: Duration) -> Error {
        let limit = format_duration(limit);
        let message = if self.leave_waiting(GIVEN_UP) {
            format!(
                "the store did not begin with this within {limit}, so nothing of it was written; its disk or a lock may hang"
            )
        } else {
            format!(
                "the store did not answer within {limit}, so whether this was written is not known; its disk or a lock may hang"
            )
        };
        Error::new(ErrorKind::Timeout, operation, message)
    }

    fn leave_waiting(&self, to: u8) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        self.0
            .compare_exchange(WAITING, to, success, failure)
            .is_ok()
    }
}
