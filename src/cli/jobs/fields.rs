//! [`Fields`]: one table of the file, read key by key, with a mistake for each that is not as it should be.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml_edit::{Item, TableLike, Value};

use crate::cli::source::{Mistake, Source};
use crate::error::Error;
use crate::schedule::nearest::nearest;
use crate::schedule::parse_duration;

/// A table and the mistakes found in it so far.
pub(super) struct Fields<'a> {
    source: &'a Source,
    table: &'a dyn TableLike,
    place: Range<usize>,
    what: &'static str,
    mistakes: Vec<Mistake>,
}

/// A text of the file.
#[derive(Clone, Debug)]
pub(super) struct Text<'a> {
    pub(super) value: &'a str,
    /// What is inside the quotes.
    pub(super) span: Range<usize>,
    /// Whether the file has exactly these characters, without escapes.
    pub(super) verbatim: bool,
}

/// A value, and the bytes it is written in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(
        source: &'a Source,
        table: &'a dyn TableLike,
        place: Range<usize>,
        what: &'static str,
    ) -> Self {
        Self {
            source,
            table,
            place,
            what,
            mistakes: Vec::new(),
        }
    }

    pub(super) fn source(&self) -> &'a Source {
        self.source
    }

    /// The header, for what is missing.
    pub(super) fn place(&self) -> Range<usize> {
        self.place.clone()
    }

    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes
    }

    pub(super) fn fault(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<&str>,
    ) {
        let mistake = Mistake::error(self.source, span, message);
        self.mistakes.push(match help {
            Some(help) => mistake.help(help),
            None => mistake,
        });
    }

    /// What an error of the library says about a text.
    pub(super) fn fault_of(&mut self, text: &Text<'_>, error: &Error) {
        self.mistakes.push(Mistake::of(
            error,
            self.source,
            text.span.clone(),
            text.verbatim,
        ));
    }

    pub(super) fn adopt(&mut self, mistakes: Vec<Mistake>) {
        self.mistakes.extend(mistakes);
    }

    /// A mistake for each key that is none of `known`. `meant` says what people write for which key.
    pub(super) fn refuse_others(&mut self, known: &[&str], meant: &[(&str, &str)]) {
        let keys: Vec<String> = self.table.iter().map(|(key, _)| key.to_owned()).collect();
        for key in keys.iter().filter(|key| !known.contains(&key.as_str())) {
            let span = self.key_span(key);
            let close = nearest(key, known.iter().copied(), 1);
            let other = meant
                .iter()
                .find(|(wrong, _)| wrong == key)
                .map(|(_, right)| (*right).to_owned());
            let help = match other.or_else(|| close.first().cloned()) {
                Some(right) => format!("did you mean {right}?"),
                None => format!("there are {}", known.join(", ")),
            };
            let message = format!("{} has no key \"{key}\"", self.what);
            self.fault(span, message, Some(&help));
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.item(key).is_some()
    }

    pub(super) fn key_span(&self, key: &str) -> Range<usize> {
        self.table
            .get_key_value(key)
            .and_then(|(key, _)| key.span())
            .unwrap_or_else(|| self.place())
    }

    pub(super) fn item(&self, key: &str) -> Option<Placed<&'a Item>> {
        let item = self.table.get(key).filter(|item| !item.is_none())?;
        let span = item.span().unwrap_or_else(|| self.key_span(key));
        Some(Placed { value: item, span })
    }

    fn wrong(&mut self, key: &str, found: &Placed<&Item>, want: impl Display, help: Option<&str>) {
        let message = format!("\"{key}\" is {want}; here it is {}", kind_of(found.value));
        self.fault(found.span.clone(), message, help);
    }

    pub(super) fn text(&mut self, key: &str) -> Option<Text<'a>> {
        self.text_or(key, "text", None)
    }

    /// A text; anything else gets `want` and `help`.
    pub(super) fn text_or(
        &mut self,
        key: &str,
        want: &str,
        help: Option<&str>,
    ) -> Option<Text<'a>> {
        let found = self.item(key)?;
        match found.value.as_str() {
            Some(value) => Some(text(self.source, value, found.span)),
            None => {
                self.wrong(key, &found, want, help);
                None
            }
        }
    }

    /// A text if it is one; anything else is reported where it is read.
    pub(super) fn peek_text(&self, key: &str) -> Option<Text<'a>> {
        let found = self.item(key)?;
        let value = found.value.as_str()?;
        Some(text(self.source, value, found.span))
    }

    /// The text that an item of this file is, if it is one.
    pub(super) fn text_of(&self, item: &'a Item) -> Option<Text<'a>> {
        Some(text(self.source, item.as_str()?, item.span()?))
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        let found = self.item(key)?;
        let value = found.value.as_bool();
        if value.is_none() {
            self.wrong(key, &found, "true or false", None);
        }
        value
    }

    pub(super) fn integer<T: TryFrom<i64> + Display + PartialOrd>(
        &mut self,
        key: &str,
        allowed: RangeInclusive<T>,
    ) -> Option<T> {
        let found = self.item(key)?;
        let want = format!(
            "a whole number from {} to {}",
            allowed.start(),
            allowed.end()
        );
        let Some(number) = found.value.as_integer() else {
            self.wrong(key, &found, want, None);
            return None;
        };
        let value = T::try_from(number)
            .ok()
            .filter(|value| allowed.contains(value));
        if value.is_none() {
            self.fault(
                found.span,
                format!("\"{key}\" is {want}; here it is {number}"),
                None,
            );
        }
        value
    }

    pub(super) fn number(
        &mut self,
        key: &str,
        allowed: RangeInclusive<f64>,
        want: &str,
    ) -> Option<f64> {
        let found = self.item(key)?;
        let Some(number) = number_of(found.value) else {
            self.wrong(key, &found, want, None);
            return None;
        };
        if !allowed.contains(&number) {
            self.fault(
                found.span,
                format!("\"{key}\" is {want}; here it is {number}"),
                None,
            );
            return None;
        }
        Some(number)
    }

    /// A duration: text with units, or a number of seconds.
    pub(super) fn duration(&mut self, key: &str) -> Option<Placed<Duration>> {
        const WANT: &str = "a duration such as \"30s\" or \"5m\"";
        let found = self.item(key)?;
        let span = found.span.clone();
        if let Some(value) = found.value.as_str() {
            let text = text(self.source, value, span.clone());
            return match parse_duration(value) {
                Ok(value) => Some(Placed { value, span }),
                Err(error) => {
                    self.fault_of(&text, &error);
                    None
                }
            };
        }
        let Some(seconds) = number_of(found.value) else {
            self.wrong(key, &found, WANT, None);
            return None;
        };
        match Duration::try_from_secs_f64(seconds) {
            Ok(value) => Some(Placed { value, span }),
            Err(_) => {
                self.fault(
                    span,
                    format!("\"{key}\" is {WANT}; here it is {seconds}"),
                    None,
                );
                None
            }
        }
    }

    /// A duration longer than nothing.
    pub(super) fn positive_duration(&mut self, key: &str) -> Option<Duration> {
        let found = self.duration(key)?;
        if found.value.is_zero() {
            self.fault(
                found.span,
                format!("\"{key}\" is 0"),
                Some("leave the key out for none"),
            );
            return None;
        }
        Some(found.value)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let known: Vec<String> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let want = known.join(", ");
        let text = self.text_or(key, &format!("one of {want}"), None)?;
        let found = words
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text.value));
        if found.is_none() {
            let close = nearest(text.value, words.iter().map(|(word, _)| *word), 1);
            let help = match close.first() {
                Some(close) => format!("did you mean \"{close}\"?"),
                None => format!("write one of {want}"),
            };
            let message = format!("\"{key}\" has no choice \"{}\"", text.value);
            self.fault(text.span, message, Some(&help));
        }
        found.map(|(_, value)| *value)
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &str, help: Option<&str>) -> Option<Vec<Text<'a>>> {
        let found = self.item(key)?;
        let Some(list) = found.value.as_array() else {
            self.wrong(key, &found, "a list of texts", help);
            return None;
        };
        let mut texts = Vec::new();
        let mut good = true;
        for value in list {
            let span = value.span().unwrap_or_else(|| found.span.clone());
            match value.as_str() {
                Some(word) => texts.push(text(self.source, word, span)),
                None => {
                    good = false;
                    let message = format!(
                        "\"{key}\" is a list of texts; here is {} in it",
                        kind_of_value(value)
                    );
                    self.fault(span, message, Some("put it in quotes"));
                }
            }
        }
        good.then_some(texts)
    }

    /// A table inside this one.
    pub(super) fn table(
        &mut self,
        key: &str,
        what: &'static str,
        help: &str,
    ) -> Option<Fields<'a>> {
        let found = self.item(key)?;
        match found.value.as_table_like() {
            Some(table) => Some(Fields::new(self.source, table, found.span, what)),
            None => {
                self.wrong(key, &found, "a table", Some(help));
                None
            }
        }
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.table.iter().map(|(key, _)| key.to_owned()).collect()
    }
}

