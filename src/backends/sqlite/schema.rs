//! The steps that bring a database to the layout of this build.

use rusqlite::Connection;

use super::connection::{APPLICATION_ID, Connector};
use crate::error::{Error, ErrorKind, Result};
use crate::id::stable_hash;

/// Step n is the n-th of these, from 1. A released step never changes: a new one follows it.
const STEPS: &[&str] = &[include_str!("migrations/1_rows.sql")];

const JOURNAL: &str = "CREATE TABLE IF NOT EXISTS migrations \
    (number INTEGER PRIMARY KEY, checksum TEXT NOT NULL, applied_at TEXT NOT NULL)";

/// Applies the steps that are missing, all in one transaction, and checks those that were applied before.
pub(super) fn migrate(connector: &Connector, connection: &Connection) -> Result<()> {
    let fault = |source| connector.fault("migrate sqlite", source);
    if expect_known(connector, connection)? == newest() {
        return check_applied(connector, connection);
    }
    connection.execute_batch("BEGIN IMMEDIATE").map_err(fault)?;
    let migrated = apply(connector, connection);
    let ended = if migrated.is_ok() {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    let ended = connection.execute_batch(ended).map_err(fault);
    migrated.and(ended)
}

/// The steps that this build knows.
pub(super) fn newest() -> u32 {
    u32::try_from(STEPS.len()).unwrap_or(u32::MAX)
}

/// The steps that were applied to the database.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn apply(connector: &Connector, connection: &Connection) -> Result<()> {
    let fault = |source| connector.fault("migrate sqlite", source);
    // Another process may have been first.
    let version = expect_known(connector, connection)?;
    connection.execute_batch(JOURNAL).map_err(fault)?;
    check_applied(connector, connection)?;
    for (number, step) in (1..).zip(STEPS).filter(|(number, _)| *number > version) {
        connection.execute_batch(step).map_err(fault)?;
        connection
            .execute(
                "INSERT INTO migrations VALUES (?1, ?2, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))",
                (number, checksum(step)),
            )
            .map_err(fault)?;
        tracing::info!(step = number, path = %connector.place.path().display(), "migrated");
    }
    connection
        .pragma_update(None, "user_version", newest())
        .map_err(fault)?;
    connection
        .pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(fault)
}

/// The steps that were applied; refuses a layout that a newer build made.
pub(super) fn expect_known(connector: &Connector, connection: &Connection) -> Result<u32> {
    let version =
        version(connection).map_err(|source| connector.fault("migrate sqlite", source))?;
    let newest = newest();
    if version <= newest {
        return Ok(version);
    }
    Err(Error::new(
        ErrorKind::Configuration,
        "migrate sqlite",
        format!(
            "the database \"{}\" has layout {version} and this build knows up to {newest}; use the newer build that wrote it, or another path",
            connector.place.path().display()
        ),
    ))
}

fn check_applied(connector: &Connector, connection: &Connection) -> Result<()> {
    let fault = |source| connector.fault("migrate sqlite", source);
    let mut applied = connection
        .prepare("SELECT number, checksum FROM migrations ORDER BY number")
        .map_err(fault)?;
    let mut rows = applied.query([]).map_err(fault)?;
    while let Some(row) = rows.next().map_err(fault)? {
        let number: u32 = row.get(0).map_err(fault)?;
        let stored: String = row.get(1).map_err(fault)?;
        let known = (1..).zip(STEPS).find(|(known, _)| *known == number);
        if known.map(|(_, step)| checksum(step)).as_deref() != Some(stored.as_str()) {
            return Err(Error::new(
                ErrorKind::Configuration,
                "migrate sqlite",
                format!(
                    "step {number} of the layout of \"{}\" is not the one this build knows; it was written by another build of the same number: use that one",
                    connector.place.path().display()
                ),
            ));
        }
    }
    Ok(())
}

fn checksum(step: &str) -> String {
    format!("{:016x}", stable_hash(step.as_bytes()))
}
