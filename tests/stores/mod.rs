//! A store over a plain B-tree that outlives its handles, can be opened several times and can be damaged.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tlo::store::kv::{Pairs, RowEngine, Rows};
use tlo::store::{Capability, Durability, Retention, SharedStore};
use tlo::testing::conformance::{Feature, StoreFactory};
use tlo::{Clock, Error, ErrorKind, IdSource, Result, RowStore, TaskId};

pub(crate) type Tree = BTreeMap<Vec<u8>, Vec<u8>>;

/// A key-value engine: a tree whose writers work on a copy, which takes its place when they succeed.
#[derive(Clone, Debug, Default)]
pub(crate) struct TreeEngine {
    pub(crate) tree: Arc<RwLock<Tree>>,
    writing: Arc<Mutex<()>>,
}

struct Writing<'a> {
    below: &'a Tree,
    changed: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

struct Reading<'a>(&'a Tree);

fn owned((key, value): (&Vec<u8>, &Vec<u8>)) -> (Vec<u8>, Vec<u8>) {
    (key.clone(), value.clone())
}

impl Rows for Reading<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.0.get(key).cloned())
    }

    fn put(&mut self, _key: &[u8], _value: &[u8]) -> Result<()> {
        Err(read_only())
    }

    fn delete(&mut self, _key: &[u8]) -> Result<()> {
        Err(read_only())
    }

    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        if from >= until {
            return Ok(Pairs::new());
        }
        let range = (Bound::Included(from), Bound::Excluded(until));
        let range = self.0.range::<[u8], _>(range);
        Ok(if reverse {
            range.rev().take(limit).map(owned).collect()
        } else {
            range.take(limit).map(owned).collect()
        })
    }
}

fn read_only() -> Error {
    Error::new(ErrorKind::Unsupported, "write", "this transaction reads")
}

impl Rows for Writing<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.changed.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => Ok(self.below.get(key).cloned()),
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.changed.insert(key.to_vec(), Some(value.to_vec()));
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.changed.insert(key.to_vec(), None);
        Ok(())
    }

    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        let range = (from.to_vec(), until.to_vec());
        let mut seen = Reading(self.below).range(from, until, usize::MAX, false)?;
        if from < until && self.changed.range(range.0.clone()..range.1.clone()).count() > 0 {
            let mut merged: Tree = seen.into_iter().collect();
            for (key, value) in self.changed.range(range.0..range.1) {
                match value {
                    Some(value) => drop(merged.insert(key.clone(), value.clone())),
                    None => drop(merged.remove(key)),
                }
            }
            seen = merged.into_iter().collect();
        }
        if reverse {
            seen.reverse();
        }
        seen.truncate(limit);
        Ok(seen)
    }
}

impl RowEngine for TreeEngine {
    fn capability(&self) -> Capability {
        Capability {
            name: "tree",
            durability: Durability::None,
            shared: true,
            pushes: false,
            retention: Retention::default(),
            poll: Duration::from_millis(100),
            promise: "a tree in the memory of a test".to_owned(),
            facts: Vec::new(),
        }
    }

    fn write(&self, run: &mut dyn FnMut(&mut dyn Rows) -> Result<()>) -> Result<()> {
        let _alone = self.writing.lock();
        let changed = {
            let below = self.tree.read();
            let mut rows = Writing {
                below: &below,
                changed: BTreeMap::new(),
            };
            run(&mut rows)?;
            rows.changed
        };
        let mut tree = self.tree.write();
        for (key, value) in changed {
            match value {
                Some(value) => drop(tree.insert(key, value)),
                None => drop(tree.remove(&key)),
            }
        }
        Ok(())
    }

    fn read(&self, run: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()> {
        run(&Reading(&self.tree.read()))
    }
}

/// Opens row stores over trees; each place keeps its tree until it is discarded.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    places: Mutex<HashMap<String, TreeEngine>>,
}

impl Trees {
    pub(crate) fn engine(&self, place: &str) -> TreeEngine {
        let mut places = self.places.lock();
        places.entry(place.to_owned()).or_default().clone()
    }
}

#[async_trait::async_trait]
impl StoreFactory for Trees {
    async fn open(
        &self,
        place: &str,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<SharedStore> {
        let store = RowStore::open(self.engine(place), clock, ids)?;
        Ok(Arc::new(store))
    }

    fn features(&self) -> Vec<Feature> {
        vec![
            Feature::Reopen,
            Feature::Handles,
            Feature::SteadyLeases,
            Feature::Corrupt,
        ]
    }

    async fn corrupt(&self, place: &str, id: &TaskId) -> Result<()> {
        let engine = self.engine(place);
        let mut tree = engine.tree.write();
        let row = [b"t", id.as_str().as_bytes()].concat();
        let damaged = tree.insert(row, b"{\"id\": \"damaged".to_vec());
        assert!(damaged.is_some(), "there is no record {id}");
        Ok(())
    }

    async fn discard(&self, place: &str) {
        self.places.lock().remove(place);
    }
}
