//! Transactions over the environment.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::environment::{Environment, Opened};
use super::fault::full;
use super::options::{LmdbDurability, LmdbOptions};
use super::rows::{Reading, Writing};
use super::upkeep::{self, LmdbFacts};
use crate::backends::opened::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::store::kv::{RowEngine, Rows};
use crate::store::{Capability, Durability, Retention};

/// Rows that a transaction may add beyond `max_bytes`: fewer than a new task has, enough to settle one.
const FEW_ROWS: usize = 3;

/// Rows in an LMDB environment: what [`LmdbStore`](super::LmdbStore) stands on.
pub struct LmdbEngine {
    environment: Shared<Environment>,
    /// The number of the last transaction that this handle wrote or has seen.
    seen: Mutex<usize>,
    /// Grows whenever somebody else was seen to have written.
    foreign: AtomicU64,
    /// What was read back at the opening or the latest upkeep: who asks what the store can do must not wait for a disk.
    facts: Mutex<Vec<(&'static str, String)>>,
}

impl fmt::Debug for LmdbEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LmdbEngine")
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

impl LmdbEngine {
    /// Opens the directory, makes it when it is not there, and gives back the reader slots of processes that died.
    ///
    /// A directory that this process has open is shared, by a path however it is spelled.
    ///
    /// # Errors
    /// `Configuration` for options that cannot work or differ from those it is open with, a missing directory above, a file
    /// or directory of another program or build, or one that may not be written; `Unavailable` when the disk fails.
    pub fn open(options: LmdbOptions) -> Result<Self> {
        options.check()?;
        let environment = Environment::share(options)?;
        let engine = Self {
            environment,
            seen: Mutex::new(0),
            foreign: AtomicU64::new(0),
            facts: Mutex::default(),
        };
        *engine.seen.lock() = engine.last_written().unwrap_or_default();
        engine.note_facts()?;
        Ok(engine)
    }

    /// The directory, its sizes, and its settings as LMDB reports them.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn facts(&self) -> Result<LmdbFacts> {
        upkeep::facts(&self.environment)
    }

    fn note_facts(&self) -> Result<()> {
        let facts = self.facts()?;
        *self.facts.lock() = upkeep::lines(&self.environment, &facts);
        Ok(())
    }

    fn last_written(&self) -> Option<usize> {
        self.environment
            .glance(|opened| opened.env.info().last_txn_id)
    }

    fn transact(
        &self,
        opened: &Opened,
        seen: &mut usize,
        run: &mut dyn FnMut(&mut dyn Rows) -> Result<()>,
    ) -> Result<()> {
        let path = self.environment.path();
        let fault = |source| super::fault::fault(path, "commit", source);
        let txn = self.environment.write(opened)?;
        let number = txn.id();
        if *seen + 1 != number {
            *seen = number - 1;
            self.foreign.fetch_add(1, Ordering::Relaxed);
        }
        let mut rows = Writing {
            path,
            rows: opened.rows,
            txn,
            changed: false,
        };
        let before = opened.rows.len(&rows.txn).map_err(fault)?;
        run(&mut rows)?;
        if !rows.changed {
            return Ok(());
        }
        if let Some(max_bytes) = self.environment.options.max_bytes {
            let after = opened.rows.stat(&rows.txn).map_err(fault)?;
            let added = (after.entries as u64).saturating_sub(before);
            if added > FEW_ROWS as u64 && after.non_free_page_size() as u64 > max_bytes {
                return Err(Error::new(ErrorKind::Unavailable, "commit", full(path)));
            }
        }
        rows.txn.commit().map_err(fault)?;
        *seen = number;
        Ok(())
    }
}

impl RowEngine for LmdbEngine {
    fn capability(&self) -> Capability {
        let path = self.environment.path().display();
        let (durability, promise) = match self.environment.options.durability {
            LmdbDurability::Strict => (
                Durability::Power,
                format!("in the directory {path}; what was answered survives a power failure"),
            ),
            LmdbDurability::Relaxed => (
                Durability::Process,
                format!(
                    "in the directory {path}; a power failure may take the latest commit (durability = \"relaxed\")"
                ),
            ),
        };
        Capability {
            name: "lmdb",
            durability,
            shared: true,
            pushes: false,
            retention: Retention::default(),
            poll: Duration::from_secs(1),
            promise,
            facts: self.facts.lock().clone(),
        }
    }

    fn write(&self, run: &mut dyn FnMut(&mut dyn Rows) -> Result<()>) -> Result<()> {
        self.environment.place.check()?;
        let mut seen = self.seen.lock();
        self.environment.make_room()?;
        self.environment
            .using(|opened| self.transact(opened, &mut seen, run))
    }

    fn read(&self, run: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()> {
        self.environment.using(|opened| {
            let txn = self.environment.read(opened)?;
            run(&Reading {
                path: self.environment.path(),
                rows: opened.rows,
                txn: &txn,
            })
        })
    }

    fn foreign_writes(&self) -> Result<Option<u64>> {
        // A writer at work looks for itself, at the start of each transaction.
        if let Some(mut seen) = self.seen.try_lock()
            && let Some(last) = self.last_written()
            && last != *seen
        {
            *seen = last;
            self.foreign.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Some(self.foreign.load(Ordering::Relaxed)))
    }

    fn check(&self) -> Result<Vec<String>> {
        self.note_facts()?;
        upkeep::check(&self.environment)
    }

    fn upkeep(&self) -> Result<()> {
        self.environment.place.check()?;
        upkeep::run(&self.environment)?;
        self.note_facts()
    }
}
