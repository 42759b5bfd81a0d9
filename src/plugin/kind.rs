//! The plugins of one kind: finding one by its name, and making what it makes.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use super::PluginRequest;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::id::IdSource;
use crate::schedule::nearest::nearest;
use crate::settings::{Loaded, Mistake, PluginAddress};

type Made<T> = Pin<Box<dyn Future<Output = Result<Arc<T>>> + Send>>;
type Factory<T> = Arc<dyn Fn(PluginRequest) -> Made<T> + Send + Sync>;

/// A kind of plugin in words.
pub(super) struct Kind {
    /// The setting that names one.
    pub(super) key: &'static str,
    /// What it is.
    pub(super) what: &'static str,
}

/// The plugins of one kind; all keys are in lower case.
pub(super) struct Plugins<T: ?Sized> {
    built: BTreeMap<String, Plugin<T>>,
    /// Other spellings, and what they stand for.
    aliases: BTreeMap<String, String>,
    /// Names that exist and are not in this build, with the feature that brings them.
    not_built: BTreeMap<String, String>,
    /// Names that were added and cannot be names.
    refused: Vec<String>,
}

/// Why an address finds no plugin.
pub(super) enum Misnamed {
    /// The table itself is wrong, whatever is set.
    Table(Mistake),
    /// The setting names none.
    Setting { kind: ErrorKind, mistake: Mistake },
}

impl Misnamed {
    pub(super) fn into_mistake(self) -> Mistake {
        match self {
            Self::Table(mistake) | Self::Setting { mistake, .. } => mistake,
        }
    }
}

impl From<Misnamed> for Error {
    fn from(misnamed: Misnamed) -> Self {
        match misnamed {
            Misnamed::Table(mistake) => Self::invalid("plugin", mistake.to_string()),
            Misnamed::Setting { kind, mistake } => Self::new(kind, "plugin", mistake.to_string()),
        }
    }
}

/// One plugin.
pub(super) struct Plugin<T: ?Sized> {
    /// Its name as it was added.
    name: String,
    factory: Factory<T>,
}

impl<T: ?Sized + 'static> Plugins<T> {
    pub(super) fn add<F, Fut>(&mut self, name: &str, factory: F)
    where
        F: Fn(PluginRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Arc<T>>> + Send + 'static,
    {
        if !is_name(name) {
            self.refused.push(name.to_owned());
            return;
        }
        let plugin = Plugin {
            name: name.to_owned(),
            factory: Arc::new(move |request| Box::pin(factory(request)) as Made<T>),
        };
        self.built.insert(name.to_ascii_lowercase(), plugin);
    }

    /// Another spelling of a name.
    pub(super) fn alias(&mut self, spelling: &str, name: &str) {
        self.aliases
            .insert(spelling.to_ascii_lowercase(), name.to_ascii_lowercase());
    }

    /// A plugin that exists and is not in this build.
    #[allow(
        dead_code,
        reason = "a build with every plugin there is has no use for it"
    )]
    pub(super) fn not_built(&mut self, name: &str, feature: &str) {
        self.not_built
            .insert(name.to_ascii_lowercase(), feature.to_owned());
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.built
            .values()
            .map(|plugin| plugin.name.as_str())
            .collect()
    }

    pub(super) fn sections(&self) -> Vec<String> {
        self.built
            .keys()
            .chain(self.not_built.keys())
            .cloned()
            .collect()
    }

    /// The plugin that the address names.
    pub(super) fn find(
        &self,
        kind: &Kind,
        address: &PluginAddress,
        loaded: &Loaded,
    ) -> std::result::Result<&Plugin<T>, Misnamed> {
        let Kind { key, what } = kind;
        // Its key is that of the setting, so that nobody takes it for a mistake of the file as a whole.
        if let Some(name) = self.refused.first() {
            return Err(Misnamed::Table(Mistake {
                key: (*key).to_owned(),
                value: None,
                origin: "a plugin that the program adds".to_owned(),
                reason: format!(
                    "\"{name}\" cannot name a plugin; use letters, digits, _ and -, in parts joined by dots"
                ),
            }));
        }
        let wanted = address.name().to_ascii_lowercase();
        let name = self.aliases.get(&wanted).unwrap_or(&wanted);
        if let Some(plugin) = self.built.get(name) {
            return Ok(plugin);
        }
        let misnamed = |error: ErrorKind, reason: String| Misnamed::Setting {
            kind: error,
            mistake: Mistake {
                key: (*key).to_owned(),
                value: Some(format!("\"{address}\"")),
                origin: loaded.origin(key),
                reason,
            },
        };
        if let Some(feature) = self.not_built.get(name) {
            return Err(misnamed(
                ErrorKind::Unsupported,
                format!("\"{name}\" is not in this build; build it with the feature \"{feature}\""),
            ));
        }
        let known = self.built.keys().chain(self.not_built.keys());
        let spellings = known.clone().chain(self.aliases.keys());
        let meant = nearest(&wanted, spellings.map(String::as_str), 1)
            .first()
            .map(|meant| format!("; did you mean {}?", self.as_added(meant)))
            .unwrap_or_default();
        let known: Vec<&str> = known.map(|name| self.as_added(name)).collect();
        let known = known.join(", ");
        Err(misnamed(
            ErrorKind::UnknownPlugin,
            format!("no plugin of that name is {what}; known are {known}{meant}"),
        ))
    }

    /// The name of the plugin that the address names, in lower case.
    pub(super) fn name_of(
        &self,
        kind: &Kind,
        address: &PluginAddress,
        loaded: &Loaded,
    ) -> std::result::Result<String, Misnamed> {
        let plugin = self.find(kind, address, loaded)?;
        Ok(plugin.name.to_ascii_lowercase())
    }

    /// The name as its author wrote it.
    fn as_added<'a>(&'a self, name: &'a str) -> &'a str {
        let name = self.aliases.get(name).map_or(name, String::as_str);
        self.built.get(name).map_or(name, |plugin| &plugin.name)
    }
}

/// A name is the scheme of URLs and the key of a section.
fn is_name(name: &str) -> bool {
    name.split('.').all(|part| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    })
}

impl<T: ?Sized + 'static> Plugin<T> {
    pub(super) async fn make(
        &self,
        kind: &Kind,
        address: &PluginAddress,
        loaded: &Loaded,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<Arc<T>> {
        let request = PluginRequest {
            address: address.clone(),
            settings: Arc::new(loaded.settings.clone()),
            section: loaded.section(&self.name),
            clock,
            ids,
            base: loaded.base_directory(kind.key).map(Path::to_owned),
        };
        (self.factory)(request).await
    }
}

impl<T: ?Sized> Clone for Plugins<T> {
    fn clone(&self) -> Self {
        Self {
            built: self.built.clone(),
            aliases: self.aliases.clone(),
            not_built: self.not_built.clone(),
            refused: self.refused.clone(),
        }
    }
}

impl<T: ?Sized> Clone for Plugin<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            factory: Arc::clone(&self.factory),
        }
    }
}

impl<T: ?Sized> Default for Plugins<T> {
    fn default() -> Self {
        Self {
            built: BTreeMap::new(),
            aliases: BTreeMap::new(),
            not_built: BTreeMap::new(),
            refused: Vec::new(),
        }
    }
}
