//! Pieces of a line and where they are; variable lines.

use std::ops::Range;

/// A part of the source: the byte where it starts, and its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) at: usize,
    pub(super) text: &'a str,
}

impl<'a> Piece<'a> {
    pub(super) fn span(self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    /// The part from a byte of this one on.
    pub(super) fn from(self, start: usize) -> Self {
        Self {
            at: self.at + start,
            text: self.text.get(start..).unwrap_or_default(),
        }
    }

    /// The first word and what follows the blanks after it.
    pub(super) fn word(self) -> (Self, Self) {
        let end = self.text.find([' ', '\t']).unwrap_or(self.text.len());
        let word = Self {
            at: self.at,
            text: self.text.get(..end).unwrap_or(self.text),
        };
        (word, self.from(end).trimmed())
    }

    /// Without blanks at its start.
    pub(super) fn trimmed(self) -> Self {
        self.from(self.text.len() - self.text.trim_start_matches([' ', '\t']).len())
    }
}

/// A line that sets a variable.
#[derive(Debug)]
pub(super) struct Variable<'a> {
    pub(super) line: Piece<'a>,
    pub(super) name: &'a str,
    /// The value without its quotes.
    pub(super) value: Piece<'a>,
    pub(super) quoted: bool,
    /// What stands behind the closing quote, or the whole value when the quote is never closed.
    pub(super) fault: Option<(Piece<'a>, &'static str)>,
}

/// Reads `NAME=value`, `NAME = "value"` and `"NAME"='value'`; `None` when the line is none of these.
pub(super) fn variable(line: Piece<'_>) -> Option<Variable<'_>> {
    let first = line.text.chars().next()?;
    let (name, rest) = if first == '"' || first == '\'' {
        let end = 1 + line.text.get(1..)?.find(first)?;
        (line.text.get(1..end)?, line.from(end + 1))
    } else {
        let end = line.text.find([' ', '\t', '='])?;
        (line.text.get(..end)?, line.from(end))
    };
    let rest = rest.trimmed();
    // `*/5 = …` or `5= …` is a schedule gone wrong, and reported as that.
    let is_name =
        !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit() || "*@-".contains(c));
    if !is_name || !rest.text.starts_with('=') {
        return None;
    }
    let value = rest.from(1).trimmed();
    let value = Piece {
        at: value.at,
        text: value.text.trim_end_matches([' ', '\t']),
    };
    let quote = value
        .text
        .chars()
        .next()
        .filter(|c| *c == '"' || *c == '\'');
    let plain = Variable {
        line,
        name,
        value,
        quoted: false,
        fault: None,
    };
    let Some(quote) = quote else {
        return Some(plain);
    };
    let inner = value.from(1);
    let Some(end) = inner.text.find(quote) else {
        let fault = Some((value, "this quote is never closed"));
        return Some(Variable { fault, ..plain });
    };
    let behind = inner.from(end + 1).trimmed();
    let fault =
        (!behind.text.is_empty()).then_some((behind, "nothing may follow the closing quote"));
    Some(Variable {
        value: Piece {
            at: inner.at,
            text: inner.text.get(..end).unwrap_or_default(),
        },
        quoted: true,
        fault,
        ..plain
    })
}
