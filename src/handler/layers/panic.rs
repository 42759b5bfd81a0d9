//! [`Panic`]: a panic ends the attempt, not the worker.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;

use super::Layer;
use crate::handler::{Handler, SharedHandler, TaskContext};
use crate::payload::Payload;
use crate::task::Ended;

/// Turns a panic of the handler into [`Ended::Panicked`], wherever in its run it happens, and keeps one that happens
/// while an aborted run is dropped from going further.
#[derive(Clone, Copy, Debug, Default)]
pub struct Panic;

impl Layer for Panic {
    fn wrap(&self, inner: SharedHandler) -> SharedHandler {
        Arc::new(Catching(inner))
    }
}

struct Catching(SharedHandler);

#[async_trait]
impl Handler for Catching {
    async fn run(&self, context: TaskContext, args: Payload) -> Ended {
        let inner = &self.0;
        catching(async move {
            let run = inner.run(context, args);
            QuietDrop(Some(run)).await
        })
        .await
    }
}

/// Polls a run; a panic ends it.
pub(crate) async fn catching(run: impl Future<Output = Ended> + Send) -> Ended {
    let mut run = std::pin::pin!(run);
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(cx))) {
            Ok(poll) => poll,
            Err(panic) => Poll::Ready(panicked(&*panic)),
        },
    )
    .await
}

/// The end of a run that panicked with this payload.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Ended {
    Ended::Panicked(panic_message(panic).to_owned())
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}

/// A run whose drop cannot unwind.
pub(crate) struct QuietDrop<F>(pub(crate) Option<Pin<Box<F>>>)
where
    F: Future + Send + ?Sized;

impl<F: Future + Send + ?Sized> Future for QuietDrop<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<F::Output> {
        match &mut self.0 {
            Some(run) => run.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<F: Future + Send + ?Sized> Drop for QuietDrop<F> {
    fn drop(&mut self) {
        let run = self.0.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(run))) {
            let message = panic_message(&*panic);
            tracing::warn!(message, "a handler panicked while it was dropped");
        }
    }
}
