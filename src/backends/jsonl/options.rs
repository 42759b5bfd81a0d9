//! What can be chosen about a JSONL store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::JsonlStore;
use super::engine::JsonlEngine;
use crate::backends::FileOptions;
use crate::backends::deadline::CALL_TIMEOUT;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::id::IdSource;
use crate::schedule::duration_text;

/// What a commit waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JsonlDurability {
    /// For the disk. What was answered survives a power failure.
    #[default]
    Strict,
    /// For the operating system; the disk is waited for by upkeep. A power failure may take the latest commits, and may leave
    /// a log that must be mended by hand; the death of the process takes none.
    Relaxed,
}

/// Where a JSONL store is and how it behaves.
///
/// ```
/// use tlo::JsonlOptions;
/// let options = JsonlOptions { compact_bytes: 1 << 20, ..JsonlOptions::at("tlo.jsonl") };
/// assert_eq!(options.compact_ratio, 4);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonlOptions {
    /// The log. It is made, readable by its owner only, when it is not there; its directory must exist, and gets a
    /// `.lock` beside it.
    pub path: PathBuf,
    /// What a commit waits for; strict unless chosen otherwise.
    pub durability: JsonlDurability,
    /// A log smaller than this is not compacted. In bytes; 16 MiB unless given.
    pub compact_bytes: u64,
    /// A log this many times larger than what is in it is compacted. At least 2; 4 unless given.
    pub compact_ratio: u64,
    /// How long a call may take in all, also when the disk hangs; then it ends as `Timeout`. 30 s unless given.
    #[serde(with = "duration_text")]
    pub call_timeout: Duration,
    /// Allows network and FUSE file systems, whose locks often do not work: two processes may then write one log.
    pub allow_network_file_system: bool,
}

impl Default for JsonlOptions {
    fn default() -> Self {
        Self::at("tlo.jsonl")
    }
}

impl JsonlOptions {
    /// The defaults, for this file.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: JsonlDurability::default(),
            compact_bytes: 16 << 20,
            compact_ratio: 4,
            call_timeout: CALL_TIMEOUT,
            allow_network_file_system: false,
        }
    }

    /// Opens the store, makes it when it is not there, and starts its writer. Blocks while it reads all of the log.
    ///
    /// # Errors
    /// Those of [`JsonlEngine::open`].
    pub fn open(self, clock: Arc<dyn Clock>, ids: Arc<IdSource>) -> Result<JsonlStore> {
        let limit = self.call_timeout;
        let store = JsonlStore::open(JsonlEngine::open(self)?, clock, ids)?;
        Ok(store.call_timeout(limit))
    }

    /// Refuses values that cannot work.
    pub(super) fn check(&self) -> Result<()> {
        match self.wrong() {
            Some((_, message)) => Err(Error::new(ErrorKind::Configuration, "open jsonl", message)),
            None => Ok(()),
        }
    }
}

impl FileOptions for JsonlOptions {
    fn path_mut(&mut self) -> &mut PathBuf {
        &mut self.path
    }

    fn wrong(&self) -> Option<(&'static str, String)> {
        if self.path.as_os_str().is_empty() {
            let message = "the path of a JSONL store is empty; name a file".to_owned();
            return Some(("path", message));
        }
        if self.compact_ratio < 2 {
            let message = format!(
                "compact_ratio is {}; it must be at least 2",
                self.compact_ratio
            );
            return Some(("compact_ratio", message));
        }
        if self.call_timeout.is_zero() {
            let message = "call_timeout is 0; every call would end at once".to_owned();
            return Some(("call_timeout", message));
        }
        None
    }
}
