//! Commits inside a transaction of the caller.

use std::path::Path;

use rusqlite::{Connection, Savepoint, Transaction};

use super::connection::APPLICATION_ID;
use super::fault::fault;
use super::rows::SqliteRows;
use super::schema;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::id::IdSource;
use crate::store::kv::{self, Moment, Overlay};
use crate::store::{Commit, Committed, Enlist};

impl Enlist for Transaction<'_> {
    fn enlist(&self, commit: Commit, clock: &dyn Clock, ids: &IdSource) -> Result<Committed> {
        Connection::enlist(self, commit, clock, ids)
    }
}

impl Enlist for Savepoint<'_> {
    fn enlist(&self, commit: Commit, clock: &dyn Clock, ids: &IdSource) -> Result<Committed> {
        Connection::enlist(self, commit, clock, ids)
    }
}

/// For transactions that were begun by a statement.
impl Enlist for Connection {
    fn enlist(&self, commit: Commit, clock: &dyn Clock, ids: &IdSource) -> Result<Committed> {
        let path = Path::new(self.path().unwrap_or_default());
        if self.is_autocommit() {
            return Err(Error::invalid(
                "submit",
                "this connection has no open transaction; begin one, or submit without it",
            ));
        }
        expect_store(self, path)?;
        let execute = |sql: &'static str| {
            self.execute_batch(sql)
                .map_err(|source| fault(path, "submit", source))
        };
        execute("SAVEPOINT tlo_enlisted")?;
        let done = write(self, path, commit, clock, ids);
        // Some failures have ended the whole transaction already.
        if !self.is_autocommit() {
            if !matches!(done, Ok(Ok(_))) {
                execute("ROLLBACK TO tlo_enlisted")?;
            }
            execute("RELEASE tlo_enlisted")?;
        }
        done
    }
}

fn write(
    connection: &Connection,
    path: &Path,
    commit: Commit,
    clock: &dyn Clock,
    ids: &IdSource,
) -> Result<Committed> {
    let mut rows = SqliteRows::new(path, connection, true)?;
    let mut overlay = Overlay::new(&mut rows, ids, Moment::of(clock));
    let committed = kv::commit(&mut overlay, commit)?;
    if committed.is_ok() {
        // Other connections notice the write by themselves.
        overlay.flush()?;
    }
    Ok(committed)
}

/// The rows are written by their layout, so it must be the one that this build knows.
fn expect_store(connection: &Connection, path: &Path) -> Result<()> {
    let fault = |source| fault(path, "submit", source);
    let owner: i32 = connection
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(fault)?;
    let version = schema::version(connection).map_err(fault)?;
    if owner == APPLICATION_ID && version == schema::newest() {
        return Ok(());
    }
    Err(Error::invalid(
        "submit",
        format!(
            "the database \"{}\" of this transaction is not a store of this build of TLO; \
             connect to the file that the settings name, after the program has opened it",
            path.display()
        ),
    ))
}
