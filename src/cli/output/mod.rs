//! What commands print: data on standard output, talk on standard error.

mod list;
mod table;
mod text;

use std::io::{IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

pub(super) use self::list::ListFormat;
pub(super) use self::table::{Cell, Form, table, table_text};
pub(super) use self::text::{columns, instant, lines, middle_cut, one_line, start_of};
use crate::error::{Error, ErrorKind, Result};
use crate::schedule::CronFault;

/// Writes a line of data. A reader that went away (`tlo list | head -1`) is no failure.
///
/// # Errors
/// `Internal` when standard output cannot be written.
pub(super) fn line(text: &str) -> Result<()> {
    raw(format!("{text}\n").as_bytes())
}

/// Writes data as it is.
///
/// # Errors
/// As [`line`].
pub(super) fn raw(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let message = format!("standard output cannot be written: {error}");
            Err(Error::new(ErrorKind::Internal, "print", message).with_source(error))
        }
        _ => Ok(()),
    }
}

/// Writes a line of talk.
pub(super) fn say(text: &str) {
    // When standard error is closed there is nobody to talk to.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Writes one JSON document: indented for people, on one line for programs.
///
/// # Errors
/// As [`line`].
pub(super) fn json<T: Serialize>(value: &T) -> Result<()> {
    let text = if std::io::stdout().is_terminal() {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    let text = text.map_err(|source| {
        Error::new(ErrorKind::Internal, "print", "the answer has no JSON form").with_source(source)
    })?;
    line(&text)
}

/// Writes an error with its causes to standard error.
pub(super) fn error(error: &Error) {
    let mut last = error.to_string();
    say(&format!("{} {}", label(), safe(&last)));
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        // What is wrong with a cron expression is in the message already, with its place.
        if !last.contains(&text) && !error.is::<CronFault>() {
            say(&format!("  because: {}", safe(&text)));
        }
        last = text;
        cause = error.source();
    }
}

/// Writes a mistake in a file to standard error.
pub(super) fn mistake(mistake: &super::source::Mistake) {
    say(&format!(
        "{}\n",
        mistake.painted(colour(&std::io::stderr()))
    ));
}

/// Writes a mistake that is in no file to standard error.
pub(super) fn fault(message: &str) {
    say(&format!("{} {}\n", label(), safe(message)));
}

/// A text of several lines without what a terminal would obey: errors quote what others wrote.
fn safe(text: &str) -> String {
    lines(text).collect::<Vec<_>>().join("\n")
}

fn label() -> String {
    let red = clap::builder::styling::AnsiColor::BrightRed
        .on_default()
        .bold();
    format!("{red}error:{red:#}")
}

/// Switches colours on or off when an argument says so, and off on a terminal that says it has none (`CI=true` would
/// otherwise count for more). Done before the arguments are read, because what is wrong with them has colours too.
pub(super) fn heed_wishes(args: &[std::ffi::OsString]) {
    let mut said = None;
    let mut args = args.iter().filter_map(|arg| arg.to_str());
    while let Some(arg) = args.next().filter(|arg| *arg != "--") {
        match arg.strip_prefix("--color") {
            Some("") => said = args.next(),
            Some(value) => said = value.strip_prefix('=').or(said),
            None => {}
        }
    }
    match said {
        Some("always") => ColorChoice::AlwaysAnsi.write_global(),
        Some("never") => ColorChoice::Never.write_global(),
        _ if std::env::var_os("TERM").is_some_and(|term| term == "dumb") => {
            ColorChoice::Never.write_global();
        }
        _ => {}
    }
}

/// Whether this stream gets colours: `--color` says so, or it is a terminal that can, and neither `NO_COLOR` nor
/// `CLICOLOR=0` are against it.
pub(super) fn colour(stream: &impl anstream::stream::RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}

/// `1 task`, `2 tasks`.
#[must_use]
pub(super) fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
