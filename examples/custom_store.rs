//! A task store of your own: rows over a key-value engine that TLO knows nothing of (redb), proven by the conformance
//! suite. `Rows` and `RowEngine` are all there is to write; queue, leases, gates, keys and streams come from `RowStore`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, Table, TableDefinition};
use tlo::prelude::*;
use tlo::store::kv::{Pairs, RowEngine, Rows};
use tlo::store::{Capability, Durability, Retention, SharedStore};
use tlo::testing::conformance::{self, Feature, Options, Report, StoreFactory};
use tlo::{Clock, Error, ErrorKind, IdSource, Result, RowStore, SystemClock};

type Bytes = &'static [u8];
const ROWS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("rows");

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Unavailable, "redb", error.to_string()).with_source(error)
}

/// The table of a transaction, and how it sets or removes a value.
struct Open<T>(T, Set<T>);
type Set<T> = fn(&mut T, &[u8], Option<&[u8]>) -> Result<()>;

impl<T: ReadableTable<Bytes, Bytes>> Rows for Open<T> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = self.0.get(key).map_err(failed)?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        (self.1)(&mut self.0, key, Some(value))
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        (self.1)(&mut self.0, key, None)
    }

    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        let mut rows = self.0.range::<&[u8]>(from..until).map_err(failed)?;
        let next = || match reverse {
            true => rows.next_back(),
            false => rows.next(),
        };
        let owned = std::iter::from_fn(next).take(limit).map(|row| {
            let (key, value) = row.map_err(failed)?;
            Ok((key.value().to_vec(), value.value().to_vec()))
        });
        owned.collect()
    }
}

fn set(table: &mut Table<'_, Bytes, Bytes>, key: &[u8], value: Option<&[u8]>) -> Result<()> {
    match value {
        Some(value) => table.insert(key, value).map(drop).map_err(failed),
        None => table.remove(key).map(drop).map_err(failed),
    }
}

fn refuse(_: &mut ReadOnlyTable<Bytes, Bytes>, _: &[u8], _: Option<&[u8]>) -> Result<()> {
    let why = "this transaction only reads";
    Err(Error::new(ErrorKind::Unsupported, "redb", why))
}

#[derive(Debug)]
struct Redb(Arc<Database>);

impl RowEngine for Redb {
    fn capability(&self) -> Capability {
        Capability {
            name: "redb",
            durability: Durability::Power,
            shared: false,
            pushes: true,
            retention: Retention::default(),
            poll: secs(30),
            promise: "in a redb file; a commit is on disk when it is answered".to_owned(),
            facts: Vec::new(),
        }
    }

    fn write(&self, run: &mut dyn FnMut(&mut dyn Rows) -> Result<()>) -> Result<()> {
        let transaction = self.0.begin_write().map_err(failed)?;
        run(&mut Open(
            transaction.open_table(ROWS).map_err(failed)?,
            set,
        ))?;
        transaction.commit().map_err(failed)
    }

    fn read(&self, run: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()> {
        let transaction = self.0.begin_read().map_err(failed)?;
        run(&Open(transaction.open_table(ROWS).map_err(failed)?, refuse))
    }
}

/// Opens stores in a folder. A process opens a file once, so handles that live at the same time share it.
struct Folder(tempfile::TempDir, Mutex<HashMap<String, Weak<Database>>>);

#[async_trait::async_trait]
impl StoreFactory for Folder {
    async fn open(
        &self,
        at: &str,
        time: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<SharedStore> {
        let mut open = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match open.get(at).and_then(Weak::upgrade) {
            Some(database) => database,
            None => Arc::new(Database::create(self.0.path().join(at)).map_err(failed)?),
        };
        open.insert(at.to_owned(), Arc::downgrade(&database));
        let engine = Redb(database);
        engine.write(&mut |_| Ok(()))?; // makes the table, so that reads find it
        Ok(Arc::new(RowStore::open(engine, time, ids)?))
    }

    fn features(&self) -> Vec<Feature> {
        vec![Feature::Reopen, Feature::Handles, Feature::SteadyLeases]
    }
}

pub(crate) async fn prove(shrink: usize) -> Result<Report> {
    let stores = Folder(tempfile::tempdir().map_err(failed)?, Mutex::default());
    Ok(conformance::run(&stores, &Options::shrunk(shrink)).await)
}

#[tokio::main]
async fn main() -> Result<()> {
    let (clock, ids) = (SystemClock::shared(), Arc::new(IdSource::random()));
    let stores = Folder(tempfile::tempdir().map_err(failed)?, Mutex::default());
    let store = stores.open("tasks", clock.clone(), ids).await?;
    let greet = async |_: TaskContext, name: String| println!("hello, {name}");
    let tick = async |_: TaskContext, (): ()| println!("tick");
    let tlo = TloContext::builder().store(store);
    let tlo = tlo.task(task("tick").every(millis(200)).run(tick));
    let tlo = tlo.task(task("greet").run(greet)).build().await?;
    for name in ["Ada", "Grace", "Mary"] {
        tlo.client().task("greet").args(name).submit().await?;
    }
    Runner::new(tlo).run_until(clock.sleep(secs(1))).await?;
    println!("{}", prove(100).await?); // the suite finds what you got wrong
    Ok(())
}
