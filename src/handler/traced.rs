//! The trace that code runs in: submits inside carry it on.

use std::future::Future;
use std::sync::Arc;

use crate::task::{TRACEPARENT, TRACESTATE, TaskDetails, TraceParent};

/// The longest `tracestate` that is carried on; the standard asks for at least this.
const STATE_LIMIT: usize = 512;

tokio::task_local! {
    static CURRENT: Trace;
}

/// A trace on its way from task to task.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) parent: TraceParent,
    state: Option<Arc<str>>,
}

impl Trace {
    /// The one that the headers of a task hold, if it is valid.
    pub(crate) fn of(details: &TaskDetails) -> Option<Self> {
        let headers = &details.headers;
        let parent = TraceParent::read(headers.get(TRACEPARENT)?)?;
        Some(Self::new(parent, headers.get(TRACESTATE).cloned()))
    }

    /// One of this span, with what vendors add to it.
    pub(super) fn new(parent: TraceParent, state: Option<String>) -> Self {
        let state = state.filter(|state| !state.is_empty() && state.len() <= STATE_LIMIT);
        Self {
            parent,
            state: state.map(Arc::from),
        }
    }

    /// What vendors add to it.
    #[cfg(feature = "opentelemetry")]
    pub(super) fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// The one that this code runs in.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The span of OpenTelemetry that this code runs in.
    #[cfg(feature = "opentelemetry")]
    pub(crate) fn of_span() -> Option<Self> {
        super::open_telemetry::current()
    }

    /// The span of OpenTelemetry that this code runs in: without the feature there is none.
    #[cfg(not(feature = "opentelemetry"))]
    pub(crate) fn of_span() -> Option<Self> {
        None
    }

    /// Puts it into the headers of a task.
    pub(crate) fn put(&self, details: &mut TaskDetails) {
        let headers = &mut details.headers;
        headers.insert(TRACEPARENT.to_owned(), self.parent.to_string());
        if let Some(state) = &self.state {
            headers.insert(TRACESTATE.to_owned(), state.to_string());
        }
    }

    /// Runs a future in it.
    pub(crate) fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }
}

/// Runs a future in a trace: tasks that it submits carry its `traceparent` in their headers, unless they are given another.
/// Use it where a request comes in with one.
///
/// Runs of tasks that carry one are in it already. A future that is spawned inside is not: wrap it, too.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
/// use tlo::prelude::*;
/// let tlo = TloContext::builder().task(task("greet").declare()).build().await?;
/// let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let submit = tlo.client().task("greet").submit();
/// let greet = tlo::observe::traced(parent.parse()?, submit).await?;
/// assert_eq!(greet.record().await?.headers["traceparent"], parent);
/// # Ok(()) }
/// ```
pub async fn traced<F: Future>(parent: TraceParent, future: F) -> F::Output {
    let trace = Trace::new(parent, None);
    #[cfg(feature = "opentelemetry")]
    let future = {
        use opentelemetry::context::FutureExt;
        // Spans inside are its children.
        future.with_context(super::open_telemetry::remote(&trace).unwrap_or_default())
    };
    trace.around(future).await
}
