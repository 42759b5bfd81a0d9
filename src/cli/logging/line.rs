//! How an event reads: `09:28:34 flaky failed, is tried again (attempt 1 of 3, 25ms) …`.

use std::fmt::{self, Write as _};

use clap::builder::styling::{AnsiColor, Style};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::output::{instant, one_line, start_of};
use crate::clock::{Clock, SystemClock};

/// The most columns of one value.
const WIDEST: usize = 300;

/// Writes events for people, one line each, whatever the values contain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    /// The time of day instead of the whole instant; both in UTC.
    pub(super) brief: bool,
}

/// The fields that have a place of their own in a line, and the others.
#[derive(Default)]
struct Fields {
    message: String,
    name: Option<String>,
    id: Option<String>,
    attempt: Option<String>,
    of: Option<String>,
    took: Option<String>,
    due: Option<String>,
    error: Option<String>,
    others: String,
}

impl Fields {
    fn put(&mut self, field: &Field, value: &str) {
        // Only the first line of an error: `tlo inspect` shows all of it.
        let first = value.lines().find(|line| !line.trim().is_empty());
        let value = start_of(&one_line(first.unwrap_or_default()), WIDEST);
        match field.name() {
            "message" => self.message = value,
            "name" | "schedule" => self.name = Some(value),
            "id" => self.id = Some(value),
            "attempt" => self.attempt = Some(value),
            "of" => self.of = Some(value),
            "took" => self.took = Some(value),
            "due" => self.due = Some(value),
            "error" => self.error = Some(value),
            other => {
                let _ = write!(self.others, " {other}={value}");
            }
        }
    }

    fn text(&self, dim: Style) -> String {
        let mut text = String::new();
        if let Some(name) = &self.name {
            text.push_str(name);
            text.push(' ');
        }
        text.push_str(&self.message);
        if let Some(due) = &self.due {
            let _ = write!(text, " {due}");
        }
        let attempt = match (&self.attempt, self.of.as_deref()) {
            (Some(_), Some("1")) | (None, _) => None,
            (Some(attempt), Some(of)) => Some(format!("attempt {attempt} of {of}")),
            (Some(attempt), None) => Some(format!("attempt {attempt}")),
        };
        let took = self.took.as_ref().map(|took| format!("after {took}"));
        let details: Vec<String> = attempt.into_iter().chain(took).collect();
        if !details.is_empty() {
            let _ = write!(text, " ({})", details.join(", "));
        }
        if let Some(error) = &self.error {
            let _ = write!(text, ": {error}");
        }
        if let Some(id) = &self.id {
            let _ = write!(text, "{dim} {id}{dim:#}");
        }
        let _ = write!(text, "{dim}{}{dim:#}", self.others);
        text
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        let colour = writer.has_ansi_escapes();
        let style = |style: Style| if colour { style } else { Style::new() };
        let dim = style(Style::new().dimmed());
        let (word, tone) = match level {
            Level::ERROR => ("ERROR", style(AnsiColor::Red.on_default().bold())),
            Level::WARN => ("WARN ", style(AnsiColor::Yellow.on_default())),
            Level::INFO => ("INFO ", style(AnsiColor::Green.on_default())),
            Level::DEBUG => ("DEBUG", style(AnsiColor::Blue.on_default())),
            Level::TRACE => ("TRACE", dim),
        };
        let now = instant(Some(SystemClock.now()));
        let now = match now.split_once('T') {
            Some((_, time)) if self.brief => time.trim_end_matches('Z'),
            _ => now.as_str(),
        };
        writeln!(
            writer,
            "{dim}{now}{dim:#} {tone}{word}{tone:#} {}",
            fields.text(dim)
        )
    }
}
