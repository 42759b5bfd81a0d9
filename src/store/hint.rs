//! Hints: "look again", pushed and allowed to be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::broadcast;

use crate::id::TaskId;

/// Something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// A task of this queue may be ready, now or soon.
    Ready(Arc<str>),
    /// A task has ended.
    Finished(TaskId),
    /// A leased task was woken or asked to stop.
    Woken(TaskId),
    /// Hints were lost, or another process wrote: look at everything.
    Unknown,
}

/// The sending side; a store has one.
#[derive(Clone, Debug)]
pub struct HintSender {
    sender: broadcast::Sender<Hint>,
    /// Listeners that want to hear of tasks that end.
    wait_for_ends: Arc<AtomicUsize>,
}

impl Default for HintSender {
    fn default() -> Self {
        Self {
            sender: broadcast::channel(1024).0,
            wait_for_ends: Arc::default(),
        }
    }
}

impl HintSender {
    /// Sends to all who listen now.
    pub fn send(&self, hint: Hint) {
        // Nobody listening is fine: a hint is only a hint.
        let _ = self.sender.send(hint);
    }

    /// Whether anybody listens.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Whether anybody wants to hear of tasks that end; a store may keep [`Hint::Finished`] to itself otherwise.
    #[must_use]
    pub fn tells_ends(&self) -> bool {
        self.wait_for_ends.load(Ordering::Acquire) > 0
    }

    /// A new listener to everything.
    #[must_use]
    pub fn subscribe(&self) -> HintStream {
        self.wait_for_ends.fetch_add(1, Ordering::AcqRel);
        HintStream {
            receiver: self.sender.subscribe(),
            wait_for_ends: Some(Arc::clone(&self.wait_for_ends)),
        }
    }
}

/// The receiving side.
#[derive(Debug)]
pub struct HintStream {
    receiver: broadcast::Receiver<Hint>,
    wait_for_ends: Option<Arc<AtomicUsize>>,
}

impl Drop for HintStream {
    fn drop(&mut self) {
        self.forget_ends();
    }
}

impl HintStream {
    /// The same stream for who does not care which tasks end: [`Hint::Finished`] need not come any more.
    #[must_use]
    pub fn without_ends(mut self) -> Self {
        self.forget_ends();
        self
    }

    fn forget_ends(&mut self) {
        if let Some(waiting) = self.wait_for_ends.take() {
            waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Waits for the next hint; `None` when the store is gone. A listener that was too slow gets [`Hint::Unknown`].
    pub async fn next(&mut self) -> Option<Hint> {
        match self.receiver.recv().await {
            Ok(hint) => Some(hint),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Hint::Unknown),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// Whether no hint waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// The next hint if one waits.
    pub fn try_next(&mut self) -> Option<Hint> {
        match self.receiver.try_recv() {
            Ok(hint) => Some(hint),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(Hint::Unknown),
            Err(_) => None,
        }
    }
}
