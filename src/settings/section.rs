//! [`Section`]: the settings of one plugin.

use std::fmt;
use std::sync::Arc;

use figment::value::{Dict, Value};
use serde::de::DeserializeOwned;

use super::extract::extract;
use super::layer::{take, value_at};
use super::loaded::{Merged, origin_of};
use super::mistake::{Mistake, describe, error_of};
use crate::error::Result;

/// The settings of one plugin: `[sqlite]` in the file, `TLO_SQLITE__…` in the environment.
///
/// The plugin says what may stand there by the type it reads. Text from the environment is read as a number or a
/// boolean where the type wants one (a short decimal with the precision of `f32`); a
/// [`RelativePathBuf`](super::RelativePathBuf) is relative to the file that it stands in; a
/// [`Secret`](super::Secret) never shows itself. Give the type `#[serde(deny_unknown_fields)]`, so that a misspelt key
/// is found.
///
/// ```
/// use serde::Deserialize;
/// use tlo::settings::{SettingsSource, TloSettings};
///
/// #[derive(Debug, Default, Deserialize)]
/// #[serde(default, deny_unknown_fields)]
/// struct Dynamo { region: String, retries: u8 }
///
/// let source = SettingsSource::empty().section("my_app.Dynamo").environment([
///     ("TLO_MY_APP__DYNAMO__REGION", "eu-central-1"),
///     ("TLO_MY_APP__DYNAMO__RETRIES", "3"),
/// ]);
/// let dynamo: Dynamo = TloSettings::load(&source)?.section("my_app.Dynamo").extract()?;
/// assert_eq!((dynamo.region.as_str(), dynamo.retries), ("eu-central-1", 3));
/// # Ok::<(), tlo::Error>(())
/// ```
#[derive(Clone)]
pub struct Section {
    merged: Arc<Merged>,
    path: Vec<String>,
}

impl Section {
    pub(super) fn new(merged: Arc<Merged>, path: Vec<String>) -> Self {
        Self { merged, path }
    }

    /// Its name with dots, in lower case.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.join(".")
    }

    /// Whether any source sets something in it.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !matches!(
            value_at(&self.merged.values, &self.path),
            None | Some(Value::Empty(..))
        )
    }

    /// The section as this type. A section that nobody set reads as an empty one.
    ///
    /// # Errors
    /// `Configuration` with every mistake: its key, value and source, and what would be right.
    pub fn extract<T: DeserializeOwned>(&self) -> Result<T> {
        self.check().map_err(|mistakes| error_of(&mistakes))
    }

    /// As [`extract`](Self::extract), with the mistakes one by one.
    ///
    /// # Errors
    /// Every mistake.
    pub fn check<T: DeserializeOwned>(&self) -> std::result::Result<T, Vec<Mistake>> {
        let Merged {
            figment, values, ..
        } = &*self.merged;
        extract(figment, self.values()).map_err(|errors| {
            let mistakes = errors.into_iter().map(|mut error| {
                error.path.splice(0..0, self.path.iter().cloned());
                describe(&error, values, &[], |value| origin_of(figment, value))
            });
            mistakes.collect()
        })
    }

    /// What stands in it, without the sections of others that are nested in it.
    fn values(&self) -> Dict {
        let Some(Value::Dict(_, values)) = value_at(&self.merged.values, &self.path) else {
            return Dict::new();
        };
        let mut values = values.clone();
        for section in &self.merged.sections {
            if let Some(nested @ [_, ..]) = section.strip_prefix(&self.path[..]) {
                take(&mut values, nested);
            }
        }
        values
    }

    /// The section as this type, or `None` when nobody set it or somebody set it to none.
    ///
    /// # Errors
    /// As [`extract`](Self::extract).
    pub fn optional<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.is_set().then(|| self.extract()).transpose()
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its values may be secrets that only the plugin knows to be such.
        f.debug_tuple("Section").field(&self.name()).finish()
    }
}
