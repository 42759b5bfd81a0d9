//! The rows inside one transaction.

use std::ops::Bound;
use std::path::Path;

use heed::types::Bytes;
use heed::{Database, RoTxn, RwTxn};

use super::fault::fault;
use crate::error::{Error, ErrorKind, Result};
use crate::store::kv::{Pairs, Rows};

/// The database of the rows.
pub(super) type RowDb = Database<'static, Bytes, Bytes>;

/// Rows that are only read.
pub(super) struct Reading<'t> {
    pub(super) path: &'t Path,
    pub(super) rows: RowDb,
    pub(super) txn: &'t RoTxn<'t>,
}

impl Reading<'_> {
    fn fetch(&self, key: &[u8]) -> heed::Result<Option<Vec<u8>>> {
        // A longer key was never written.
        if key.is_empty() || key.len() > 511 {
            return Ok(None);
        }
        Ok(self.rows.get(self.txn, key)?.map(<[u8]>::to_vec))
    }

    fn between(
        &self,
        from: &[u8],
        until: &[u8],
        limit: usize,
        reverse: bool,
    ) -> heed::Result<Pairs> {
        let mut pairs = Pairs::new();
        if from >= until {
            return Ok(pairs);
        }
        // LMDB knows no empty key.
        let first = if from.is_empty() {
            Bound::Unbounded
        } else {
            Bound::Included(from)
        };
        let range = (first, Bound::Excluded(until));
        let mut take = |found: heed::Result<(&[u8], &[u8])>| {
            found.map(|(key, value)| pairs.push((key.to_vec(), value.to_vec())))
        };
        if reverse {
            let mut found = self.rows.rev_range(self.txn, &range)?;
            found.by_ref().take(limit).try_for_each(&mut take)?;
        } else {
            let mut found = self.rows.range(self.txn, &range)?;
            found.by_ref().take(limit).try_for_each(&mut take)?;
        }
        Ok(pairs)
    }
}

impl Rows for Reading<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.fetch(key)
            .map_err(|source| fault(self.path, "read row", source))
    }

    fn put(&mut self, _key: &[u8], _value: &[u8]) -> Result<()> {
        Err(read_only())
    }

    fn delete(&mut self, _key: &[u8]) -> Result<()> {
        Err(read_only())
    }

    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        self.between(from, until, limit, reverse)
            .map_err(|source| fault(self.path, "read rows", source))
    }
}

fn read_only() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "write rows",
        "this transaction only reads",
    )
}

/// Rows that are written. Dropped, nothing of it happened.
pub(super) struct Writing<'t> {
    pub(super) path: &'t Path,
    pub(super) rows: RowDb,
    pub(super) txn: RwTxn<'t>,
    /// Something was written, so the transaction gets its number.
    pub(super) changed: bool,
}

impl Writing<'_> {
    fn reading(&self) -> Reading<'_> {
        Reading {
            path: self.path,
            rows: self.rows,
            txn: &self.txn,
        }
    }
}

impl Rows for Writing<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.reading().get(key)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.changed = true;
        self.rows
            .put(&mut self.txn, key, value)
            .map_err(|source| fault(self.path, "write row", source))
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        let deleted = self.rows.delete(&mut self.txn, key);
        let deleted = deleted.map_err(|source| fault(self.path, "delete row", source))?;
        self.changed |= deleted;
        Ok(())
    }

    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        self.reading().range(from, until, limit, reverse)
    }
}
