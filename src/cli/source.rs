//! [`Source`], [`Mistake`]: text that people wrote, and what is wrong at which place of it.

mod render;

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub use self::render::Painted;
use crate::error::{Error, ErrorKind, Result};
use crate::schedule::CronFault;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// A text with its name, normally a file with its path. Copies are cheap.
#[derive(Clone)]
pub struct Source(Arc<Text>);

struct Text {
    name: String,
    text: String,
    starts: Vec<usize>,
    lossy: bool,
}

/// A place in a text, as people count: the first character of the first line is 1:1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The character of that line, from 1.
    pub column: usize,
}

/// A line of a source: its number from 1, the byte where it starts, and its text without the line end.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The number, from 1.
    pub number: usize,
    /// The byte of the source where it starts.
    pub start: usize,
    /// Its text.
    pub text: &'a str,
}

impl Source {
    /// A text under a name.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::with(name.into(), text.into(), false)
    }

    /// The bytes of a file under a name. Bytes that are not UTF-8 become U+FFFD; see [`is_lossy`](Self::is_lossy).
    #[must_use]
    pub fn from_bytes(name: impl Into<String>, bytes: &[u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = String::from_utf8_lossy(bytes);
        let lossy = matches!(text, std::borrow::Cow::Owned(_));
        Self::with(name.into(), text.into_owned(), lossy)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// `NotFound` when there is none, `TooLarge` above 16 MiB, `Unavailable` when it cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let fault = |source: std::io::Error| {
            let kind = match source.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Unavailable,
            };
            let message = format!("\"{}\" cannot be read: {source}", path.display());
            Error::new(kind, "read file", message)
                .retryable(false)
                .with_source(source)
        };
        let size = std::fs::metadata(path).map_err(fault)?.len();
        if size > LARGEST {
            return Err(Error::new(
                ErrorKind::TooLarge,
                "read file",
                format!(
                    "\"{}\" has {size} bytes; the limit is {LARGEST}",
                    path.display()
                ),
            ));
        }
        let bytes = std::fs::read(path).map_err(fault)?;
        Ok(Self::from_bytes(path.display().to_string(), &bytes))
    }

    fn with(name: String, text: String, lossy: bool) -> Self {
        let starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self(Arc::new(Text {
            name,
            text,
            starts,
            lossy,
        }))
    }

    /// The name, normally the path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Whether bytes that are not UTF-8 were replaced by U+FFFD.
    #[must_use]
    pub fn is_lossy(&self) -> bool {
        self.0.lossy
    }

    /// The place of a byte; past the end it is the end.
    #[must_use]
    pub fn place(&self, at: usize) -> Place {
        let line = self.line_at(at);
        let before = line.text.get(..at.saturating_sub(line.start));
        let column = before.unwrap_or(line.text).chars().count() + 1;
        Place {
            line: line.number,
            column,
        }
    }

    /// The line that holds a byte.
    #[must_use]
    pub fn line_at(&self, at: usize) -> Line<'_> {
        let number = self.0.starts.partition_point(|start| *start <= at).max(1);
        let start = self.0.starts.get(number - 1).copied().unwrap_or(0);
        let rest = self.text().get(start..).unwrap_or_default();
        let text = rest.split('\n').next().unwrap_or_default();
        Line {
            number,
            start,
            text,
        }
    }

    /// All lines; a line end at the end of the text begins no further one.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut start = 0;
        let lines = self.text().split_inclusive('\n').enumerate();
        lines.map(move |(index, text)| {
            let line = Line {
                number: index + 1,
                start,
                text: text.strip_suffix('\n').unwrap_or(text),
            };
            start += text.len();
            line
        })
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({:?}, {} bytes)", self.name(), self.text().len())
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.name() == other.name() && self.text() == other.text())
    }
}

impl Eq for Source {}

/// How much a [`Mistake`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// This part cannot be used.
    Error,
    /// It is used, but probably not meant so.
    Warning,
    /// It is used differently than its author may expect.
    Note,
}

impl Level {
    /// The word that reports begin with.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something wrong at a place of a source, and the way out.
///
/// ```
/// use tlo::cli::source::{Mistake, Source};
/// let source = Source::new("tlo.toml", "every = \"5 parsecs\"\n");
/// let mistake = Mistake::error(&source, 9..18, "\"parsecs\" is not a unit").help("write it as 30s or 5m");
/// assert_eq!(
///     mistake.to_string(),
///     concat!(
///         "error: \"parsecs\" is not a unit\n",
///         " --> tlo.toml:1:10\n",
///         "  |\n",
///         "1 | every = \"5 parsecs\"\n",
///         "  |          ^^^^^^^^^\n",
///         "  = help: write it as 30s or 5m",
///     )
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The text it is in.
    pub source: Source,
    /// The bytes of the text that are wrong; empty where something is missing.
    pub span: Range<usize>,
    /// How much it matters.
    pub level: Level,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Mistake {
    /// A mistake of a level.
    #[must_use]
    pub fn new(
        level: Level,
        source: &Source,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            source: source.clone(),
            span,
            level,
            message: message.into(),
            help: None,
        }
    }

