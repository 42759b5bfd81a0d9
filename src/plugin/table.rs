//! The table itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::PluginRequest;
use super::kind::{Kind, Plugins};
use crate::clock::Clock;
use crate::error::Result;
use crate::id::IdSource;
use crate::registry::TaskRegistry;
use crate::settings::{Loaded, Mistake, PluginAddress, Section};
use crate::store::TaskStateStore;

const STORE: Kind = Kind {
    key: "task_state_store",
    what: "a task state store",
};

const REGISTRY: Kind = Kind {
    key: "task_registry",
    what: "a task registry",
};

/// Which names `task_state_store` and `task_registry` may have, and what each makes. A table is a value: build your
/// own and give it to the context; nothing is registered globally.
///
/// A setting is the name of a plugin (`memory`, `my_app.Dynamo`) or a URL whose scheme is the name (`sqlite:tlo.db`,
/// `redis://host`). The case of a name does not matter. A name that is added again replaces the earlier one.
///
/// ```
/// use std::sync::Arc;
/// use tlo::plugin::{PluginRequest, PluginTable};
/// use tlo::settings::{SettingsSource, TloSettings};
/// use tlo::store::TaskStateStore;
/// use tlo::{IdSource, MemoryStore, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tlo::Result<()> {
/// let plugins = PluginTable::builtin().task_state_store("my_app.Dynamo", |request: PluginRequest| async move {
///     let store = MemoryStore::new(request.clock, request.ids);
///     Ok(Arc::new(store) as Arc<dyn TaskStateStore>)
/// });
/// let source = SettingsSource::empty()
///     .sections(plugins.sections())
///     .set("task_state_store", "my_app.Dynamo");
/// let loaded = TloSettings::load(&source)?;
/// let store = plugins
///     .open_task_state_store(&loaded, SystemClock::shared(), Arc::new(IdSource::random()))
///     .await?;
/// assert_eq!(store.capability().name, "memory");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct PluginTable {
    pub(super) stores: Plugins<dyn TaskStateStore>,
    pub(super) registries: Plugins<dyn TaskRegistry>,
    /// What the sections of plugins are, by the plugins' names in lower case.
    sections: BTreeMap<String, SectionCheck>,
}

/// Finds what is wrong in a section of a plugin that this address chose.
pub(super) type SectionCheck = fn(&Section, &PluginAddress, &Loaded) -> Vec<Mistake>;

impl PluginTable {
    /// A table without plugins.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The plugins that this build of TLO has.
    #[must_use]
    pub fn builtin() -> Self {
        super::builtin::add(Self::default())
    }

