//! Transactions over the file: one connection that writes, a few that read.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::connection::Connector;
use super::fault::spoils;
use super::options::{SqliteDurability, SqliteOptions};
use super::patience::wait_at_most;
use super::place::Place;
use super::readers::Readers;
use super::rows::SqliteRows;
use super::upkeep;
use crate::error::Result;
use crate::id::IdSource;
use crate::store::kv::{RowEngine, Rows};
use crate::store::{Capability, Durability, Retention};

/// Rows in a SQLite database: what [`SqliteStore`](super::SqliteStore) stands on.
pub struct SqliteEngine {
    connector: Connector,
    writer: Mutex<Writer>,
    readers: Readers,
    /// Grows whenever somebody else was seen to have written.
    foreign: AtomicU64,
    /// The file was left open by a process that died, and has not been looked through since.
    pub(super) unclean: AtomicBool,
    /// How many bytes its log had when that was last warned of.
    pub(super) warned_of: AtomicU64,
    /// What was read back at the opening or the latest upkeep: who asks what the store can do must not wait for a disk.
    facts: Mutex<Facts>,
}

type Facts = Vec<(&'static str, String)>;

#[derive(Default)]
struct Writer {
    /// `None` after a failure, and while it is in use.
    connection: Option<Connection>,
    /// SQLite's number for commits by other connections, as this connection last saw it.
    seen: i64,
}

impl fmt::Debug for SqliteEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteEngine")
            .field("options", &self.connector.options)
            .finish_non_exhaustive()
    }
}

