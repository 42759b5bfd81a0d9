//! Log lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::LogLevel;

/// Writes log lines of this level and above to standard error. A program that has a subscriber keeps its own.
pub(super) fn start(level: LogLevel) {
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(colour);
    let _ = tracing_subscriber::registry()
        .with(LevelFilter::from(level))
        .with(lines)
        .try_init();
}