    /// Adds a task state store. Its section has the same name, `[my_app.Dynamo]`, in any case.
    #[must_use]
    pub fn task_state_store<F, Fut>(mut self, name: &str, factory: F) -> Self
    where
        F: Fn(PluginRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Arc<dyn TaskStateStore>>> + Send + 'static,
    {
        self.stores.add(name, factory);
        self
    }

    /// Adds a task registry. Its section has the same name, in any case.
    #[must_use]
    pub fn task_registry<F, Fut>(mut self, name: &str, factory: F) -> Self
    where
        F: Fn(PluginRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Arc<dyn TaskRegistry>>> + Send + 'static,
    {
        self.registries.add(name, factory);
        self
    }

    /// Says which type the section of a plugin is read as, so that `tlo check` finds what is wrong in it without opening
    /// anything.
    #[must_use]
    pub fn section_type<T: DeserializeOwned>(self, name: &str) -> Self {
        self.section_check(name, |section, _, _| {
            section.check::<T>().err().unwrap_or_default()
        })
    }

    /// Says what finds mistakes in the section of a plugin.
    pub(super) fn section_check(mut self, name: &str, check: SectionCheck) -> Self {
        self.sections.insert(name.to_ascii_lowercase(), check);
        self
    }

    /// The names of all sections that plugins may have in settings, for [`SettingsSource::sections`](crate::settings::SettingsSource::sections).
    ///
    /// Plugins that are not in this build have theirs too, so that one file serves several builds.
    #[must_use]
    pub fn sections(&self) -> Vec<String> {
        let mut names = self.stores.sections();
        names.extend(self.registries.sections());
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether the settings name plugins of this table, without opening anything.
    ///
    /// # Errors
    /// Those of the `open` functions that are about names.
    pub fn check(&self, loaded: &Loaded) -> Result<()> {
        let settings = &loaded.settings;
        self.stores
            .find(&STORE, &settings.task_state_store, loaded)?;
        self.registries
            .find(&REGISTRY, &settings.task_registry, loaded)?;
        Ok(())
    }

    /// The settings that name no plugin of this table, and what is wrong in the sections of those that they name; names
    /// of this table that cannot be names, too. Opens nothing.
    #[must_use]
    pub fn mistakes(&self, loaded: &Loaded) -> Vec<Mistake> {
        let settings = &loaded.settings;
        let (store, registry) = (&settings.task_state_store, &settings.task_registry);
        let named = [
            (store, self.stores.name_of(&STORE, store, loaded)),
            (
                registry,
                self.registries.name_of(&REGISTRY, registry, loaded),
            ),
        ];
        let mut mistakes = Vec::new();
        let mut names = Vec::new();
        for (address, found) in named {
            match found {
                Ok(name) => names.push((name, address)),
                Err(misnamed) => mistakes.push(misnamed.into_mistake()),
            }
        }
        names.dedup_by(|(second, _), (first, _)| first == second);
        for (name, address) in names {
            if let Some(check) = self.sections.get(&name) {
                mistakes.extend(check(&loaded.section(&name), address, loaded));
            }
        }
        mistakes
    }

    /// Makes the store that `task_state_store` names.
    ///
    /// # Errors
    /// `UnknownPlugin` for a name that no plugin has, with the known ones, the nearest, and where it came from;
    /// `Unsupported` for one that is not in this build, with the feature that brings it; else what the plugin says.
    pub async fn open_task_state_store(
        &self,
        loaded: &Loaded,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<Arc<dyn TaskStateStore>> {
        let address = &loaded.settings.task_state_store;
        let plugin = self.stores.find(&STORE, address, loaded)?;
        plugin.make(&STORE, address, loaded, clock, ids).await
    }

    /// Makes the registry that `task_registry` names.
    ///
    /// # Errors
    /// As [`open_task_state_store`](Self::open_task_state_store).
    pub async fn open_task_registry(
        &self,
        loaded: &Loaded,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<Arc<dyn TaskRegistry>> {
        let address = &loaded.settings.task_registry;
        let plugin = self.registries.find(&REGISTRY, address, loaded)?;
        plugin.make(&REGISTRY, address, loaded, clock, ids).await
    }
}

impl fmt::Debug for PluginTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginTable")
            .field("task_state_stores", &self.stores.names())
            .field("task_registries", &self.registries.names())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::settings::{SettingsSource, TloSettings};

    #[test]
    fn a_plugin_that_is_not_in_this_build_says_which_feature_brings_it() {
        let mut plugins = PluginTable::builtin();
        plugins.stores.not_built("Dynamo", "dynamo");
        plugins.stores.alias("dynamos", "Dynamo");
        assert!(plugins.sections().contains(&"dynamo".to_owned()));
        for (value, part) in [
            (
                "dynamo://me:canary@h",
                "task_state_store = \"dynamo://me:***@h\" (argument): \"dynamo\" is not in this build; \
                 build it with the feature \"dynamo\"",
            ),
            ("dynamos://h", "build it with the feature \"dynamo\""),
            ("dynmao", "did you mean dynamo?"),
        ] {
            let source = SettingsSource::empty()
                .sections(plugins.sections())
                .environment([("TLO_DYNAMO__PREFIX", "x")])
                .set("task_state_store", value);
            let loaded = TloSettings::load(&source).unwrap();
            let error = plugins.check(&loaded).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            let unknown = error.kind() == ErrorKind::UnknownPlugin;
            assert_eq!(unknown, value == "dynmao", "{error:?}");
        }
    }
}
