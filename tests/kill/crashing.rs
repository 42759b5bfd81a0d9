//! A SQLite engine that passes everything on, and dies in the middle of a transaction when its trap springs.

use std::sync::Arc;

use tlo::store::Capability;
use tlo::store::kv::{Pairs, RowEngine, Rows};
use tlo::{Result, SqliteEngine};

use crate::trap::{Stage, Trap};

#[derive(Debug)]
pub(crate) struct CrashingEngine {
    pub(crate) inner: SqliteEngine,
    pub(crate) trap: Arc<Trap>,
}

/// The rows of a transaction, counted as they are written.
struct CountedRows<'a> {
    rows: &'a mut dyn Rows,
    trap: &'a Trap,
}

impl Rows for CountedRows<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.rows.get(key)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.trap.row(key.first() == Some(&b't'));
        self.rows.put(key, value)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.trap.row(false);
        self.rows.delete(key)
    }

    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        self.rows.range(from, until, limit, reverse)
    }
}

impl RowEngine for CrashingEngine {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    fn write(&self, run: &mut dyn FnMut(&mut dyn Rows) -> Result<()>) -> Result<()> {
        let trap = &*self.trap;
        self.inner.write(&mut |rows| {
            trap.begin();
            run(&mut CountedRows { rows, trap })?;
            trap.reach(Stage::Written);
            Ok(())
        })?;
        trap.reach(Stage::Committed);
        Ok(())
    }

    fn read(&self, run: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()> {
        self.inner.read(run)
    }

    fn foreign_writes(&self) -> Result<Option<u64>> {
        self.inner.foreign_writes()
    }

    fn check(&self) -> Result<Vec<String>> {
        self.inner.check()
    }

    fn upkeep(&self) -> Result<()> {
        self.inner.upkeep()
    }
}
