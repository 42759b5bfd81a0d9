//! [`PluginRequest`]: what a factory is given.

use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::Clock;
use crate::id::IdSource;
use crate::settings::{PluginAddress, Section, TloSettings};

/// What a factory is given to make a store or a registry.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PluginRequest {
    /// The name or URL that chose the plugin. Its `url()` has the password that its `Display` hides.
    pub address: PluginAddress,
    /// All settings.
    pub settings: Arc<TloSettings>,
    /// The plugin's own section.
    pub section: Section,
    /// The time, which tests move.
    pub clock: Arc<dyn Clock>,
    /// Ids and randomness, which tests seed.
    pub ids: Arc<IdSource>,
    pub(super) base: Option<PathBuf>,
}

impl PluginRequest {
    /// The URL, when the plugin was chosen by one.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.address.url()
    }

    /// The file that the URL names, as `sqlite:tlo.db` does: relative to the configuration file when it stands there,
    /// else to the working directory.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        let path = self.address.path()?;
        Some(match &self.base {
            Some(base) => base.join(path),
            None => PathBuf::from(path),
        })
    }
}