fn number_of(item: &Item) -> Option<f64> {
    #[allow(clippy::cast_precision_loss, reason = "seconds and factors are small")]
    item.as_float()
        .or_else(|| item.as_integer().map(|number| number as f64))
}

/// The text inside the quotes of a value.
fn text<'a>(source: &Source, value: &'a str, span: Range<usize>) -> Text<'a> {
    let raw = source.text().get(span.clone()).unwrap_or_default();
    let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") {
        3
    } else {
        1
    };
    let inner = raw
        .get(quotes..raw.len().saturating_sub(quotes))
        .unwrap_or_default();
    // A line end right after the opening quotes is not part of the value.
    let skipped = if quotes == 3 {
        inner.len() - inner.trim_start_matches(['\r', '\n']).len()
    } else {
        0
    };
    let start = span.start + quotes + skipped;
    let verbatim = inner.get(skipped..) == Some(value);
    Text {
        value,
        span: if verbatim {
            start..start + value.len()
        } else {
            span
        },
        verbatim,
    }
}

/// The kind of an item, for people.
pub(super) fn kind_of(item: &Item) -> &'static str {
    match item {
        Item::None => "nothing",
        Item::Value(value) => kind_of_value(value),
        Item::Table(_) => "a table",
        Item::ArrayOfTables(_) => "a list of tables",
    }
}

/// The kind of a value, for people.
pub(super) fn kind_of_value(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::InlineTable(_) => "a table",
    }
}