impl SqliteEngine {
    /// Opens the file, makes it when it is not there, and brings its layout up to date.
    ///
    /// # Errors
    /// `Configuration` for options that cannot work, a missing directory, a file of another program or of a newer
    /// build, or one that may not be written; `Corrupt` for a damaged file; `Unavailable` when the disk fails or the
    /// file stays locked.
    pub fn open(options: SqliteOptions, ids: Arc<IdSource>) -> Result<Self> {
        options.check()?;
        let turn = Place::turn();
        let place = Place::find(&options.path, options.allow_network_file_system)?;
        let connector = Connector {
            place,
            options,
            ids,
        };
        let mut unclean = false;
        let connection = connector.patiently(|| {
            unclean |= upkeep::was_left_open(&connector)?;
            connector.prepared_writer()
        })?;
        drop(turn);
        let engine = Self {
            connector,
            writer: Mutex::default(),
            readers: Readers::default(),
            foreign: AtomicU64::new(0),
            unclean: AtomicBool::new(unclean),
            warned_of: AtomicU64::new(0),
            facts: Mutex::default(),
        };
        engine.note_facts();
        {
            let mut writer = engine.writer.lock();
            writer.seen = engine.data_version(&connection)?;
            writer.connection = Some(connection);
        }
        Ok(engine)
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Runs `run` in one read transaction.
    pub(super) fn viewing<T>(&self, run: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.readers.with(&self.connector, |connection| {
            self.execute(connection, "BEGIN")?;
            let answer = run(connection);
            let ended = self.execute(connection, "ROLLBACK");
            let answer = answer?;
            ended.map(|()| answer)
        })
    }

    fn execute(&self, connection: &Connection, sql: &'static str) -> Result<()> {
        connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map_err(|source| self.connector.fault(sql, source))
            .map(drop)
    }

    fn data_version(&self, connection: &Connection) -> Result<i64> {
        connection
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(|source| self.connector.fault("look for changes", source))
    }

    /// Counts a change of the data version: commits of this connection do not change it.
    fn look(&self, connection: &Connection, seen: &mut i64) -> Result<()> {
        let version = self.data_version(connection)?;
        if version != *seen {
            *seen = version;
            self.foreign.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn reopen(&self, seen: &mut i64) -> Result<Connection> {
        let _turn = Place::turn();
        let connector = &self.connector;
        let connection = connector.patiently(|| connector.prepared_writer())?;
        // What happened meanwhile is not known.
        *seen = self.data_version(&connection)?;
        self.foreign.fetch_add(1, Ordering::Relaxed);
        Ok(connection)
    }

    fn transact(
        &self,
        connection: &Connection,
        seen: &mut i64,
        run: &mut dyn FnMut(&mut dyn Rows) -> Result<()>,
    ) -> Result<()> {
        wait_at_most(self.connector.options.busy_timeout);
        self.execute(connection, "BEGIN IMMEDIATE")?;
        let done = self.look(connection, seen).and_then(|()| {
            run(&mut SqliteRows::new(
                self.connector.place.path(),
                connection,
                true,
            )?)?;
            self.execute(connection, "COMMIT")
        });
        // Some failures have rolled back already.
        if done.is_err() && !connection.is_autocommit() {
            self.execute(connection, "ROLLBACK")?;
        }
        done
    }
}

impl SqliteEngine {
    /// What was asserted when the file was opened, and how large it is.
    fn read_back(&self) -> Facts {
        let place = &self.connector.place;
        let synchronous = match self.connector.options.durability {
            SqliteDurability::Strict => "FULL",
            SqliteDurability::Relaxed => "NORMAL",
        };
        let disk = place
            .path()
            .parent()
            .and_then(crate::backends::disk::describe);
        let mut facts = vec![
            ("sqlite", rusqlite::version().to_owned()),
            ("journal", "wal, read back".to_owned()),
            ("synchronous", format!("{synchronous}, read back")),
            (
                "file",
                format!(
                    "{} bytes, and {} in the write-ahead log",
                    place.bytes(),
                    place.wal_bytes()
                ),
            ),
        ];
        facts.extend(disk.map(|disk| ("disk", disk)));
        facts
    }

    /// Asks the disk, so only where that may block.
    fn note_facts(&self) {
        let facts = self.read_back();
        *self.facts.lock() = facts;
    }
}

impl RowEngine for SqliteEngine {
    fn capability(&self) -> Capability {
        let path = self.connector.place.path().display();
        let (durability, promise) = match self.connector.options.durability {
            SqliteDurability::Strict => (
                Durability::Power,
                format!("in the file {path}; what was answered survives a power failure"),
            ),
            SqliteDurability::Relaxed => (
                Durability::Process,
                format!(
                    "in the file {path}; a power failure may take the latest commits (durability = \"relaxed\")"
                ),
            ),
        };
        Capability {
            name: "sqlite",
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
        self.connector.place.check()?;
        let mut writer = self.writer.lock();
        let mut seen = writer.seen;
        // Out of its place while in use: a panic closes it, which rolls back.
        let connection = match writer.connection.take() {
            Some(connection) => {
                if let Err(error) = self.connector.place.check_log() {
                    writer.connection = Some(connection);
                    return Err(error);
                }
                connection
            }
            None => self.reopen(&mut seen)?,
        };
        let done = self.transact(&connection, &mut seen, run);
        writer.seen = seen;
        let keep = done.as_ref().err().is_none_or(|error| !spoils(error));
        if keep && connection.is_autocommit() {
            writer.connection = Some(connection);
        }
        done
    }

    fn read(&self, run: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()> {
        self.viewing(|connection| {
            run(&SqliteRows::new(
                self.connector.place.path(),
                connection,
                false,
            )?)
        })
    }

    fn foreign_writes(&self) -> Result<Option<u64>> {
        // A writer at work looks for itself, at the start of each transaction.
        if let Some(mut writer) = self.writer.try_lock() {
            let writer = &mut *writer;
            wait_at_most(self.connector.options.busy_timeout);
            if let Some(connection) = &writer.connection {
                self.look(connection, &mut writer.seen)?;
            }
        }
        Ok(Some(self.foreign.load(Ordering::Relaxed)))
    }

    fn check(&self) -> Result<Vec<String>> {
        self.note_facts();
        upkeep::check(self, true)
    }

    fn upkeep(&self) -> Result<()> {
        self.connector.place.check()?;
        if self
            .writer
            .try_lock()
            .is_some_and(|writer| writer.connection.is_some())
        {
            self.connector.place.check_log()?;
        }
        let done = upkeep::run(self);
        self.note_facts();
        done
    }
}
