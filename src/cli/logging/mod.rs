//! Log lines on standard error.

mod line;

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::line::Lines;
use super::output;
use crate::observe::CaptureLogs;
use crate::settings::LogLevel;

/// Writes log lines of this level and above to standard error. A program that has a subscriber keeps its own.
pub(super) fn start(level: LogLevel) {
    let stderr = std::io::stderr();
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(output::colour(&stderr))
        .event_format(Lines {
            brief: stderr.is_terminal(),
        });
    let _ = tracing_subscriber::registry()
        .with(LevelFilter::from(level))
        .with(lines)
        .with(CaptureLogs::default())
        .try_init();
}
