//! Runs and submits in the traces of OpenTelemetry, where the program has its layer of `tracing`.

use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::traced::Trace;
use crate::task::{Action, Ended, Outcome, TaskStateRecord};

/// Makes a span that has not begun the span of a run: a child of the span that the task was submitted in, or the first of a
/// trace of its own.
pub(in crate::handler) fn begin(span: &Span, trace: Option<&Trace>, record: &TaskStateRecord) {
    let parent = trace.and_then(remote).unwrap_or_default();
    if let Err(error) = span.set_parent(parent) {
        tracing::debug!(%error, "the span of a run has no parent");
    }
    span.set_attribute("messaging.system", "tlo");
    span.set_attribute("messaging.operation.name", "process");
    span.set_attribute("messaging.operation.type", "process");
    span.set_attribute("messaging.destination.name", record.queue.to_string());
    span.set_attribute("messaging.message.id", record.id.to_string());
    span.set_attribute("tlo.task.name", record.name.to_string());
    span.set_attribute("tlo.task.attempt", i64::from(record.attempt));
    if let Some(schedule) = &record.schedule {
        span.set_attribute("tlo.task.schedule", schedule.to_string());
    }
}

/// Says how the run ended. What is a failure for TLO is an error for OpenTelemetry.
pub(in crate::handler) fn end(span: &Span, ended: &Ended) {
    let (outcome, error) = outcome(ended);
    span.set_attribute("tlo.task.outcome", outcome);
    if let Some(message) = error {
        span.set_attribute("error.type", outcome);
        span.set_status(Status::error(message.to_owned()));
    }
}

/// The outcome in a word, and of a failure what it says.
fn outcome(ended: &Ended) -> (&'static str, Option<&str>) {
    match ended {
        Ended::Returned(Outcome::Success(_)) => ("succeeded", None),
        Ended::Returned(Outcome::Error(error)) => match error.action {
            Action::Retry { .. } => ("failed", Some(error.message())),
            Action::Fail => ("failed_for_good", Some(error.message())),
            Action::Cancel => ("cancelled", None),
            Action::Snooze(_) => ("snoozed", None),
        },
        Ended::Panicked(message) => ("panicked", Some(message)),
        Ended::TimedOut => ("timed_out", Some("the run took longer than its timeout")),
        Ended::Undecodable(message) => ("undecodable", Some(message)),
        Ended::Unserializable(message) => ("unserializable", Some(message)),
        Ended::Aborted(_) => ("cancelled", None),
        Ended::Released => ("released", None),
        Ended::Lost => ("lost", Some("the lease ended")),
        Ended::Expired => ("expired", None),
    }
}

/// The span that code runs in now, for what it submits; `None` outside of any.
pub(super) fn current() -> Option<Trace> {
    let here = Context::current();
    let here = match here.has_active_span() {
        true => here,
        // A layer that does not tell OpenTelemetry which span is entered.
        false => Span::current().context(),
    };
    let span = here.span().span_context().clone();
    if !span.is_valid() {
        return None;
    }
    let (trace, id, flags) = (span.trace_id(), span.span_id(), span.trace_flags());
    let parent = format!("00-{trace}-{id}-{:02x}", flags.to_u8());
    Some(Trace::new(
        parent.parse().ok()?,
        Some(span.trace_state().header()),
    ))
}

/// The span that a task was submitted in, as a parent from elsewhere.
pub(super) fn remote(trace: &Trace) -> Option<Context> {
    let parent = &trace.parent;
    let id = TraceId::from_hex(&parent.trace_id()).ok()?;
    let span = SpanId::from_hex(&parent.span_id()).ok()?;
    let flags = match parent.is_sampled() {
        true => TraceFlags::SAMPLED,
        false => TraceFlags::default(),
    };
    // One that is not valid is left out, as the standard asks.
    let state = trace.state().and_then(|state| state.parse().ok());
    let span = SpanContext::new(id, span, flags, true, state.unwrap_or(TraceState::NONE));
    Some(Context::new().with_remote_span_context(span))
}
