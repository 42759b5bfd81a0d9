//! What the options of stores in files have in common.

use std::path::PathBuf;

use serde::de::DeserializeOwned;

/// Options with a path, which the address of a store may set.
pub(crate) trait FileOptions: DeserializeOwned {
    /// Where the store is.
    fn path_mut(&mut self) -> &mut PathBuf;

    /// The first field whose value cannot work, and why.
    fn wrong(&self) -> Option<(&'static str, String)>;
}
