//! How a mistake looks: the line it is in, with carets under the fault.

use std::fmt;
use std::ops::Range;

use clap::builder::styling::{AnsiColor, Style};
use unicode_width::UnicodeWidthChar;

use super::{Level, Mistake};
use crate::cli::output::one_line;

/// Longer lines are cut around the fault.
const WIDEST: usize = 140;
/// What stays visible left of the fault in a cut line.
const BEFORE: usize = 40;
const TAB: usize = 4;

/// A [`Mistake`] on its way to a terminal.
#[derive(Debug)]
pub struct Painted<'a> {
    mistake: &'a Mistake,
    head: Style,
    strong: Style,
    frame: Style,
}

impl<'a> Painted<'a> {
    pub(super) fn new(mistake: &'a Mistake, colour: bool) -> Self {
        let plain = Style::new();
        let bold = |colour: AnsiColor| plain.fg_color(Some(colour.into())).bold();
        if !colour {
            return Self {
                mistake,
                head: plain,
                strong: plain,
                frame: plain,
            };
        }
        let head = match mistake.level {
            Level::Error => AnsiColor::BrightRed,
            Level::Warning => AnsiColor::BrightYellow,
            Level::Note => AnsiColor::BrightCyan,
        };
        Self {
            mistake,
            head: bold(head),
            strong: plain.bold(),
            frame: bold(AnsiColor::BrightBlue),
        }
    }
}

impl fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            mistake,
            head,
            strong,
            frame,
        } = self;
        let place = mistake.place();
        let line = mistake.source.line_at(mistake.span.start);
        let text = line.text.trim_end_matches('\r');
        let within = |at: usize| at.saturating_sub(line.start).min(text.len());
        let view = View::of(text, within(mistake.span.start)..within(mistake.span.end));
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        let level = mistake.level.as_str();
        writeln!(
            f,
            "{head}{level}{head:#}{strong}: {}{strong:#}",
            mistake.message
        )?;
        writeln!(
            f,
            "{margin}{frame}-->{frame:#} {}:{}:{}",
            one_line(mistake.source.name()),
            place.line,
            place.column
        )?;
        writeln!(f, "{margin} {frame}|{frame:#}")?;
        writeln!(f, "{frame}{number} |{frame:#} {}", view.text)?;
        write!(
            f,
            "{margin} {frame}|{frame:#} {}{head}{}{head:#}",
            " ".repeat(view.before),
            "^".repeat(view.under)
        )?;
        if let Some(help) = &mistake.help {
            write!(
                f,
                "\n{margin} {frame}={frame:#} {strong}help{strong:#}: {help}"
            )?;
        }
        Ok(())
    }
}

/// A line as a terminal shows it, and where its carets go.
struct View {
    text: String,
    before: usize,
    under: usize,
}

impl View {
    fn of(line: &str, fault: Range<usize>) -> Self {
        let cells: Vec<(usize, String, usize)> = line
            .char_indices()
            .map(|(at, c)| {
                let (text, width) = visible(c);
                (at, text, width)
            })
            .collect();
        let width = |range: Range<usize>| -> usize {
            cells
                .iter()
                .filter(|(at, ..)| range.contains(at))
                .map(|(.., width)| width)
                .sum()
        };
        let total = width(0..line.len());
        let before = width(0..fault.start);
        let under = width(fault.start..fault.end).max(1);
        let skip = if total > WIDEST {
            before.saturating_sub(BEFORE)
        } else {
            0
        };
        let mut text = String::new();
        let (mut seen, mut shown) = (0, 0);
        let mut start = None;
        for (_, cell, width) in &cells {
            if seen >= skip && shown + width <= WIDEST {
                start.get_or_insert(seen);
                text.push_str(cell);
                shown += width;
            }
            seen += width;
        }
        let start = start.unwrap_or(0);
        let cut_left = start > 0;
        if total - start > shown {
            text.push('…');
        }
        Self {
            text: if cut_left { format!("…{text}") } else { text },
            before: before - start.min(before) + usize::from(cut_left),
            under: under.min(WIDEST.saturating_sub(before - start.min(before)).max(1)),
        }
    }
}

/// A character as it can be shown, and its width in cells: tabs become spaces, control characters their pictures.
fn visible(c: char) -> (String, usize) {
    match c {
        '\t' => (" ".repeat(TAB), TAB),
        '\u{7f}' => ("\u{2421}".to_owned(), 1),
        c if u32::from(c) < 0x20 => {
            let picture = char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}');
            (picture.to_string(), 1)
        }
        c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
            ("\u{fffd}".to_owned(), 1)
        }
        c => (c.to_string(), c.width().unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::source::Source;

    fn shown(text: &str, span: Range<usize>) -> (String, String) {
        let mistake = Mistake::error(&Source::new("x", text), span, "m").to_string();
        let mut lines = mistake
            .lines()
            .skip(3)
            .map(|line| line.split_once("| ").unwrap().1.to_owned());
        (lines.next().unwrap(), lines.next().unwrap())
    }

    #[test]
    fn carets_stand_under_what_a_terminal_shows() {
        for (text, fault, line, carets) in [
            ("a bc d", "bc", "a bc d", "  ^^"),
            ("\ta\tb", "b", "    a    b", "         ^"),
            ("日本 x y", "x", "日本 x y", "     ^"),
            ("日本", "本", "日本", "  ^^"),
            ("e\u{301}é x", "x", "e\u{301}é x", "   ^"),
            ("a\u{1b}[31m x", "x", "a␛[31m x", "       ^"),
            ("a\u{202e} x", "x", "a\u{fffd} x", "   ^"),
            ("a x\r\nb", "x", "a x", "  ^"),
        ] {
            let at = text.find(fault).unwrap();
            assert_eq!(
                shown(text, at..at + fault.len()),
                (line.to_owned(), carets.to_owned()),
                "{text:?}"
            );
        }
        assert_eq!(shown("abc", 3..3), ("abc".to_owned(), "   ^".to_owned()));
        assert_eq!(shown("abc\ndef", 1..6).1, " ^^");
        assert_eq!(shown("", 0..0), (String::new(), "^".to_owned()));
    }

    #[test]
    fn long_lines_are_cut_around_the_fault() {
        let text = format!("{}HERE{}", "a".repeat(1_000), "b".repeat(1_000));
        let (line, carets) = shown(&text, 1_000..1_004);
        assert!(line.starts_with('…') && line.ends_with('…') && line.chars().count() <= WIDEST + 2);
        let under: String = line
            .chars()
            .zip(carets.chars())
            .filter(|(_, caret)| *caret == '^')
            .map(|(c, _)| c)
            .collect();
        assert_eq!(under, "HERE");
    }

    #[test]
    fn colours_are_only_there_when_asked_for() {
        let mistake = Mistake::warning(&Source::new("x", "abc"), 0..1, "m").help("h");
        assert!(!mistake.to_string().contains('\u{1b}'));
        let painted = mistake.painted(true).to_string();
        let mut plain = painted.clone();
        while let (Some(start), true) = (plain.find('\u{1b}'), painted.contains('\u{1b}')) {
            let end = start + plain[start..].find('m').unwrap();
            plain.replace_range(start..=end, "");
        }
        assert_ne!(painted, plain);
        assert_eq!(plain, mistake.to_string());
    }
}
