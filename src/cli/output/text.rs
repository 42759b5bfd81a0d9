//! Text of others on its way to a terminal: it must not break a line, move the cursor, or read as something else.

use unicode_width::UnicodeWidthChar;

use crate::timestamp::Timestamp;

/// A text on one line: line ends and tabs become blanks, and what a terminal would obey is written as `\u{1b}`.
#[must_use]
pub(in crate::cli) fn one_line(text: &str) -> String {
    let text = text.trim_end_matches(['\n', '\r']);
    let mut line = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\r' if rest.peek() == Some(&'\n') => {}
            '\n' | '\t' => line.push(' '),
            c => push(&mut line, c),
        }
    }
    line
}

/// The lines of a text, tabs as four blanks, and what a terminal would obey written as `\u{1b}`.
pub(in crate::cli) fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(|source| {
        let mut line = String::with_capacity(source.len());
        for c in source.chars() {
            match c {
                '\t' => line.push_str("    "),
                c => push(&mut line, c),
            }
        }
        line
    })
}

fn push(line: &mut String, c: char) {
    if is_obeyed(c) {
        line.extend(c.escape_unicode());
    } else {
        line.push(c);
    }
}

/// Control characters, and the invisible ones that turn the direction of text or hide in it.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// An instant in seconds, for tables.
#[must_use]
pub(in crate::cli) fn instant(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.whole_seconds().to_string())
}

/// The beginning of a text, at most this many columns wide.
#[must_use]
pub(in crate::cli) fn start_of(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut start = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        start.push(c);
    }
    start.push('…');
    start
}

/// A text without its middle, at most this many columns wide: of an id both ends tell it from others.
#[must_use]
pub(in crate::cli) fn middle_cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let behind = width.saturating_sub(1) / 2;
    let mut end = text.len();
    let mut used = 0;
    for (at, c) in text.char_indices().rev() {
        used += c.width().unwrap_or(0);
        if used > behind {
            break;
        }
        end = at;
    }
    let ended = &text[end..];
    let mut cut = start_of(text, width.saturating_sub(columns(ended)));
    cut.push_str(ended);
    cut
}

/// How many columns of a terminal a text takes.
pub(in crate::cli) fn columns(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let text = "a\u{1b}[31mred\u{202e}x\u{200b}\u{9b}0m\u{7}";
        assert_eq!(
            one_line(text),
            r"a\u{1b}[31mred\u{202e}x\u{200b}\u{9b}0m\u{7}"
        );
        assert_eq!(
            one_line("one\ntwo\tthree\r\nfour\r\n"),
            "one two three four"
        );
        assert_eq!(one_line("half\rmore"), r"half\u{d}more");
        assert_eq!(
            lines("one\n\ttwo\u{1b}\r\nthree\n").collect::<Vec<_>>(),
            ["one", r"    two\u{1b}", "three"]
        );
        assert_eq!(one_line("größe 世界 🎉"), "größe 世界 🎉");
    }

    #[test]
    fn beginnings_fit() {
        assert_eq!(start_of("short", 5), "short");
        assert_eq!(start_of("longer", 5), "long…");
        assert_eq!(start_of("世界世界", 5), "世界…");
        assert_eq!(start_of("世界世界", 4), "世…");
    }

    #[test]
    fn both_ends_stay() {
        assert_eq!(middle_cut("tsk_0123456789", 14), "tsk_0123456789");
        assert_eq!(middle_cut("tsk_0123456789", 9), "tsk_…6789");
        assert_eq!(middle_cut("世界世界", 5), "世…界");
        assert_eq!(middle_cut("tsk_0123456789", 1), "…");
    }
}
