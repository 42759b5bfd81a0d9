//! What can be chosen about a SQLite store.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backends::FileOptions;
use crate::backends::deadline::CALL_TIMEOUT;
use crate::error::{Error, ErrorKind, Result};
use crate::schedule::{duration_text, format_duration, optional_duration_text};

/// What a commit waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SqliteDurability {
    /// For the disk: `synchronous=FULL`. What was answered survives a power failure.
    #[default]
    Strict,
    /// For the operating system: `synchronous=NORMAL`. A power failure may take the latest commits; the death of the
    /// process takes none, and the file stays whole.
    Relaxed,
}

/// Where a SQLite store is and how it behaves.
///
/// ```
/// use tlo::SqliteOptions;
/// let options = SqliteOptions { readers: 2, ..SqliteOptions::at("tlo.db") };
/// assert_eq!(options.busy_timeout.as_secs(), 5);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SqliteOptions {
    /// The database file. It is made, readable by its owner only, when it is not there; its directory must exist.
    pub path: PathBuf,
    /// What a commit waits for; strict unless chosen otherwise.
    pub durability: SqliteDurability,
    /// How long a write waits for other processes that write; then it fails as `Unavailable`. 5 s unless given.
    #[serde(with = "duration_text")]
    pub busy_timeout: Duration,
    /// How long a call may take in all, also when the disk hangs; then it ends as `Timeout`. Longer than `busy_timeout`.
    /// Twice `busy_timeout` and at least 30 s unless given.
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "optional_duration_text"
    )]
    pub call_timeout: Option<Duration>,
    /// Connections for reading, 1 to 64; opened when needed. 4 unless given.
    pub readers: usize,
    /// The largest size of the database file in bytes; writes beyond it fail as `Unavailable`. No limit unless given.
    pub max_bytes: Option<u64>,
    /// Allows network and FUSE file systems, whose locks often do not work: two processes may then destroy the file.
    pub allow_network_file_system: bool,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::at("tlo.db")
    }
}

impl SqliteOptions {
    /// The defaults, for this file.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: SqliteDurability::default(),
            busy_timeout: Duration::from_secs(5),
            call_timeout: None,
            readers: 4,
            max_bytes: None,
            allow_network_file_system: false,
        }
    }

    /// How long a call may take in all: what is given, or what fits `busy_timeout`.
    pub(super) fn call_limit(&self) -> Duration {
        self.call_timeout
            .unwrap_or_else(|| CALL_TIMEOUT.max(self.busy_timeout.saturating_mul(2)))
    }

    /// Refuses values that cannot work.
    pub(super) fn check(&self) -> Result<()> {
        match self.wrong() {
            Some((_, message)) => Err(Error::new(ErrorKind::Configuration, "open sqlite", message)),
            None => Ok(()),
        }
    }
}

impl FileOptions for SqliteOptions {
    fn path_mut(&mut self) -> &mut PathBuf {
        &mut self.path
    }

    fn wrong(&self) -> Option<(&'static str, String)> {
        if self.path.as_os_str().is_empty() || self.path.as_os_str() == ":memory:" {
            let message = format!(
                "the path of a SQLite store is \"{}\"; name a file, or choose the store \"memory\"",
                self.path.display()
            );
            return Some(("path", message));
        }
        if self.call_limit() <= self.busy_timeout {
            let message = format!(
                "call_timeout is {} and busy_timeout is {}; a call must be allowed to take longer than the wait for a lock",
                format_duration(self.call_limit()),
                format_duration(self.busy_timeout)
            );
            return Some(("call_timeout", message));
        }
        if !(1..=64).contains(&self.readers) {
            let message = format!("readers is {}; it must be 1 to 64", self.readers);
            return Some(("readers", message));
        }
        None
    }
}
