//! From text to a TOML document, with every syntax error that can be told apart.

use std::ops::Range;

use toml_edit::ImDocument;

use crate::cli::source::{Mistake, Source};

/// After this many syntax errors the rest of the file is not worth guessing at.
const MOST: usize = 20;

/// The document without the tables that are no TOML, and what is wrong with those; `None` when nothing is left of it.
pub(super) fn read(source: &Source) -> (Option<ImDocument<String>>, Vec<Mistake>) {
    let mut text = source.text().to_owned();
    let mut mistakes = Vec::new();
    if source.is_lossy()
        && let Some(at) = text.find('\u{fffd}')
    {
        mistakes.push(
            Mistake::error(
                source,
                at..at + '\u{fffd}'.len_utf8(),
                "this is not UTF-8, as TOML has to be",
            )
            .help("convert the file: iconv -f latin1 -t utf-8"),
        );
        return (None, mistakes);
    }
    while mistakes.len() < MOST {
        let error = match ImDocument::parse(text.clone()) {
            Ok(document) => return (Some(document), mistakes),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let at = span.start.min(text.len());
        mistakes.push(mistake(source, &error, span));
        // Nothing that follows an unclosed string or bracket can be trusted.
        let table = table_around(&text, at);
        if at >= text.trim_end().len()
            || text
                .get(table.clone())
                .is_none_or(|table| table.trim().is_empty())
        {
            break;
        }
        blank(&mut text, table);
    }
    (None, mistakes)
}

fn mistake(source: &Source, error: &toml_edit::TomlError, span: Range<usize>) -> Mistake {
    let mut lines = error
        .message()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let message = lines.next().unwrap_or("this is no TOML").to_owned();
    let rest: Vec<&str> = lines.collect();
    let mistake = Mistake::error(source, span, &message);
    if message == "invalid basic string" {
        return mistake.help(
            "a text ends with the quote it began with; a \" or \\ inside is written \\\" or \\\\",
        );
    }
    if rest.is_empty() {
        mistake
    } else {
        mistake.help(rest.join(", "))
    }
}

/// From the header of the table that holds a byte to the next header.
fn table_around(text: &str, at: usize) -> Range<usize> {
    let mut headers = vec![0];
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if start > 0 && line.trim_start().starts_with('[') {
            headers.push(start);
        }
        start += line.len();
    }
    headers.push(text.len());
    let next = headers
        .partition_point(|header| *header <= at)
        .min(headers.len() - 1);
    let from = headers.get(next.saturating_sub(1)).copied().unwrap_or(0);
    let until = headers.get(next).copied().unwrap_or(text.len());
    from..until
}

/// Replaces everything but line ends with as many spaces, so that places stay.
fn blank(text: &mut String, range: Range<usize>) {
    let blanked: String = text
        .get(range.clone())
        .unwrap_or_default()
        .bytes()
        .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
        .collect();
    text.replace_range(range, &blanked);
}
