//! The rows inside one transaction.

use std::cell::RefCell;
use std::path::Path;

use rusqlite::{CachedStatement, Connection};

use super::fault::fault;
use crate::error::{Error, ErrorKind, Result};
use crate::store::kv::{Pairs, Rows};

const GET: &str = "SELECT v FROM rows WHERE k = ?1";
// The table has no other index, so this is one descent whether the key is there or not.
const PUT: &str = "REPLACE INTO rows (k, v) VALUES (?1, ?2)";
const DELETE: &str = "DELETE FROM rows WHERE k = ?1";
const UP: &str = "SELECT k, v FROM rows WHERE k >= ?1 AND k < ?2 ORDER BY k LIMIT ?3";
const DOWN: &str = "SELECT k, v FROM rows WHERE k >= ?1 AND k < ?2 ORDER BY k DESC LIMIT ?3";

/// Statements are taken from the connection's cache once per transaction, not once per row.
pub(super) struct SqliteRows<'c> {
    /// Of the file, for what is said of failures.
    path: &'c Path,
    connection: &'c Connection,
    get: RefCell<CachedStatement<'c>>,
    up: RefCell<CachedStatement<'c>>,
    /// Only in a transaction that writes.
    change: Option<(CachedStatement<'c>, CachedStatement<'c>)>,
}

impl<'c> SqliteRows<'c> {
    pub(super) fn new(path: &'c Path, connection: &'c Connection, writes: bool) -> Result<Self> {
        let prepare = |sql| {
            connection
                .prepare_cached(sql)
                .map_err(|source| fault(path, "prepare", source))
        };
        Ok(Self {
            path,
            connection,
            get: RefCell::new(prepare(GET)?),
            up: RefCell::new(prepare(UP)?),
            change: if writes {
                Some((prepare(PUT)?, prepare(DELETE)?))
            } else {
                None
            },
        })
    }

    fn change(&mut self) -> Result<&mut (CachedStatement<'c>, CachedStatement<'c>)> {
        // Some failures end the transaction: what is written after them would be kept without the rest.
        if self.connection.is_autocommit() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "write rows",
                "a failure has ended this transaction",
            ));
        }
        self.change.as_mut().ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "write rows",
                "this transaction only reads",
            )
        })
    }
}

impl Rows for SqliteRows<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let read = || -> rusqlite::Result<Option<Vec<u8>>> {
            let mut get = self.get.borrow_mut();
            let mut rows = get.query([key])?;
            match rows.next()? {
                Some(row) => Ok(Some(row.get_ref(0)?.as_blob()?.to_vec())),
                None => Ok(None),
            }
        };
        read().map_err(|source| fault(self.path, "read row", source))
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let path = self.path;
        let put = &mut self.change()?.0;
        match put.execute([key, value]) {
            Ok(_) => Ok(()),
            Err(source) => Err(fault(path, "write row", source)),
        }
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        let path = self.path;
        let delete = &mut self.change()?.1;
        match delete.execute([key]) {
            Ok(_) => Ok(()),
            Err(source) => Err(fault(path, "delete row", source)),
        }
    }

    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = || -> rusqlite::Result<Pairs> {
            let collect = |statement: &mut CachedStatement<'_>| {
                let mut rows = statement.query((from, until, limit))?;
                let mut pairs = Pairs::new();
                while let Some(row) = rows.next()? {
                    let key = row.get_ref(0)?.as_blob()?.to_vec();
                    pairs.push((key, row.get_ref(1)?.as_blob()?.to_vec()));
                }
                Ok(pairs)
            };
            if reverse {
                // Rare: not worth a statement held by every transaction.
                collect(&mut self.connection.prepare_cached(DOWN)?)
            } else {
                collect(&mut self.up.borrow_mut())
            }
        };
        read().map_err(|source| fault(self.path, "read rows", source))
    }
}
