//! [`Trace`]: every run has a span.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;

use tracing::Instrument;
use tracing::level_filters::LevelFilter;

use super::Layer;
use crate::handler::Trace as TraceOf;
#[cfg(feature = "opentelemetry")]
use crate::handler::open_telemetry;
use crate::handler::{Handler, SharedHandler, TaskContext};
use crate::payload::Payload;
use crate::task::{Ended, TaskStateRecord};

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
///
/// With the feature `opentelemetry`, and in a program that has the layer of `tracing-opentelemetry`, it is a span of
/// OpenTelemetry, too: of the kind *consumer*, named `process NAME`, a child of the span that the task was submitted in, with
/// the attributes of messaging (`messaging.system` is `tlo`, `messaging.destination.name` its queue, `messaging.message.id`
/// its id) and `tlo.task.name`, `tlo.task.attempt`, `tlo.task.schedule` and `tlo.task.outcome`; a run that failed has the status
/// of an error. What it submits is a child of it.
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
        let span = span_of(record);
        if let Some(trace) = trace.as_ref().filter(|_| !span.is_disabled()) {
            span.record("trace_id", trace.parent.trace_id());
        }
        STARTING.set(None);
        #[cfg(feature = "opentelemetry")]
        open_telemetry::begin(&span, trace.as_ref(), record);
        let run = in_trace(trace, self.0.run(context, args));
        if span.is_disabled() {
            return run;
        }
        #[cfg(feature = "opentelemetry")]
        let run = {
            let span = span.clone();
            async move {
                let ended = run.await;
                open_telemetry::end(&span, &ended);
                ended
            }
        };
        Box::pin(run.instrument(span))
    }
}

/// The span of a run.
fn span_of(record: &TaskStateRecord) -> tracing::Span {
    #[cfg(not(feature = "opentelemetry"))]
    return tracing::info_span!(
        "tlo.task",
        id = %record.id,
        name = &*record.name,
        queue = &*record.queue,
        attempt = record.attempt,
        trace_id = tracing::field::Empty,
    );
    // What it is called and of which kind it is goes to the layer of OpenTelemetry in fields.
    #[cfg(feature = "opentelemetry")]
    return tracing::info_span!(
        "tlo.task",
        id = %record.id,
        name = &*record.name,
        queue = &*record.queue,
        attempt = record.attempt,
        trace_id = tracing::field::Empty,
        otel.name = format!("process {}", record.name),
        otel.kind = "consumer",
    );
}

type Run<'run> = Pin<Box<dyn Future<Output = Ended> + Send + 'run>>;

/// The run within its trace, where it has one.
fn in_trace(trace: Option<TraceOf>, run: Run<'_>) -> Run<'_> {
    match trace {
        Some(trace) => Box::pin(trace.around(run)),
        None => run,
    }
}
