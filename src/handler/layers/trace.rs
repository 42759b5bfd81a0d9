//! [`Trace`]: every run has a span.

use std::pin::Pin;
use std::sync::Arc;

use tracing::Instrument;

use super::Layer;
use crate::handler::{Handler, SharedHandler, TaskContext};
use crate::payload::Payload;
use crate::task::Ended;

/// Runs each task in a span `tlo.task` with its id, name, queue and attempt, so that whatever the handler logs can be
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
        let record = context.record();
        let span = tracing::info_span!(
            "tlo.task",
            id = %record.id,
            name = &*record.name,
            queue = &*record.queue,
            attempt = record.attempt,
        );
        let run = self.0.run(context, args);
        if span.is_disabled() {
            run
        } else {
            Box::pin(run.instrument(span))
        }
    }
}
