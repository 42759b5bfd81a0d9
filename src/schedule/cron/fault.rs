//! [`Fault`]: what is wrong with an expression, where, and what was probably meant.

use std::fmt;

use crate::error::Error;

/// The longest expression, in bytes: sixty minutes and more written one by one fit.
pub(super) const LONGEST: usize = 1_000;

/// Where a cron expression is wrong, and how: the [`source`](std::error::Error::source) of the error about it.
///
/// For whoever shows the expression in its own surroundings, such as the line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronFault {
    /// The byte of the expression where the faulty part begins.
    pub at: usize,
    /// The bytes of the faulty part; 0 when something is missing there.
    pub length: usize,
    /// What is wrong, as a sentence without the expression.
    pub what: String,
    /// The nearest valid expression.
    pub valid: Option<String>,
}

impl fmt::Display for CronFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.what)
    }
}

impl std::error::Error for CronFault {}

/// A part of the expression: the byte where it starts, and its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) at: usize,
    pub(super) text: &'a str,
}

impl<'a> Piece<'a> {
    /// The parts between separators, empty ones too.
    pub(super) fn split(self, separator: char) -> impl Iterator<Item = Self> {
        self.text.split(separator).map(move |text| Self {
            at: self.at + (text.as_ptr() as usize - self.text.as_ptr() as usize),
            text,
        })
    }

    /// The parts before and after the first separator.
    pub(super) fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let (left, right) = self.text.split_once(separator)?;
        let after = Self {
            at: self.at + left.len() + separator.len_utf8(),
            text: right,
        };
        Some((
            Self {
                at: self.at,
                text: left,
            },
            after,
        ))
    }

    /// The fields of an expression.
    pub(super) fn fields(expression: &'a str) -> Vec<Self> {
        expression
            .split_whitespace()
            .map(|text| Self {
                at: text.as_ptr() as usize - expression.as_ptr() as usize,
                text,
            })
            .collect()
    }
}

/// A mistake at a place of the expression.
#[derive(Debug)]
pub(super) struct Fault {
    at: usize,
    length: usize,
    what: String,
    instead: Option<String>,
}

impl Fault {
    /// The fault of this piece.
    pub(super) fn of(piece: Piece<'_>, what: impl Into<String>) -> Self {
        Self {
            at: piece.at,
            length: piece.text.len(),
            what: what.into(),
            instead: None,
        }
    }

    /// What to write in its place.
    pub(super) fn instead(mut self, text: impl Into<String>) -> Self {
        self.instead = Some(text.into());
        self
    }

    /// The whole expression with the faulty part replaced.
    pub(super) fn mended(&self, expression: &str) -> Option<String> {
        let instead = self.instead.as_deref()?;
        let head = expression.get(..self.at)?;
        let tail = expression.get(self.at + self.length..)?;
        Some(format!("{head}{instead}{tail}"))
    }

    /// The error: the sentence, the expression with a caret line, and the nearest valid form if there is one.
    pub(super) fn into_error(self, expression: &str, valid: Option<&str>) -> Error {
        if expression.len() > LONGEST {
            let start: String = printable(expression).chars().take(60).collect();
            return Error::invalid(
                "schedule",
                format!("cron expression \"{start}…\": {}", self.what),
            );
        }
        let shown = printable(expression);
        let before = expression.get(..self.at).unwrap_or(expression);
        let under = expression
            .get(self.at..self.at + self.length)
            .map_or(1, |text| text.chars().count().max(1));
        let mut message = format!(
            "cron expression \"{shown}\": {}\n  {shown}\n  {}{}",
            self.what,
            " ".repeat(before.chars().count()),
            "^".repeat(under),
        );
        if let Some(valid) = valid {
            message.push_str("\n  nearest valid form: ");
            message.push_str(valid);
        }
        Error::invalid("schedule", message).with_source(CronFault {
            at: self.at,
            length: self.length,
            what: self.what,
            valid: valid.map(str::to_owned),
        })
    }
}

/// The same text on one line, so that the caret stands under its letter.
fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}
