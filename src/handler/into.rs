//! [`IntoHandler`]: functions and closures become handlers.

use std::any::TypeId;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use super::context::TaskContext;
use super::layers::panic::{Panic, catching, panicked};
use super::outcome::IntoOutcome;
use super::{Handler, Layer, SharedHandler};
use crate::error::Result;
use crate::payload::Payload;
use crate::task::Ended;

/// What can run as a task: `async fn(TaskContext, Args) -> impl IntoOutcome`, the same without `async`, closures of
/// both shapes, and every [`Handler`].
///
/// `Args` is any `DeserializeOwned` type; several values are a tuple or a struct. Functions without `async` run on the
/// [`BlockingPool`](super::BlockingPool), so they may block. The marker only tells the shapes apart; the compiler
/// finds it.
///
/// A closure whose future borrows what the closure owns is not a `Fn`; clone into the future instead:
/// `move |_: TaskContext, _: ()| { let db = db.clone(); async move { … } }`.
///
/// # Contract
/// The handler that is made never unwinds: a panic becomes [`Ended::Panicked`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task handler",
    label = "not `async fn(TaskContext, Args) -> impl IntoOutcome`, nor the same without `async`",
    note = "`Args` must be `DeserializeOwned + Send`, such as `()`, a tuple or a struct",
    note = "return `()` or `Result<T, E>`, such as `TaskResult<T>`; the future must be `Send`"
)]
pub trait IntoHandler<Marker> {
    /// The handler.
    fn into_handler(self) -> SharedHandler;
}

/// Marks functions that return a future.
pub struct ByFuture<A, M>(PhantomData<(A, M)>);

/// Marks functions that run on the blocking pool.
pub struct ByBlocking<A, M>(PhantomData<(A, M)>);

/// Marks types that implement [`Handler`].
pub struct ByHandler(());

/// Marks handlers that are shared already.
pub struct ByShared(());

impl<F, A, Fut, M> IntoHandler<ByFuture<A, M>> for F
where
    M: 'static,
    F: Fn(TaskContext, A) -> Fut + Send + Sync + 'static,
    A: DeserializeOwned + Send + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoOutcome<M>,
{
    fn into_handler(self) -> SharedHandler {
        Arc::new(AsyncFunction {
            function: self,
            shape: PhantomData,
        })
    }
}

impl<F, A, R, M> IntoHandler<ByBlocking<A, M>> for F
where
    M: 'static,
    F: Fn(TaskContext, A) -> R + Send + Sync + 'static,
    A: DeserializeOwned + Send + 'static,
    R: IntoOutcome<M> + 'static,
{
    fn into_handler(self) -> SharedHandler {
        Arc::new(BlockingFunction {
            function: Arc::new(self),
            shape: PhantomData,
        })
    }
}

#[diagnostic::do_not_recommend]
impl<H: Handler> IntoHandler<ByHandler> for H {
    fn into_handler(self) -> SharedHandler {
        Panic.wrap(Arc::new(self))
    }
}

#[diagnostic::do_not_recommend]
impl IntoHandler<ByShared> for SharedHandler {
    fn into_handler(self) -> SharedHandler {
        Panic.wrap(self)
    }
}

struct AsyncFunction<F, A, M> {
    function: F,
    shape: PhantomData<fn(A, M)>,
}

#[async_trait]
impl<F, A, Fut, M> Handler for AsyncFunction<F, A, M>
where
    M: 'static,
    F: Fn(TaskContext, A) -> Fut + Send + Sync + 'static,
    A: DeserializeOwned + Send + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoOutcome<M>,
{
    async fn run(&self, context: TaskContext, args: Payload) -> Ended {
        // Caught here and not by a layer around it: one future less for each run.
        catching(async move {
            match decode(&args) {
                Ok(args) => (self.function)(context, args).await.into_ended(),
                Err(error) => Ended::Undecodable(error.to_string()),
            }
        })
        .await
    }
}

struct BlockingFunction<F, A, M> {
    function: Arc<F>,
    shape: PhantomData<fn(A, M)>,
}

#[async_trait]
impl<F, A, R, M> Handler for BlockingFunction<F, A, M>
where
    M: 'static,
    F: Fn(TaskContext, A) -> R + Send + Sync + 'static,
    A: DeserializeOwned + Send + 'static,
    R: IntoOutcome<M> + 'static,
{
    async fn run(&self, context: TaskContext, args: Payload) -> Ended {
        let function = Arc::clone(&self.function);
        let pool = context.blocking().clone();
        let span = tracing::Span::current();
        let ended = pool.run(move || {
            // It may have waited long for its place.
            if let Some(why) = context.interruption() {
                return why.ended();
            }
            let _entered = span.entered();
            match decode(&args) {
                Ok(args) => function(context, args).into_ended(),
                Err(error) => Ended::Undecodable(error.to_string()),
            }
        });
        ended.await.unwrap_or_else(|panic| panicked(&*panic))
    }
}

/// Reads the args. A handler without args (`()`) also takes `{}` and `[]`, which other programs send for "nothing".
fn decode<A: DeserializeOwned + 'static>(args: &Payload) -> Result<A> {
    args.decode().or_else(|error| {
        let nothing = TypeId::of::<A>() == TypeId::of::<()>()
            && (args.decode::<[(); 0]>().is_ok() || is_empty_object(args));
        if nothing {
            Payload::null().decode()
        } else {
            Err(error)
        }
    })
}

fn is_empty_object(args: &Payload) -> bool {
    args.decode::<serde_json::Map<String, serde_json::Value>>()
        .is_ok_and(|object| object.is_empty())
}
