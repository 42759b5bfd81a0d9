//! The rows in memory and the log that they are made of again.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Mutex, RwLock};

use super::compact;
use super::fault::fault;
use super::lines::{Change, Group, Kind};
use super::log::{Log, read_through};
use super::options::{JsonlDurability, JsonlOptions};
use super::place::{Held, Place};
use crate::backends::opened::{OpenPaths, Shared};
use crate::error::{Error, ErrorKind, Result};
use crate::store::kv::{Pairs, Rows, Written, range_over};

/// The rows, in order.
pub(super) type Tree = BTreeMap<Box<[u8]>, Box<[u8]>>;

/// What a row takes in the log beside its key and value, about, in bytes.
const ROW: u64 = 24;

/// The journals of this process: a log is open once.
static OPEN: OpenPaths<Journal> = OpenPaths::new();

/// An open store: what handles on one log share.
pub(super) struct Journal {
    pub(super) core: Arc<Core>,
    compacting: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread that compacts needs of it.
pub(super) struct Core {
    pub(super) place: Place,
    pub(super) options: JsonlOptions,
    pub(super) tree: RwLock<Tree>,
    /// Whoever holds it writes.
    pub(super) log: Mutex<Log>,
    /// What is in the log that counts, about, in bytes.
    pub(super) live: AtomicU64,
    /// The log is not compacted before it is this large: larger after a compaction that failed.
    pub(super) not_before: AtomicU64,
    pub(super) compactions: AtomicU64,
    pub(super) stopping: AtomicBool,
    _held: Held,
}

/// What a handle knows of the groups of all. It changes only while the log is locked.
#[derive(Default)]
pub(super) struct Seen {
    /// The number of the last group that it wrote or has seen.
    last: AtomicU64,
    /// Grows whenever another handle was seen to have written.
    pub(super) foreign: AtomicU64,
}

impl Seen {
    fn look(&self, last: u64) {
        if self.last.swap(last, Ordering::Relaxed) != last {
            self.foreign.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("options", &self.core.options)
            .finish_non_exhaustive()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.core.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.compacting.get_mut().take() {
            // It looks at `stopping` after each piece.
            let _ = thread.join();
        }
    }
}

fn weight(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64 + ROW
}

/// Does a change to the rows; how many bytes more, and how many fewer, count afterwards.
fn apply(tree: &mut Tree, (key, value): Change) -> (u64, u64) {
    let before = match &value {
        Some(_) => None,
        None => tree.remove(&key[..]).map(|old| weight(&key, &old)),
    };
    let Some(value) = value else {
        return (0, before.unwrap_or(0));
    };
    let more = weight(&key, &value);
    let size = key.len();
    let old = tree.insert(key.into_boxed_slice(), value.into_boxed_slice());
    let fewer = old.map_or(0, |old| (size + old.len()) as u64 + ROW);
    (more, fewer)
}

impl Journal {
    /// The journal of a path, which others of this process may have open.
    pub(super) fn share(options: JsonlOptions) -> Result<Shared<Self>> {
        let place = Place::find(&options.path, options.allow_network_file_system)?;
        let path = place.log.clone();
        let durability = options.durability;
        OPEN.share(
            &path,
            |known| {
                if known.core.options.durability == durability {
                    return Ok(());
                }
                Err(Error::new(
                    ErrorKind::Configuration,
                    "open jsonl",
                    format!(
                        "this process has the store \"{}\" open with another durability; open it with the same",
                        path.display()
                    ),
                ))
            },
            || Self::open(place, options),
        )
    }

