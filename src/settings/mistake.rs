//! [`Mistake`]: one thing that is wrong in the settings.

use std::fmt;

use figment::error::Kind;
use figment::value::{Dict, Value};

use super::environment::variable_of;
use super::layer::nearest_value;
use super::redact::{is_secret_key, redact, resembles_secret_key};
use crate::error::{Error, ErrorKind};
use crate::schedule::nearest::nearest;

/// The longest value that a message repeats, in characters.
const VALUE_SHOWN: usize = 120;

/// One thing that is wrong, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mistake {
    /// The key with dots between its parts; empty when the file as a whole is meant.
    pub key: String,
    /// What stands there, as it may be shown: secrets are hidden.
    pub value: Option<String>,
    /// The file, the environment variable or the argument.
    pub origin: String,
    /// Why it is wrong, and what would be right.
    pub reason: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            value,
            origin,
            reason,
        } = self;
        match value {
            _ if key.is_empty() => write!(f, "{origin}: {reason}"),
            Some(value) => write!(f, "{key} = {value} ({origin}): {reason}"),
            None if origin.is_empty() => write!(f, "{key}: {reason}"),
            None => write!(f, "{key} ({origin}): {reason}"),
        }
    }
}

/// All mistakes as one error.
pub(super) fn error_of(mistakes: &[Mistake]) -> Error {
    let message = match mistakes {
        [only] => only.to_string(),
        all => {
            let lines: Vec<String> = all
                .iter()
                .map(|mistake| format!("\n  - {mistake}"))
                .collect();
            format!(
                "the settings have {} mistakes:{}",
                all.len(),
                lines.concat()
            )
        }
    };
    Error::new(ErrorKind::Configuration, "settings", message)
}

/// The mistake that an extraction met at a path. `known` are names that are valid besides those that the error lists.
pub(super) fn describe(
    error: &figment::Error,
    values: &Dict,
    known: &[String],
    origin_of: impl Fn(&Value) -> String,
) -> Mistake {
    let mut path = error.path.clone();
    if let Kind::MissingField(name) = &error.kind {
        path.push(name.to_string());
    }
    let key = path.join(".");
    let found = nearest_value(values, &path)
        .filter(|(found, _)| {
            !matches!(error.kind, Kind::MissingField(_)) || found.len() == path.len()
        })
        .map(|(_, value)| value);
    let names_secret = match error.kind {
        Kind::UnknownField(..) => resembles_secret_key,
        _ => is_secret_key,
    };
    let secret = path.iter().any(|part| names_secret(part));
    Mistake {
        value: found.map(|value| show(value, secret)),
        origin: found.map(origin_of).unwrap_or_default(),
        reason: reason(&error.kind, &path, secret, known),
        key,
    }
}

fn reason(kind: &Kind, path: &[String], secret: bool, known: &[String]) -> String {
    let key = path.join(".");
    match kind {
        Kind::Message(_) if secret => "is not valid".to_owned(),
        Kind::Message(why) => redact(why),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            format!("expected {expected}")
        }
        Kind::InvalidLength(length, expected) => {
            format!("expected {expected}, not {length} of them")
        }
        Kind::UnknownVariant(word, words) => super::choice::none_of(word, words),
        Kind::UnknownField(name, fields) => {
            let mut names: Vec<&str> = fields.to_vec();
            if path.len() == 1 {
                names.extend(known.iter().map(String::as_str));
            }
            unknown(&key, name, &names)
        }
        Kind::MissingField(_) => {
            format!("is needed; set it in the file or as {}", variable_of(&key))
        }
        Kind::DuplicateField(_) => "is set twice".to_owned(),
        other => redact(&other.to_string()),
    }
}

fn unknown(key: &str, name: &str, names: &[&str]) -> String {
    let parent = &key[..key.len() - name.len().min(key.len())];
    if let Some(meant) = nearest(name, names.iter().copied(), 1).first() {
        let meant = format!("{parent}{meant}");
        return format!(
            "there is no such setting; did you mean {meant} ({})?",
            variable_of(&meant)
        );
    }
    if names.is_empty() {
        return "there is no such setting".to_owned();
    }
    let mut names = names.to_vec();
    names.sort_unstable();
    format!("there is no such setting; known are {}", names.join(", "))
}

/// A value as messages and lists show it.
pub(super) fn show(value: &Value, secret: bool) -> String {
    let text = if secret && !matches!(value, Value::Empty(..)) {
        "***".to_owned()
    } else {
        written(value)
    };
    if text.chars().count() <= VALUE_SHOWN {
        return text;
    }
    text.chars().take(VALUE_SHOWN).chain(['…']).collect()
}

fn written(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{:?}", redact(text)),
        Value::Char(_, letter) => format!("{:?}", letter.to_string()),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_u128(), number.to_f64()) {
            (Some(whole), ..) => whole.to_string(),
            (_, Some(whole), _) => whole.to_string(),
            (.., Some(real)) => real.to_string(),
            _ => "a number".to_owned(),
        },
        Value::Empty(..) => "none".to_owned(),
        Value::Array(_, items) => {
            let items: Vec<String> = items.iter().map(written).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Dict(_, entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{key} = {}", show(value, is_secret_key(key))))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}
