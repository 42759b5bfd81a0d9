//! Noticing what other processes write, while somebody listens.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::error::Result;
use crate::store::kv::RowEngine;
use crate::store::{Hint, HintSender};

/// How often the engine is asked. Waking up for one question costs some 100 µs, so a listening process that is
/// otherwise idle uses about 25 ms of CPU a minute.
const INTERVAL: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
struct State {
    running: bool,
    stopped: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

/// A thread that asks the engine for foreign writes and tells the listeners. It runs only while there are any.
#[derive(Debug, Default)]
pub(super) struct Watch(Arc<Shared>);

impl Watch {
    /// Starts the thread unless it runs, or the engine has no other writers. Call it after subscribing.
    pub(super) fn start<E: RowEngine>(&self, engine: &Arc<E>, hints: &HintSender) {
        let mut state = self.0.state.lock();
        if state.running || state.stopped {
            return;
        }
        // What is written after this line will be noticed.
        let seen = match engine.foreign_writes() {
            Ok(None) => return,
            seen => seen,
        };
        let watching = Watching {
            shared: Arc::clone(&self.0),
            engine: Arc::downgrade(engine),
            hints: hints.clone(),
        };
        let started = std::thread::Builder::new()
            .name("tlo-watch".to_owned())
            .spawn(move || watching.run(seen));
        match started {
            Ok(_) => state.running = true,
            Err(error) => {
                tracing::warn!(%error, "other processes' writes are noticed by polling only");
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.state.lock().stopped = true;
        self.0.wake.notify_all();
    }
}

struct Watching<E> {
    shared: Arc<Shared>,
    /// Not kept alive: when the store is dropped, its engine closes at once.
    engine: Weak<E>,
    hints: HintSender,
}

impl<E: RowEngine> Watching<E> {
    fn run(&self, mut seen: Result<Option<u64>>) {
        while self.wait() {
            let Some(now) = self.engine.upgrade().map(|engine| engine.foreign_writes()) else {
                return;
            };
            match (&seen, &now) {
                (Ok(before), Ok(now)) if before == now => continue,
                // One line when it begins to fail, not five a second.
                (Ok(_), Err(error)) => {
                    tracing::warn!(%error, "other processes' writes cannot be seen");
                }
                (Err(_), Err(_)) => continue,
                _ => {}
            }
            seen = now;
            self.hints.send(Hint::Unknown);
        }
    }

    /// Waits for the next look; false when the store is gone or nobody listens any more.
    fn wait(&self) -> bool {
        let mut state = self.shared.state.lock();
        if !state.stopped && self.hints.is_heard() {
            self.shared.wake.wait_for(&mut state, INTERVAL);
        }
        state.running = !state.stopped && self.hints.is_heard();
        state.running
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::store::Capability;
    use crate::store::TaskStateStore;
    use crate::store::kv::Rows;

    #[derive(Debug, Default)]
    struct Foreign(AtomicU64);

    impl RowEngine for Foreign {
        fn capability(&self) -> Capability {
            crate::MemoryStore::default().capability()
        }
        fn write(&self, _run: &mut dyn FnMut(&mut dyn Rows) -> Result<()>) -> Result<()> {
            Ok(())
        }
        fn read(&self, _run: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()> {
            Ok(())
        }
        fn foreign_writes(&self) -> Result<Option<u64>> {
            Ok(Some(self.0.load(Ordering::SeqCst)))
        }
    }

    #[tokio::test]
    async fn listeners_hear_of_foreign_writes_and_the_thread_ends_with_the_last() {
        let (engine, hints, watch) = (
            Arc::new(Foreign::default()),
            HintSender::default(),
            Watch::default(),
        );
        for round in 1..=2 {
            let mut stream = hints.subscribe();
            watch.start(&engine, &hints);
            assert!(watch.0.state.lock().running);
            engine.0.store(round, Ordering::SeqCst);
            assert_eq!(stream.next().await, Some(Hint::Unknown));
            drop(stream);
            // The thread holds a share of the state; it gives it back when it ends.
            while Arc::strong_count(&watch.0) > 1 {
                tokio::task::yield_now().await;
            }
            assert!(!watch.0.state.lock().running);
        }
    }
}
