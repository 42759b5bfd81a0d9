//! Runs that ended, on their way to be recorded.

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::execute::Finished;

/// What ended and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct Ends {
    list: Mutex<Vec<Finished>>,
    some: Notify,
}

impl Ends {
    /// Answers whether this woke who takes them.
    pub(super) fn push(&self, finished: Finished) -> bool {
        let mut list = self.list.lock();
        let is_first = list.is_empty();
        list.push(finished);
        drop(list);
        if is_first {
            self.some.notify_one();
        }
        is_first
    }

    /// Moves what there is behind what is in `taken`; the room on both sides is kept for what ends next.
    pub(super) fn take(&self, taken: &mut Vec<Finished>) {
        let mut list = self.list.lock();
        if taken.is_empty() {
            std::mem::swap(taken, &mut list);
        } else {
            taken.append(&mut list);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.lock().is_empty()
    }

    /// Waits until there is something to take.
    pub(super) async fn some(&self) {
        while self.is_empty() {
            self.some.notified().await;
        }
    }
}
