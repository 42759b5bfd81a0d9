//! The clock of one node: the wall clocks of machines differ, and somebody sets them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::clock::{Clock, Steady};
use crate::testing::ManualClock;
use crate::timestamp::Timestamp;

/// The time of the simulation with the wall clock off by something.
#[derive(Debug)]
pub(super) struct NodeClock {
    base: Arc<ManualClock>,
    /// Milliseconds ahead of the store, negative when behind.
    ahead: Mutex<i64>,
}

impl NodeClock {
    pub(super) fn new(base: Arc<ManualClock>, ahead: i64) -> Arc<Self> {
        Arc::new(Self {
            base,
            ahead: Mutex::new(ahead),
        })
    }

    pub(super) fn ahead(&self) -> i64 {
        *self.ahead.lock()
    }

    pub(super) fn set_ahead(&self, millis: i64) {
        *self.ahead.lock() = millis;
    }
}

#[async_trait]
impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead();
        let by = Duration::from_millis(ahead.unsigned_abs());
        let now = self.base.now();
        if ahead < 0 {
            now.saturating_sub(by)
        } else {
            now.saturating_add(by)
        }
    }

    fn steady(&self) -> Steady {
        self.base.steady()
    }

    async fn sleep(&self, duration: Duration) {
        self.base.sleep(duration).await;
    }
}
