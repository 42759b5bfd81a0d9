//! Connections, with every promise read back.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::fault::{fault, was_busy};
use super::options::{SqliteDurability, SqliteOptions};
use super::patience::{wait_at_most, wait_when_busy};
use super::place::Place;
use super::schema;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::id::IdSource;

/// Who the file belongs to: `TLO1` in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x544C_4F31;

/// The log is cut back to this many bytes when it starts anew.
const JOURNAL_LIMIT: i64 = 64 << 20;

/// Memory for pages of a connection, in KiB.
const CACHE_KIB: i64 = 16 << 10;

/// What connections of one store have in common.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) place: Place,
    pub(super) options: SqliteOptions,
    pub(super) ids: Arc<IdSource>,
}

impl Connector {
    pub(super) fn fault(&self, operation: &'static str, source: rusqlite::Error) -> Error {
        fault(self.place.path(), operation, source)
    }

    /// A connection that waits for other processes, without any choice made about the file yet.
    pub(super) fn bare(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(self.place.path(), flags);
        let mut connection = opened.map_err(|source| self.fault("open sqlite", source))?;
        wait_at_most(self.options.busy_timeout);
        wait_when_busy(&mut connection).map_err(|source| self.fault("open sqlite", source))?;
        Ok(connection)
    }

    /// A connection for writing. The file is in WAL mode afterwards.
    pub(super) fn writer(&self) -> Result<Connection> {
        let connection = self.bare()?;
        self.expect_owned(&connection)?;
        schema::expect_known(self, &connection)?;
        let fault = |source| self.fault("open sqlite", source);
        let mode: String = connection
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
            .map_err(fault)?;
        self.expect("journal_mode", &mode, "wal")?;
        self.settle_in(&connection)?;
        if let Some(max_bytes) = self.options.max_bytes {
            self.limit_size(&connection, max_bytes).map_err(fault)?;
        }
        Ok(connection)
    }

    /// A connection for writing, to a file whose layout is that of this build.
    pub(super) fn prepared_writer(&self) -> Result<Connection> {
        let connection = self.writer()?;
        schema::migrate(self, &connection)?;
        self.place.know_log();
        Ok(connection)
    }

    /// Opens, again while others hold the file, for as long as `busy_timeout`.
    ///
    /// When several processes bring a new file into WAL mode, or leave it, SQLite tells some of them at once that it is
    /// locked and does not let them wait: two that wait for each other would wait for ever.
    pub(super) fn patiently<T>(&self, mut open: impl FnMut() -> Result<T>) -> Result<T> {
        let begun = SystemClock.steady().at;
        loop {
            let opened = open();
            let waited = SystemClock.steady().at.saturating_sub(begun);
            if waited >= self.options.busy_timeout || !opened.as_ref().is_err_and(was_busy) {
                return opened;
            }
            let pause = 0.001 + 0.009 * self.ids.unit();
            std::thread::park_timeout(Duration::from_secs_f64(pause));
        }
    }

    /// A connection for reading.
    pub(super) fn reader(&self) -> Result<Connection> {
        let connection = self.bare()?;
        let fault = |source| self.fault("open sqlite", source);
        let mode: String = connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .map_err(fault)?;
        self.expect("journal_mode", &mode, "wal")?;
        self.settle_in(&connection)?;
        connection
            .pragma_update(None, "query_only", true)
            .map_err(fault)?;
        Ok(connection)
    }

    /// Settings of every connection; what makes it durable is read back.
    fn settle_in(&self, connection: &Connection) -> Result<()> {
        let fault = |source| self.fault("open sqlite", source);
        let (word, number) = match self.options.durability {
            SqliteDurability::Strict => ("FULL", 2),
            SqliteDurability::Relaxed => ("NORMAL", 1),
        };
        connection
            .pragma_update(None, "synchronous", word)
            .map_err(fault)?;
        let answered: i64 = connection
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .map_err(fault)?;
        self.expect("synchronous", &answered.to_string(), &number.to_string())?;
        // On macOS an ordinary sync stops at the disk's cache; elsewhere these do nothing.
        for (name, value) in [
            ("fullfsync", 1),
            ("checkpoint_fullfsync", 1),
            ("cache_size", -CACHE_KIB),
        ] {
            connection.pragma_update(None, name, value).map_err(fault)?;
        }
        let _: i64 = connection
            .pragma_update_and_check(None, "journal_size_limit", JOURNAL_LIMIT, |row| row.get(0))
            .map_err(fault)?;
        // Damage is met with an error, not followed; and nothing in the schema may run code of its own.
        connection
            .pragma_update(None, "cell_size_check", true)
            .map_err(fault)?;
        for (config, on) in [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        ] {
            connection.set_db_config(config, on).map_err(fault)?;
        }
        connection.set_prepared_statement_cache_capacity(32);
        Ok(())
    }

    fn expect(&self, name: &str, answered: &str, wanted: &str) -> Result<()> {
        if answered.eq_ignore_ascii_case(wanted) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Configuration,
            "open sqlite",
            format!(
                "the database \"{}\" answered {name}={answered} where {wanted} was asked for, so it cannot keep its promise; \
                 put it on a local disk, or choose durability = \"relaxed\"",
                self.place.path().display()
            ),
        ))
    }

    /// Refuses the database of another program.
    pub(super) fn expect_owned(&self, connection: &Connection) -> Result<()> {
        let fault = |source| self.fault("open sqlite", source);
        // One look at both: another process may be making the file its own between two.
        let look = connection.unchecked_transaction().map_err(fault)?;
        let owner: i32 = look
            .pragma_query_value(None, "application_id", |row| row.get(0))
            .map_err(fault)?;
        if owner == APPLICATION_ID {
            return Ok(());
        }
        let things: i64 = look
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(fault)?;
        drop(look);
        if owner == 0 && things == 0 {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Configuration,
            "open sqlite",
            format!(
                "the database \"{}\" belongs to another program (application id {owner:#010x}); choose another path",
                self.place.path().display()
            ),
        ))
    }

    fn limit_size(&self, connection: &Connection, max_bytes: u64) -> rusqlite::Result<()> {
        let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = i64::try_from(max_bytes).unwrap_or(i64::MAX) / page.max(1);
        let _: i64 =
            connection
                .pragma_update_and_check(None, "max_page_count", pages.max(1), |row| row.get(0))?;
        Ok(())
    }
}
