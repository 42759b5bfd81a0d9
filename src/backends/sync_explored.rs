//! The same things, at each of which a scheduler decides who goes on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by it"
)]

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

pub(in super::super) use shuttle::sync::atomic::{AtomicBool, AtomicU8, Ordering};
pub(in super::super) use shuttle::sync::mpsc as std_mpsc;
pub(in super::super) use shuttle::thread;

use shuttle::rand::Rng;
use shuttle::sync::{Mutex as Inner, MutexGuard};

use super::super::deadline::CALL_TIMEOUT;

/// A place where another may go on.
pub(in super::super) fn turn() {
    AtomicBool::new(false).load(Ordering::SeqCst);
}

/// A lock with the words of `parking_lot`.
#[derive(Debug, Default)]
pub(in super::super) struct Mutex<T>(Inner<T>);

impl<T> Mutex<T> {
    pub(in super::super) const fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    pub(in super::super) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap()
    }

    pub(in super::super) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap()
    }
}

/// The answer, unless the caller gives up before it: with a limit of its own it does so after a few turns of the others.
pub(in super::super) async fn within<F: Future>(limit: Duration, call: F) -> Option<F::Output> {
    if limit >= CALL_TIMEOUT {
        return Some(call.await);
    }
    let mut call = pin!(call);
    let turns = shuttle::rand::thread_rng().gen_range(0..12);
    for _ in 0..turns {
        let polled = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context)));
        if let Poll::Ready(done) = polled.await {
            return Some(done);
        }
        shuttle::future::yield_now().await;
    }
    None
}

/// Channels of tokio, whose ends take turns. Their own insides are taken as they are.
pub(in super::super) mod mpsc {
    use tokio::sync::mpsc;

    use super::turn;

    pub(in super::super::super) struct Sender<T>(mpsc::Sender<T>);

    impl<T> std::fmt::Debug for Sender<T> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.fmt(f)
        }
    }

    pub(in super::super::super) struct WeakSender<T>(mpsc::WeakSender<T>);

    pub(in super::super::super) struct Receiver<T>(mpsc::Receiver<T>);

    pub(in super::super::super) fn channel<T>(bound: usize) -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = mpsc::channel(bound);
        (Sender(sender), Receiver(receiver))
    }

    impl<T> Clone for WeakSender<T> {
        fn clone(&self) -> Self {
            Self(self.0.clone())
        }
    }

    impl<T> WeakSender<T> {
        pub(in super::super::super) fn upgrade(&self) -> Option<Sender<T>> {
            turn();
            self.0.upgrade().map(Sender)
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            turn();
        }
    }

    impl<T> Sender<T> {
        pub(in super::super::super) async fn send(
            &self,
            value: T,
        ) -> Result<(), mpsc::error::SendError<T>> {
            turn();
            self.0.send(value).await
        }

        pub(in super::super::super) fn try_send(
            &self,
            value: T,
        ) -> Result<(), mpsc::error::TrySendError<T>> {
            turn();
            self.0.try_send(value)
        }

        pub(in super::super::super) fn downgrade(&self) -> WeakSender<T> {
            WeakSender(self.0.downgrade())
        }
    }

    impl<T> Receiver<T> {
        pub(in super::super::super) fn blocking_recv(&mut self) -> Option<T> {
            turn();
            shuttle::future::block_on(self.0.recv())
        }

        pub(in super::super::super) fn try_recv(&mut self) -> Result<T, mpsc::error::TryRecvError> {
            turn();
            self.0.try_recv()
        }
    }
}

/// The same for one answer.
pub(in super::super) mod oneshot {
    use tokio::sync::oneshot;

    use super::turn;

    #[derive(Debug)]
    pub(in super::super::super) struct Sender<T>(oneshot::Sender<T>);

    pub(in super::super::super) fn channel<T>() -> (Sender<T>, oneshot::Receiver<T>) {
        let (sender, receiver) = oneshot::channel();
        (Sender(sender), receiver)
    }

    impl<T> Sender<T> {
        pub(in super::super::super) fn send(self, value: T) -> Result<(), T> {
            turn();
            self.0.send(value)
        }

        pub(in super::super::super) fn is_closed(&self) -> bool {
            turn();
            self.0.is_closed()
        }
    }
}
