//! What can be chosen about an LMDB store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::LmdbStore;
use super::engine::LmdbEngine;
use crate::backends::FileOptions;
use crate::backends::deadline::CALL_TIMEOUT;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::id::IdSource;
use crate::schedule::duration_text;

/// The smallest map: smaller ones have no room for a payload of the largest size.
const SMALLEST: u64 = 4 << 20;

/// What a commit waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LmdbDurability {
    /// For the disk, twice: the pages, then the page that makes them count. What was answered survives a power failure.
    #[default]
    Strict,
    /// For the pages only (`MDB_NOMETASYNC`). A power failure may take the latest commit, not more, and the store stays
    /// whole; the death of the process takes none.
    Relaxed,
}

/// Where an LMDB store is and how it behaves.
///
/// ```
/// use tlo::LmdbOptions;
/// let options = LmdbOptions { max_bytes: Some(1 << 30), ..LmdbOptions::at("tlo.lmdb") };
/// assert_eq!(options.map_bytes, 64 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LmdbOptions {
    /// The directory of the store, which has a `data.mdb` and a `lock.mdb`. It is made, for its owner only, when it is not
    /// there; the directory above it must exist.
    pub path: PathBuf,
    /// What a commit waits for; strict unless chosen otherwise.
    pub durability: LmdbDurability,
    /// Addresses that are set aside for the file at first, in bytes; the map grows by itself. Nothing of the disk is used
    /// for it. 64 MiB unless given, at least 4 MiB.
    pub map_bytes: u64,
    /// The largest size of what is kept, in bytes; writes that add to it fail as `Unavailable` beyond. An eighth more, and at
    /// least 4 MiB, is kept for settling and deleting. No limit unless given; at least 4 MiB.
    pub max_bytes: Option<u64>,
    /// How long a call may take in all, also when the disk hangs or another process keeps the lock of writers; then it ends
    /// as `Timeout`. 30 s unless given.
    #[serde(with = "duration_text")]
    pub call_timeout: Duration,
    /// Allows network and FUSE file systems, where LMDB's shared memory does not work between machines: two processes may
    /// then destroy the file.
    pub allow_network_file_system: bool,
}

impl Default for LmdbOptions {
    fn default() -> Self {
        Self::at("tlo.lmdb")
    }
}

impl LmdbOptions {
    /// The defaults, for this directory.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: LmdbDurability::default(),
            map_bytes: 64 << 20,
            max_bytes: None,
            call_timeout: CALL_TIMEOUT,
            allow_network_file_system: false,
        }
    }

    /// Opens the store, makes it when it is not there, and starts its writer. Blocks while it reads the disk.
    ///
    /// # Errors
    /// Those of [`LmdbEngine::open`].
    pub fn open(self, clock: Arc<dyn Clock>, ids: Arc<IdSource>) -> Result<LmdbStore> {
        let limit = self.call_timeout;
        let store = LmdbStore::open(LmdbEngine::open(self)?, clock, ids)?;
        Ok(store.call_timeout(limit))
    }

    /// Refuses values that cannot work.
    pub(super) fn check(&self) -> Result<()> {
        match self.wrong() {
            Some((_, message)) => Err(Error::new(ErrorKind::Configuration, "open lmdb", message)),
            None => Ok(()),
        }
    }
}

impl FileOptions for LmdbOptions {
    fn path_mut(&mut self) -> &mut PathBuf {
        &mut self.path
    }

    fn wrong(&self) -> Option<(&'static str, String)> {
        if self.path.as_os_str().is_empty() {
            let message = "the path of an LMDB store is empty; name a directory".to_owned();
            return Some(("path", message));
        }
        let too_small = |field, bytes: u64| {
            let message = format!("{field} is {bytes}; it must be at least {SMALLEST} (4 MiB)");
            (bytes < SMALLEST).then_some((field, message))
        };
        too_small("map_bytes", self.map_bytes)
            .or_else(|| {
                self.max_bytes
                    .and_then(|bytes| too_small("max_bytes", bytes))
            })
            .or_else(|| {
                let message = "call_timeout is 0; every call would end at once".to_owned();
                self.call_timeout
                    .is_zero()
                    .then_some(("call_timeout", message))
            })
    }
}