    /// Something that cannot be used.
    #[must_use]
    pub fn error(source: &Source, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(Level::Error, source, span, message)
    }

    /// Something that is probably not meant so.
    #[must_use]
    pub fn warning(source: &Source, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(Level::Warning, source, span, message)
    }

    /// Something that works differently here.
    #[must_use]
    pub fn note(source: &Source, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(Level::Note, source, span, message)
    }

    /// What an error of the library says about the text at `span`, which was read as it stands there when `verbatim`.
    ///
    /// For a cron expression the place is the faulty part of it. The library's messages are "what is wrong; the way out",
    /// so the second part becomes the help.
    #[must_use]
    pub fn of(error: &Error, source: &Source, span: Range<usize>, verbatim: bool) -> Self {
        let fault = std::error::Error::source(error).and_then(|s| s.downcast_ref::<CronFault>());
        if let Some(fault) = fault {
            let place = if verbatim {
                span.start + fault.at..span.start + fault.at + fault.length
            } else {
                span
            };
            let mistake = Self::error(source, place, format!("cron expression: {}", fault.what));
            return match &fault.valid {
                Some(valid) => mistake.help(format!("nearest valid form: {valid}")),
                None => mistake,
            };
        }
        let text = error.to_string();
        match text.rsplit_once("; ") {
            Some((message, help)) => Self::error(source, span, message).help(help),
            None => Self::error(source, span, text),
        }
    }

    /// The same mistake with a way out.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Where it begins.
    #[must_use]
    pub fn place(&self) -> Place {
        self.source.place(self.span.start)
    }

    /// The mistake for programs: `level`, `file`, `line`, `column`, `message` and `help`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let place = self.place();
        serde_json::json!({
            "level": self.level.as_str(),
            "file": self.source.name(),
            "line": place.line,
            "column": place.column,
            "message": self.message,
            "help": self.help,
        })
    }

    /// The report with or without colours.
    #[must_use]
    pub fn painted(&self, colour: bool) -> Painted<'_> {
        Painted::new(self, colour)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.painted(false).fmt(f)
    }
}

impl std::error::Error for Mistake {}

/// All mistakes of a run, sorted by file and place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Adds one at its place.
    pub fn push(&mut self, mistake: Mistake) {
        let place = self
            .0
            .partition_point(|other| order(other) <= order(&mistake));
        self.0.insert(place, mistake);
    }

    /// Whether there is none of any level.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are, of all levels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether something cannot be used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Level::Error) > 0
    }

    /// Whether one of them is an error at the same place.
    #[must_use]
    pub(super) fn has_error_at(&self, other: &Mistake) -> bool {
        self.iter().any(|mistake| {
            mistake.level == Level::Error
                && mistake.source.name() == other.source.name()
                && mistake.span == other.span
        })
    }

    /// How many there are of a level.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.iter().filter(|mistake| mistake.level == level).count()
    }

    /// In order.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.0.iter()
    }

    /// The last line of a report: `2 errors, 1 warning`; empty when there is neither.
    #[must_use]
    pub fn tally(&self) -> String {
        let counted = |level: Level| {
            let count = self.count(level);
            let plural = if count == 1 { "" } else { "s" };
            (count > 0).then(|| format!("{count} {}{plural}", level.as_str()))
        };
        let parts: Vec<String> = [Level::Error, Level::Warning]
            .into_iter()
            .filter_map(counted)
            .collect();
        parts.join(", ")
    }

    /// One error with the whole report as its message; `None` when nothing is worse than a warning.
    #[must_use]
    pub fn to_error(&self) -> Option<Error> {
        self.has_errors().then(|| {
            Error::new(
                ErrorKind::Configuration,
                "read definitions",
                self.to_string(),
            )
        })
    }
}

fn order(mistake: &Mistake) -> (&str, usize, usize, Level) {
    let span = &mistake.span;
    (mistake.source.name(), span.start, span.end, mistake.level)
}

impl Extend<Mistake> for Mistakes {
    fn extend<I: IntoIterator<Item = Mistake>>(&mut self, mistakes: I) {
        self.0.extend(mistakes);
        self.0.sort_by(|a, b| order(a).cmp(&order(b)));
    }
}

impl IntoIterator for Mistakes {
    type Item = Mistake;
    type IntoIter = std::vec::IntoIter<Mistake>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Mistakes {
    type Item = &'a Mistake;
    type IntoIter = std::slice::Iter<'a, Mistake>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in self {
            write!(f, "{mistake}\n\n")?;
        }
        f.write_str(&self.tally())
    }
}
