//! [`SettingsSource`]: where settings are read from.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use figment::Metadata;
use figment::value::Value;
use serde::Serialize;

use super::layer::{Layer, split_key};
use super::mistake::Mistake;
use super::{TloSettings, file};

/// The origin of what nobody set.
pub(super) const DEFAULT: &str = "default";

/// The list of tasks in a file, which the reader of jobs files checks.
pub(super) const TASKS: &str = "tasks";

/// Where settings are read from, weakest first: defaults, the file, the environment, explicit values.
///
/// Nothing is read before [`TloSettings::load`].
///
/// ```
/// use tlo::settings::{SettingsSource, TloSettings};
/// let source = SettingsSource::empty()
///     .environment([("TLO_CONCURRENCY", "4"), ("TLO_LEASE", "1m")])
///     .set("concurrency", 8);
/// let loaded = TloSettings::load(&source)?;
/// assert_eq!(loaded.settings.concurrency, 8);
/// assert_eq!(loaded.origin("lease"), "environment variable TLO_LEASE");
/// # Ok::<(), tlo::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct SettingsSource {
    pub(super) variables: Vec<(OsString, OsString)>,
    pub(super) base: TloSettings,
    pub(super) defaults: Vec<Given>,
    pub(super) explicit: Vec<Given>,
    pub(super) sections: Vec<Vec<String>>,
    directory: Option<PathBuf>,
    /// Who named it, and its path.
    file: Option<(&'static str, PathBuf)>,
}

/// A value that was given in code.
#[derive(Clone)]
pub(super) struct Given {
    origin: String,
    key: String,
    value: Result<Value, String>,
}

impl Given {
    fn new(origin: String, key: &str, value: impl Serialize) -> Self {
        Self {
            origin,
            key: key.to_owned(),
            value: Value::serialize(value).map_err(|error| error.to_string()),
        }
    }

    pub(super) fn layer(&self) -> Result<Layer, Mistake> {
        match &self.value {
            Ok(value) => Ok(Layer::single(
                Metadata::named(self.origin.clone()),
                &split_key(&self.key),
                value.clone(),
            )),
            Err(reason) => Err(Mistake {
                key: self.key.clone(),
                value: None,
                origin: self.origin.clone(),
                reason: format!("cannot be written as a setting: {reason}"),
            }),
        }
    }
}

impl SettingsSource {
    /// Only defaults: no file, no environment.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// This process: its environment, and the file in its working directory.
    #[must_use]
    pub fn process() -> Self {
        Self::empty()
            .environment(std::env::vars_os())
            .directory(".")
    }

    /// These variables and no others.
    #[must_use]
    pub fn environment<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        self
    }

    /// Looks for `tlo.toml` here when no file is named; names of files are relative to it.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Reads this file, whatever `TLO_CONFIG` says. It must exist.
    #[must_use]
    pub fn file(self, path: impl Into<PathBuf>) -> Self {
        self.file_by("argument", path)
    }

    /// As [`file`](Self::file), and what to call whoever named it, such as `--config`.
    #[must_use]
    pub fn file_by(mut self, origin: &'static str, path: impl Into<PathBuf>) -> Self {
        self.file = Some((origin, path.into()));
        self
    }

    /// The defaults of a program, instead of TLO's.
    #[must_use]
    pub fn defaults(mut self, settings: TloSettings) -> Self {
        self.base = settings;
        self
    }

    /// The default of one key, weaker than the file: `task_state_store`, `sqlite.durability`.
    #[must_use]
    pub fn set_default(mut self, key: &str, value: impl Serialize) -> Self {
        self.defaults
            .push(Given::new(DEFAULT.to_owned(), key, value));
        self
    }

    /// A value that nothing overrides. A table is merged with what weaker sources say; `None` is an explicit none.
    #[must_use]
    pub fn set(self, key: &str, value: impl Serialize) -> Self {
        self.set_by("argument", key, value)
    }

    /// A value that nothing overrides, and what to call its source, such as `argument --concurrency`.
    #[must_use]
    pub fn set_by(mut self, origin: impl Into<String>, key: &str, value: impl Serialize) -> Self {
        self.explicit.push(Given::new(origin.into(), key, value));
        self
    }

    /// Allows a section, in any case; its plugin checks what stands in it.
    #[must_use]
    pub fn section(mut self, name: &str) -> Self {
        let path = split_key(&name.to_ascii_lowercase());
        if !self.sections.contains(&path) {
            self.sections.push(path);
        }
        self
    }

    /// Allows several sections, such as those of `PluginTable::sections`.
    #[must_use]
    pub fn sections<S: AsRef<str>>(self, names: impl IntoIterator<Item = S>) -> Self {
        names
            .into_iter()
            .fold(self, |source, name| source.section(name.as_ref()))
    }

    /// The file that would be read, and may not exist.
    #[must_use]
    pub fn file_path(&self) -> Option<PathBuf> {
        self.choice().map(|choice| choice.path)
    }

    pub(super) fn choice(&self) -> Option<file::Choice> {
        file::choose(
            self.file.as_ref().map(|(by, path)| (*by, path.as_path())),
            &self.variables,
            self.directory.as_deref(),
        )
    }
}

impl fmt::Debug for SettingsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the variables nor the given values: they may be secrets.
        f.debug_struct("SettingsSource")
            .field("directory", &self.directory)
            .field("file", &self.file)
            .field("sections", &self.sections)
            .finish_non_exhaustive()
    }
}
