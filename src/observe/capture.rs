//! [`CaptureLogs`]: what handlers say with `tracing` becomes the log of their run.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::handler::TaskContext;
use crate::handler::layers::trace::{SPAN, starting};
use crate::task::LineLevel;

/// A layer for the `tracing` subscriber of a program that runs tasks: every event within the span of a run, also in what it
/// spawned with that span, is added to the [log](TaskContext::log) of the run.
///
/// ```
/// use tracing_subscriber::prelude::*;
/// let subscriber = tracing_subscriber::registry()
///     .with(tracing_subscriber::fmt::layer())
///     .with(tlo::observe::CaptureLogs::default());
/// # let _ = subscriber;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CaptureLogs {
    most: Level,
}

impl Default for CaptureLogs {
    /// Takes `info` and what is more important.
    fn default() -> Self {
        Self::up_to(Level::INFO)
    }
}

impl CaptureLogs {
    /// Takes this level and what is more important.
    #[must_use]
    pub const fn up_to(level: Level) -> Self {
        Self { most: level }
    }
}

/// The run of a span.
struct Captured(TaskContext);

impl<S> Layer<S> for CaptureLogs
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().name() != SPAN {
            return;
        }
        if let (Some(run), Some(span)) = (starting(), context.span(id)) {
            span.extensions_mut().insert(Captured(run));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let level = *event.metadata().level();
        if level > self.most {
            return;
        }
        let mut spans = context.event_scope(event).into_iter().flatten();
        let run = spans.find_map(|span| {
            let extensions = span.extensions();
            let captured = extensions.get::<Captured>();
            captured.map(|captured| captured.0.clone())
        });
        if let Some(run) = run {
            let mut text = Text::default();
            event.record(&mut text);
            run.log_at(line_level(level), text.whole());
        }
    }
}

fn line_level(level: Level) -> LineLevel {
    match level {
        Level::ERROR => LineLevel::Error,
        Level::WARN => LineLevel::Warn,
        Level::INFO => LineLevel::Info,
        Level::DEBUG => LineLevel::Debug,
        Level::TRACE => LineLevel::Trace,
    }
}

/// The message, and the fields after it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn whole(mut self) -> String {
        if self.message.is_empty() {
            return self.fields.trim_start().to_owned();
        }
        self.message.push_str(&self.fields);
        self.message
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a text cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}
