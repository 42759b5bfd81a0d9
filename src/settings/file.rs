//! The configuration file: which one, and what it says.

use std::ffi::OsString;
use std::io::ErrorKind as Io;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::Dict;
use figment::{Metadata, Source};

use super::environment::FILE_VARIABLE;
use super::layer::Layer;
use super::mistake::Mistake;
use super::redact::redact;

/// The file that is looked for when none is named.
const FILE_NAME: &str = "tlo.toml";

/// A file and who named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) path: PathBuf,
    /// What to say about where the name came from; `None` for a file that may be missing.
    pub(super) named_by: Option<&'static str>,
}

/// The file to read: the one that is named, else that of `TLO_CONFIG`, else `tlo.toml` in the directory.
pub(super) fn choose(
    named: Option<(&'static str, &Path)>,
    variables: &[(OsString, OsString)],
    directory: Option<&Path>,
) -> Option<Choice> {
    let variable = || {
        variables
            .iter()
            .find(|(name, value)| name == FILE_VARIABLE && !value.is_empty())
            .map(|(_, value)| Path::new(value))
    };
    let (path, named_by) = if let Some((named_by, path)) = named {
        (path, Some(named_by))
    } else if let Some(path) = variable() {
        (path, Some("environment variable TLO_CONFIG"))
    } else {
        directory?;
        (Path::new(FILE_NAME), None)
    };
    let path = directory.map_or_else(|| path.to_owned(), |directory| directory.join(path));
    Some(Choice {
        path: std::path::absolute(&path).unwrap_or(path),
        named_by,
    })
}

/// What the file says; nothing when it does not exist and nobody named it.
pub(super) fn read(choice: &Choice) -> Result<Option<Layer>, Mistake> {
    let text = match std::fs::read_to_string(&choice.path) {
        Ok(text) => text,
        Err(error) if error.kind() == Io::NotFound && choice.named_by.is_none() => return Ok(None),
        Err(error) => return Err(choice.unreadable(&error)),
    };
    let metadata = Metadata::named(choice.origin()).source(Source::File(choice.path.clone()));
    match Toml::from_str::<Dict>(&text) {
        Ok(values) => Ok(Some(Layer::new(metadata, values))),
        Err(error) => Err(Mistake {
            key: String::new(),
            value: None,
            origin: choice.origin(),
            reason: shown(&error.to_string()),
        }),
    }
}

impl Choice {
    fn origin(&self) -> String {
        format!("file {}", self.path.display())
    }

    fn unreadable(&self, error: &std::io::Error) -> Mistake {
        let reason = match error.kind() {
            Io::NotFound => "does not exist; create it with `tlo init`, or name another".to_owned(),
            Io::InvalidData => "is not UTF-8 text".to_owned(),
            _ => format!("cannot be read: {error}"),
        };
        Mistake {
            key: String::new(),
            value: None,
            origin: self.named_by.map_or_else(
                || self.origin(),
                |by| format!("{}, named by {by}", self.origin()),
            ),
            reason,
        }
    }
}

/// What the parser says, which repeats the faulty line: secrets in it are hidden.
fn shown(error: &str) -> String {
    let lines: Vec<String> = error.trim_end().lines().map(redact).collect();
    lines.join("\n")
}
