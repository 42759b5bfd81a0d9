//! Layers: what is wrapped around handlers.
//!
//! [`TaskBuilder::run`](super::TaskBuilder::run) builds the inside: the handler, whose panics are caught, then the
//! layers of the task, whose panics are caught as well. A worker puts [`standard`] around that: timeout and trace.

pub mod panic;
pub mod timeout;
pub mod trace;

use std::sync::Arc;

pub use self::panic::Panic;
pub use self::timeout::Timeout;
pub use self::trace::Trace;
use super::SharedHandler;

/// Wraps handlers in something that happens around every run.
///
/// ```
/// use tlo::handler::{Handler, Layer, SharedHandler, TaskContext};
/// use tlo::{Payload, task::Ended};
///
/// struct RefuseLate;
/// struct Refusing(SharedHandler);
///
/// impl Layer for RefuseLate {
///     fn wrap(&self, inner: SharedHandler) -> SharedHandler {
///         std::sync::Arc::new(Refusing(inner))
///     }
/// }
///
/// #[async_trait::async_trait]
/// impl Handler for Refusing {
///     async fn run(&self, context: TaskContext, args: Payload) -> Ended {
///         if context.attempt() > 3 {
///             return Ended::Aborted("too late".to_owned());
///         }
///         self.0.run(context, args).await
///     }
/// }
/// # let _ = tlo::handler::task("x").layer(RefuseLate);
/// ```
pub trait Layer: Send + Sync + 'static {
    /// The handler with this layer around it.
    fn wrap(&self, inner: SharedHandler) -> SharedHandler;
}

impl<F> Layer for F
where
    F: Fn(SharedHandler) -> SharedHandler + Send + Sync + 'static,
{
    fn wrap(&self, inner: SharedHandler) -> SharedHandler {
        self(inner)
    }
}

impl Layer for Arc<dyn Layer> {
    fn wrap(&self, inner: SharedHandler) -> SharedHandler {
        (**self).wrap(inner)
    }
}

/// What a worker puts around every handler: [`Timeout`] inside, [`Trace`] outside. Both cost nothing for a task without
/// a timeout in a program that does not trace.
#[must_use]
pub fn standard(inner: SharedHandler) -> SharedHandler {
    Trace.wrap(Timeout::default().wrap(inner))
}
