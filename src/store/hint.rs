//! Hints: "look again", pushed and allowed to be lost.

use std::sync::Arc;

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
pub struct HintSender(broadcast::Sender<Hint>);

impl Default for HintSender {
    fn default() -> Self {
        Self(broadcast::channel(1024).0)
    }
}

impl HintSender {
    /// Sends to all who listen now.
    pub fn send(&self, hint: Hint) {
        // Nobody listening is fine: a hint is only a hint.
        let _ = self.0.send(hint);
    }

    /// Whether anybody listens.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// A new listener.
    #[must_use]
    pub fn subscribe(&self) -> HintStream {
        HintStream(self.0.subscribe())
    }
}

/// The receiving side.
#[derive(Debug)]
pub struct HintStream(broadcast::Receiver<Hint>);

impl HintStream {
    /// Waits for the next hint; `None` when the store is gone. A listener that was too slow gets [`Hint::Unknown`].
    pub async fn next(&mut self) -> Option<Hint> {
        match self.0.recv().await {
            Ok(hint) => Some(hint),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Hint::Unknown),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// Whether no hint waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next hint if one waits.
    pub fn try_next(&mut self) -> Option<Hint> {
        match self.0.try_recv() {
            Ok(hint) => Some(hint),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(Hint::Unknown),
            Err(_) => None,
        }
    }
}
