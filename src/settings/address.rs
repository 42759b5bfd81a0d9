//! [`PluginAddress`]: which plugin, and where.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::redact::redact;

/// The name of a plugin, or a URL whose scheme is the name: `memory`, `my_app.Dynamo`, `sqlite:tlo.db`,
/// `redis://user:password@host/0`.
///
/// The case of the name does not matter, as in any URL. `Debug`, `Display` and `Serialize` hide the password, so
/// what they write is for people; [`url`](Self::url) gives the whole text to the plugin.
///
/// ```
/// use tlo::settings::PluginAddress;
/// let address = PluginAddress::from("redis://me:hunter2@host/0");
/// assert_eq!(address.name(), "redis");
/// assert_eq!(address.to_string(), "redis://me:***@host/0");
/// assert_eq!(PluginAddress::from("sqlite:tlo.db").path(), Some("tlo.db"));
/// assert_eq!(PluginAddress::from("memory").url(), None);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PluginAddress(String);

impl PluginAddress {
    /// The part before the first colon, or all of it: the name of the plugin, as written.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once(':').map_or(&self.0, |(name, _)| name)
    }

    /// The whole text with its password, when it is a URL and not a bare name.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.0.contains(':').then_some(self.0.as_str())
    }

    /// What a URL of a file names: the part after the colon, without a leading `//`. `None` for a bare name and for
    /// a scheme alone (`sqlite:`).
    ///
    /// A plugin asks `PluginRequest::path`, which also knows what the path is relative to.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        let (_, rest) = self.0.split_once(':')?;
        let path = rest.strip_prefix("//").unwrap_or(rest);
        (!path.is_empty()).then_some(path)
    }

    /// The whole text with its password.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for PluginAddress {
    fn from(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

impl From<String> for PluginAddress {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl FromStr for PluginAddress {
    type Err = Infallible;
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::from(text))
    }
}

impl fmt::Display for PluginAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

impl fmt::Debug for PluginAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PluginAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PluginAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let address = super::scalar::text(deserializer, "the name of a plugin or a URL")?;
        if address.trim().is_empty() {
            return Err(serde::de::Error::custom(
                "is empty; write the name of a plugin or a URL, or leave it out",
            ));
        }
        Ok(Self::from(address))
    }
}
