//! [`Loaded`]: settings with the memory of where each value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use figment::value::{Dict, Value};
use figment::{Figment, Source};
use serde::Serialize;

use super::layer::{leaves, nearest_value, split_key};
use super::mistake::show;
use super::redact::is_secret_key;
use super::section::Section;
use super::source::TASKS;
use super::{SettingsSource, TloSettings};
use crate::client::Limits;
use crate::error::{Error, Result};

/// Settings that were read and checked, with the memory of where each value came from.
#[derive(Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: TloSettings,
    pub(super) queue_limits: BTreeMap<String, Limits>,
    pub(super) merged: Arc<Merged>,
    pub(super) file: Option<PathBuf>,
}

/// All layers in one.
pub(super) struct Merged {
    pub(super) figment: Figment,
    pub(super) values: Dict,
    pub(super) sections: Vec<Vec<String>>,
}

/// One setting as `tlo config show --origin` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingOrigin {
    /// The key, with dots between its parts.
    pub key: String,
    /// The value as it was written, with secrets hidden.
    pub value: String,
    /// `default`, `file PATH`, `environment variable TLO_X`, or the argument.
    pub origin: String,
}

impl Loaded {
    /// The merged layers, in which an application finds its own sections. Printing it would print secrets.
    #[must_use]
    pub fn figment(&self) -> &Figment {
        &self.merged.figment
    }

    /// The limits that the tables of queues say, by queue: `[queues.NAME]` of the file, `TLO_QUEUES__NAME__LIMIT`. Who runs
    /// tasks declares them for the whole cluster.
    #[must_use]
    pub fn queue_limits(&self) -> &BTreeMap<String, Limits> {
        &self.queue_limits
    }

    /// The file that was read.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The section of a plugin, in any case: `sqlite`, `my_app.Dynamo`.
    #[must_use]
    pub fn section(&self, name: &str) -> Section {
        Section::new(
            Arc::clone(&self.merged),
            split_key(&name.to_ascii_lowercase()),
        )
    }

    /// Where the value of a key came from: `default`, `file PATH`, `environment variable TLO_X`, or the argument.
    #[must_use]
    pub fn origin(&self, key: &str) -> String {
        nearest_value(&self.merged.values, &split_key(key)).map_or_else(
            || super::source::DEFAULT.to_owned(),
            |(_, value)| origin_of(&self.merged.figment, value),
        )
    }

    /// Whether nobody set the value of a key.
    pub(crate) fn is_default(&self, key: &str) -> bool {
        self.origin(key) == super::source::DEFAULT
    }

    /// Whether a key was set by tables below it.
    pub(crate) fn is_table(&self, key: &str) -> bool {
        nearest_value(&self.merged.values, &split_key(key))
            .is_some_and(|(_, value)| matches!(value, Value::Dict(..)))
    }

    /// Every setting, those in sections of plugins too, in the order of their keys.
    #[must_use]
    pub fn origins(&self) -> Vec<SettingOrigin> {
        // Variables are text; what it was read as is told instead, `8` and not `"8"`.
        let read = Value::serialize(&self.settings).ok();
        let read_as = |key: &str| {
            let value = read.as_ref()?.find_ref(key)?;
            matches!(value, Value::Num(..) | Value::Bool(..) | Value::Array(..)).then_some(value)
        };
        leaves(&self.merged.values)
            .into_iter()
            .filter(|(path, _)| path[0] != TASKS)
            .map(|(path, value)| {
                let key = path.join(".");
                let secret = path.iter().any(|part| is_secret_key(part));
                SettingOrigin {
                    value: show(read_as(&key).unwrap_or(value), secret),
                    origin: origin_of(&self.merged.figment, value),
                    key,
                }
            })
            .collect()
    }

    /// What a relative path in the value of this key is relative to: the folder of the file that it stands in.
    /// `None` means the working directory.
    #[must_use]
    pub fn base_directory(&self, key: &str) -> Option<&Path> {
        let (_, value) = nearest_value(&self.merged.values, &split_key(key))?;
        let metadata = self.merged.figment.get_metadata(first_leaf(value).tag())?;
        match metadata.source.as_ref()? {
            Source::File(path) => path.parent(),
            _ => None,
        }
    }
}

/// Settings made in code, checked, without a file and without the environment.
impl TryFrom<TloSettings> for Loaded {
    type Error = Error;
    fn try_from(settings: TloSettings) -> Result<Self> {
        TloSettings::load(&SettingsSource::empty().defaults(settings))
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the layers: sections of plugins hold secrets.
        f.debug_struct("Loaded")
            .field("settings", &self.settings)
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// The source of a value, in words.
pub(super) fn origin_of(figment: &Figment, value: &Value) -> String {
    figment
        .get_metadata(first_leaf(value).tag())
        .map_or_else(String::new, |metadata| metadata.name.to_string())
}

/// A merged table has many sources; its first value has one.
fn first_leaf(value: &Value) -> &Value {
    match value {
        Value::Dict(_, entries) => entries.values().next().map_or(value, first_leaf),
        _ => value,
    }
}
