//! Checkpoints, and looking the file through.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::Connection;
use serde::Serialize;

use super::connection::Connector;
use super::engine::SqliteEngine;
use super::fault::{is_busy, was_busy};
use super::schema;
use crate::error::{Error, ErrorKind, Result};

/// Above this a checkpoint moves what it can while others go on.
const LARGE_LOG: u64 = 8 << 20;

/// Above this a checkpoint waits a moment for readers, and cuts the log to nothing.
const HUGE_LOG: u64 = 64 << 20;

/// What is known about an open database; `tlo doctor` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SqliteFacts {
    /// The database file.
    pub path: PathBuf,
    /// The version of the SQLite library.
    pub sqlite_version: String,
    /// As read back: `wal`.
    pub journal_mode: String,
    /// As read back: 2 is FULL, 1 is NORMAL.
    pub synchronous: i64,
    /// The steps of layout that were applied.
    pub layout: u32,
    /// The size of a page in bytes.
    pub page_bytes: u64,
    /// Pages of the database.
    pub pages: u64,
    /// Pages of it that are free.
    pub free_pages: u64,
    /// The size of the file in bytes.
    pub file_bytes: u64,
    /// The size of its write-ahead log in bytes.
    pub wal_bytes: u64,
}

/// Reads the facts from a connection.
pub(super) fn facts(engine: &SqliteEngine) -> Result<SqliteFacts> {
    let connector = engine.connector();
    engine.viewing(|connection| {
        let read = || {
            let number = |name: &str| {
                connection.pragma_query_value(None, name, |row| {
                    row.get::<_, i64>(0).map(i64::unsigned_abs)
                })
            };
            Ok(SqliteFacts {
                path: connector.place.path().to_owned(),
                sqlite_version: rusqlite::version().to_owned(),
                journal_mode: connection
                    .pragma_query_value(None, "journal_mode", |row| row.get(0))?,
                synchronous: connection
                    .pragma_query_value(None, "synchronous", |row| row.get(0))?,
                layout: schema::version(connection)?,
                page_bytes: number("page_size")?,
                pages: number("page_count")?,
                free_pages: number("freelist_count")?,
                file_bytes: connector.place.bytes(),
                wal_bytes: connector.place.wal_bytes(),
            })
        };
        read().map_err(|source| connector.fault("read sqlite facts", source))
    })
}

/// What SQLite finds wrong with the file; nothing when it is whole. Reads all of it.
pub(super) fn check(engine: &SqliteEngine, thorough: bool) -> Result<Vec<String>> {
    let pragma = if thorough {
        "integrity_check"
    } else {
        "quick_check"
    };
    engine.viewing(|connection| {
        let mut lines = Vec::new();
        connection
            .pragma_query(None, pragma, |row| {
                lines.push(row.get::<_, String>(0)?);
                Ok(())
            })
            .map_err(|source| engine.connector().fault("check sqlite", source))?;
        lines.retain(|line| line != "ok");
        Ok(lines)
    })
}

/// One round of upkeep.
pub(super) fn run(engine: &SqliteEngine) -> Result<()> {
    let connector = engine.connector();
    if engine.unclean.swap(false, Ordering::Relaxed) {
        let wrong = check(engine, false)?;
        if let Some(first) = wrong.first() {
            engine.unclean.store(true, Ordering::Relaxed);
            let path = connector.place.path().display();
            return Err(Error::new(
                ErrorKind::Corrupt,
                "check sqlite",
                format!(
                    "the database \"{path}\" was not closed and is damaged ({first}, {} in all); restore a backup, or run \"sqlite3 '{path}' .recover\"",
                    wrong.len()
                ),
            ));
        }
    }
    let log = connector.place.wal_bytes();
    let is_held_up = log > LARGE_LOG && {
        // A connection of its own: the writer goes on while pages are moved.
        let connection = connector.bare()?;
        !checkpoint(connector, &connection, log > HUGE_LOG)?
    };
    if is_held_up && log > HUGE_LOG {
        warn_of_log(engine, log);
    } else {
        engine.warned_of.store(0, Ordering::Relaxed);
    }
    Ok(())
}

/// Warns of a log of which not all could be moved, and again when it has doubled.
fn warn_of_log(engine: &SqliteEngine, bytes: u64) {
    let before = engine.warned_of.load(Ordering::Relaxed);
    if bytes >= before.saturating_mul(2) {
        engine.warned_of.store(bytes, Ordering::Relaxed);
        tracing::warn!(
            path = %engine.connector().place.path().display(),
            bytes,
            "the log of the database grows: somebody reads what was there long ago (an open transaction, a backup, a stopped process), and it cannot be cut before that ends"
        );
    }
}

/// Moves what it can; whether that was all there was, or is not known.
fn checkpoint(connector: &Connector, connection: &Connection, truncate: bool) -> Result<bool> {
    let fault = |source| connector.fault("checkpoint sqlite", source);
    let mode = if truncate {
        connection
            .busy_timeout(Duration::from_millis(100))
            .map_err(fault)?;
        "PRAGMA wal_checkpoint(TRUNCATE)"
    } else {
        "PRAGMA wal_checkpoint(PASSIVE)"
    };
    let answered: rusqlite::Result<(bool, i64, i64)> =
        connection.query_row(mode, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    match answered {
        Ok((busy, pages, moved)) => {
            tracing::debug!(busy, pages, moved, truncate, "checkpoint");
            Ok(moved >= pages)
        }
        // Somebody reads or writes: the next round comes.
        Err(source) if is_busy(&source) => Ok(true),
        Err(source) => Err(fault(source)),
    }
}

/// Whether a process died with the file open: its log is still there and nobody uses the file.
///
/// A connection that wants the file for itself gets it only when it is alone, so SQLite's own locks give the answer. It
/// stays in WAL mode all the while: another process that opens the file now waits, and never sees it without a log.
pub(super) fn was_left_open(connector: &Connector) -> Result<bool> {
    if connector.place.wal_bytes() == 0 {
        return Ok(false);
    }
    let fault = |source| connector.fault("open sqlite", source);
    let connection = connector.bare()?;
    connection.busy_timeout(Duration::ZERO).map_err(fault)?;
    // Before its first look at the file: afterwards it would share the log with others.
    connection
        .pragma_update(None, "locking_mode", "exclusive")
        .map_err(fault)?;
    // Nothing is changed in a file that will be refused.
    let looked = connector
        .expect_owned(&connection)
        .and_then(|()| schema::expect_known(connector, &connection));
    match looked {
        Ok(_) => Ok(true),
        Err(error) if was_busy(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
