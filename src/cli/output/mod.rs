//! What commands print: data on standard output, talk on standard error.

use std::io::{IsTerminal, Write};

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::timestamp::Timestamp;

/// Writes a line of data. A reader that went away (`tlo list | head`) ends the command quietly.
///
/// # Errors
/// `Unavailable` when standard output cannot be written.
pub(super) fn line(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::new(
            ErrorKind::Unavailable,
            "print",
            "standard output cannot be written",
        )
        .with_source(error)),
        _ => Ok(()),
    }
}

/// Writes a line of talk.
pub(super) fn say(text: &str) {
    // When standard error is closed there is nobody to talk to.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Writes one JSON document.
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

/// Writes a table: aligned on a terminal, tab-separated in a pipe.
///
/// # Errors
/// As [`line`].
pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>) -> Result<()> {
    if !std::io::stdout().is_terminal() {
        line(&header.join("\t"))?;
        for row in rows {
            let cells: Vec<String> = row.iter().map(|cell| one_line(cell)).collect();
            line(&cells.join("\t"))?;
        }
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| one_line(cell)).collect::<Vec<_>>());
    }
    let text = table.to_string();
    for row in text.lines() {
        line(row.trim_end())?;
    }
    Ok(())
}

/// A text without what would break a line or forge another one.
#[must_use]
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if c.is_control()
                || ('\u{202a}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c) =>
            {
                '\u{fffd}'
            }
            c => c,
        })
        .collect()
}

/// An instant in seconds, for tables.
#[must_use]
pub(super) fn instant(at: Option<Timestamp>) -> String {
    at.map_or_else(
        || "-".to_owned(),
        |at| Timestamp::from_micros(at.as_micros().div_euclid(1_000_000) * 1_000_000).to_string(),
    )
}

/// The beginning of a text.
#[must_use]
pub(super) fn start_of(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut start: String = text.chars().take(width.saturating_sub(1)).collect();
    start.push('…');
    start
}

/// Writes an error with its causes to standard error.
pub(super) fn error(error: &Error) {
    say(&format!("error: {error}"));
    let mut cause = std::error::Error::source(error);
    let mut last = error.to_string();
    while let Some(error) = cause {
        let text = error.to_string();
        if !last.contains(&text) {
            say(&format!("  because: {text}"));
        }
        last = text;
        cause = error.source();
    }
}

/// Writes a mistake in a file to standard error.
pub(super) fn mistake(mistake: &super::source::Mistake) {
    let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    say(&format!("{}\n", mistake.painted(colour)));
}