    fn open(place: Place, options: JsonlOptions) -> Result<Self> {
        let held = place.hold()?;
        let mut tree = Tree::new();
        let mut live = 0_u64;
        let log = Log::open(&place, |changes| {
            for change in changes {
                let (more, fewer) = apply(&mut tree, change);
                live = (live + more).saturating_sub(fewer);
            }
        })?;
        Ok(Self {
            core: Arc::new(Core {
                place,
                options,
                tree: RwLock::new(tree),
                log: Mutex::new(log),
                live: AtomicU64::new(live),
                not_before: AtomicU64::new(0),
                compactions: AtomicU64::new(0),
                stopping: AtomicBool::new(false),
                _held: held,
            }),
            compacting: Mutex::default(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.core.place.log
    }

    /// One group.
    pub(super) fn write(
        &self,
        seen: &Seen,
        run: &mut dyn FnMut(&mut dyn Rows) -> Result<()>,
    ) -> Result<()> {
        let core = &self.core;
        let mut log = core.log.lock();
        seen.look(log.number);
        log.check(self.path())?;
        let changed = {
            let tree = core.tree.read();
            let mut rows = Writing {
                below: Reading(&tree),
                changed: BTreeMap::new(),
            };
            run(&mut rows)?;
            rows.changed
        };
        if changed.is_empty() {
            return Ok(());
        }
        let mut group = Group::default();
        for (key, value) in &changed {
            group.add(key, value.as_deref());
        }
        let group = group.close(Kind::Commit, log.number + 1);
        let sync = core.options.durability == JsonlDurability::Strict;
        log.append(&group, sync)
            .map_err(|source| fault(self.path(), "commit", source))?;
        let mut tree = core.tree.write();
        let (mut more, mut fewer) = (core.live.load(Ordering::Relaxed), 0);
        for change in changed {
            let (added, gone) = apply(&mut tree, change);
            more += added;
            fewer += gone;
        }
        drop(tree);
        core.live
            .store(more.saturating_sub(fewer), Ordering::Relaxed);
        seen.last.store(log.number, Ordering::Relaxed);
        let is_large = core.is_large(log.end);
        drop(log);
        if is_large {
            self.compact();
        }
        Ok(())
    }

    /// Looks whether other handles wrote. A writer at work looks for itself.
    pub(super) fn look(&self, seen: &Seen) {
        if let Some(log) = self.core.log.try_lock() {
            seen.look(log.number);
        }
    }

    pub(super) fn read(&self, run: &mut dyn FnMut(&dyn Rows) -> Result<()>) -> Result<()> {
        run(&Reading(&self.core.tree.read()))
    }

    /// Starts a compaction, unless one is under way.
    fn compact(&self) {
        let mut compacting = self.compacting.lock();
        if compacting
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
        {
            return;
        }
        let core = Arc::clone(&self.core);
        let thread = std::thread::Builder::new().name("tlo-compact".to_owned());
        match thread.spawn(move || compact::run(&core)) {
            Ok(thread) => *compacting = Some(thread),
            Err(error) => tracing::warn!(%error, "the log is not compacted now"),
        }
    }

    /// Reads the log as it is on the disk.
    pub(super) fn check(&self) -> Result<Vec<String>> {
        let (file, end) = {
            let log = self.core.log.lock();
            let file = log.reader(self.path());
            let file = file.map_err(|source| fault(self.path(), "check jsonl", source))?;
            (file, log.end)
        };
        let read = match read_through(self.path(), &file, end, drop) {
            Ok(read) => read,
            Err(error) => return Ok(vec![error.to_string()]),
        };
        let rest = read
            .rest
            .map(|rest| format!("line {}: {}", rest.line, rest.why));
        Ok(rest.into_iter().collect())
    }
}

impl Core {
    /// Whether so little of the log counts that it should be written anew.
    fn is_large(&self, end: u64) -> bool {
        let live = self.live.load(Ordering::Relaxed);
        end >= self.options.compact_bytes
            && end >= self.not_before.load(Ordering::Relaxed)
            && end / self.options.compact_ratio >= live
    }
}

struct Reading<'t>(&'t Tree);

impl Rows for Reading<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.0.get(key).map(|value| value.to_vec()))
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
            owned(range.rev().take(limit))
        } else {
            owned(range.take(limit))
        })
    }
}

fn owned<K: AsRef<[u8]>, V: AsRef<[u8]>>(rows: impl Iterator<Item = (K, V)>) -> Pairs {
    rows.map(|(key, value)| (key.as_ref().to_vec(), value.as_ref().to_vec()))
        .collect()
}

fn read_only() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "write rows",
        "this transaction only reads",
    )
}

struct Writing<'t> {
    below: Reading<'t>,
    changed: BTreeMap<Vec<u8>, Written>,
}

impl Rows for Writing<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.changed.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.below.get(key),
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.changed.insert(key.to_vec(), Some(value.to_vec()));
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        // What is not there leaves no line.
        if self.below.0.contains_key(key) {
            self.changed.insert(key.to_vec(), None);
        } else {
            self.changed.remove(key);
        }
        Ok(())
    }

    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        range_over(&self.changed, from, until, limit, reverse, |limit| {
            self.below.range(from, until, limit, reverse)
        })
    }
}
