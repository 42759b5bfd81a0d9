//! [`Trace`]: every run has a span.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;

use tracing::Instrument;
use tracing::level_filters::LevelFilter;

use super::Layer;
use crate::handler::Trace as TraceOf;
use crate::handler::{Handler, SharedHandler, TaskContext};
use crate::payload::Payload;
use crate::task::Ended;

/// The name of the span of a run.
#[cfg(feature = "log-capture")]
pub(crate) const SPAN: &str = "tlo.task";

thread_local! {
    /// The run whose span is being made: a subscriber that keeps what is said in it takes it from here.
    static STARTING: RefCell<Option<TaskContext>> = const { RefCell::new(None) };
}

/// The run whose span is being made on this thread.
#[cfg(feature = "log-capture")]
pub(crate) fn starting() -> Option<TaskContext> {
    STARTING.with_borrow_mut(Option::take)
}

/// Runs each task in a span `tlo.task` with its id, name, queue and attempt, and with the id of the trace that its header
/// `traceparent` names, so that whatever the handler logs can be
/// found by task. Where nobody listens to that span it costs nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace;

impl Layer for Trace {
    fn wrap(&self, inner: SharedHandler) -> SharedHandler {
        Arc::new(Tracing(inner))
    }
}

struct Tracing(SharedHandler);

impl Handler for Tracing {
    // Written without the macro: where nobody listens no second future is needed.
    fn run<'life, 'run>(
        &'life self,
        context: TaskContext,
        args: Payload,
    ) -> Pin<Box<dyn Future<Output = Ended> + Send + 'run>>
    where
        'life: 'run,
        Self: 'run,
    {
        let trace = TraceOf::of(&context.record().details);
        // Where nobody listens this is all that it costs.
        if LevelFilter::current() < tracing::Level::INFO {
            return in_trace(trace, self.0.run(context, args));
        }
        let record = context.record();
        STARTING.set(Some(context.clone()));
        let span = tracing::info_span!(
            "tlo.task",
            id = %record.id,
            name = &*record.name,
            queue = &*record.queue,
            attempt = record.attempt,
            trace_id = tracing::field::Empty,
        );
        if let Some(trace) = trace.as_ref().filter(|_| !span.is_disabled()) {
            span.record("trace_id", trace.parent.trace_id());
        }
        STARTING.set(None);
        let run = in_trace(trace, self.0.run(context, args));
        if span.is_disabled() {
            run
        } else {
            Box::pin(run.instrument(span))
        }
    }
}

type Run<'run> = Pin<Box<dyn Future<Output = Ended> + Send + 'run>>;

/// The run within its trace, where it has one.
fn in_trace(trace: Option<TraceOf>, run: Run<'_>) -> Run<'_> {
    match trace {
        Some(trace) => Box::pin(trace.around(run)),
        None => run,
    }
}
