//! Transactions over the journal.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use super::fault::fault;
use super::journal::{Journal, Seen};
use super::options::{JsonlDurability, JsonlOptions};
use crate::backends::disk::describe;
use crate::backends::opened::Shared;
use crate::error::Result;
use crate::store::kv::{RowEngine, Rows};
use crate::store::{Capability, Durability, Retention};

/// How long ended records are kept, by default: each takes memory.
const KEPT: Retention = Retention {
    age: Some(Duration::from_secs(86_400)),
    count: Some(100_000),
};

/// What is known about an open log; `tlo doctor` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JsonlFacts {
    /// The log.
    pub path: PathBuf,
    /// Its size in bytes.
    pub file_bytes: u64,
    /// What of it counts, about, in bytes.
    pub live_bytes: u64,
    /// How many rows there are in memory.
    pub rows: u64,
    /// The number of the last group.
    pub last_group: u64,
    /// Compactions since it was opened.
    pub compactions: u64,
}

/// Rows in memory and in a log: what [`JsonlStore`](super::JsonlStore) stands on.
pub struct JsonlEngine {
    journal: Shared<Journal>,
    seen: Seen,
    /// What was read back at the opening or the latest upkeep: who asks what the store can do must not wait for a disk.
    facts: Mutex<Vec<(&'static str, String)>>,
}

impl fmt::Debug for JsonlEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonlEngine")
            .field("journal", &self.journal)
            .finish_non_exhaustive()
    }
}

impl JsonlEngine {
    /// Opens the log, makes it when it is not there, and reads it into memory. A write at its end that was not finished,
    /// and so never answered, is cut off.
    ///
    /// A log that this process has open is shared, by a path however it is spelled.
    ///
    /// # Errors
    /// `Configuration` for options that cannot work, a missing directory, a file of another program or build, or one that may
    /// not be written; `Unavailable` when another process has it open, which is named, or the disk fails; `Corrupt`
    /// with the number of the line when something before its end is not as it was written.
    pub fn open(options: JsonlOptions) -> Result<Self> {
        options.check()?;
        let journal = Journal::share(options)?;
        let engine = Self {
            journal,
            seen: Seen::default(),
            facts: Mutex::default(),
        };
        engine.journal.look(&engine.seen);
        engine.note_facts();
        Ok(engine)
    }

    /// The log and its sizes.
    #[must_use]
    pub fn facts(&self) -> JsonlFacts {
        let core = &self.journal.core;
        let log = core.log.lock();
        JsonlFacts {
            path: core.place.log.clone(),
            file_bytes: log.end,
            live_bytes: core.live.load(Ordering::Relaxed),
            rows: core.tree.read().len() as u64,
            last_group: log.number,
            compactions: core.compactions.load(Ordering::Relaxed),
        }
    }

    fn note_facts(&self) {
        let facts = self.facts();
        let core = &self.journal.core;
        let synchronous = match core.options.durability {
            JsonlDurability::Strict => "the disk at each group of commits",
            JsonlDurability::Relaxed => "the disk at upkeep",
        };
        let mut lines = vec![
            (
                "log",
                format!(
                    "{} bytes, about {} of them count",
                    facts.file_bytes, facts.live_bytes
                ),
            ),
            ("rows", format!("{} in memory", facts.rows)),
            ("synchronous", synchronous.to_owned()),
            ("lock", "held by this process alone".to_owned()),
        ];
        lines.extend(describe(core.place.directory()).map(|disk| ("disk", disk)));
        *self.facts.lock() = lines;
    }
}

impl RowEngine for JsonlEngine {
    fn capability(&self) -> Capability {
        let path = self.journal.path().display();
        let (durability, promise) = match self.journal.core.options.durability {
            JsonlDurability::Strict => (
                Durability::Power,
                format!(
                    "in memory and in the log {path}; what was answered survives a power failure"
                ),
            ),
            JsonlDurability::Relaxed => (
                Durability::Process,
                format!(
                    "in memory and in the log {path}; a power failure may take the latest commits (durability = \"relaxed\")"
                ),
            ),
        };
        Capability {
            name: "jsonl",
            durability,
            shared: false,
            pushes: false,
            retention: KEPT,
            poll: Duration::from_secs(1),
            promise,
            facts: self.facts.lock().clone(),
        }
    }

    fn write(&self, run: &mut dyn FnMut(&mut dyn Rows) -> Result<()>) -> Result<()> {
        self.journal.write(&self.seen, run)
    }

    fn read(&self, run: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()> {
        self.journal.read(run)
    }

    /// Other handles of this process: no other process can write.
    fn foreign_writes(&self) -> Result<Option<u64>> {
        self.journal.look(&self.seen);
        Ok(Some(self.seen.foreign.load(Ordering::Relaxed)))
    }

    fn check(&self) -> Result<Vec<String>> {
        self.note_facts();
        self.journal.check()
    }

    fn upkeep(&self) -> Result<()> {
        let core = &self.journal.core;
        {
            let log = core.log.lock();
            log.check(self.journal.path())?;
            log.sync()
                .map_err(|source| fault(self.journal.path(), "upkeep", source))?;
        }
        self.note_facts();
        Ok(())
    }
}
