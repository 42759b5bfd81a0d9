//! The environment of a directory: opened once in a process, larger when it must be, opened anew after a failure.

use std::fmt;
use std::path::Path;

use heed::{Env, EnvFlags, EnvOpenOptions, MdbError, RoTxn, RwTxn, WithoutTls};
use parking_lot::{RwLock, RwLockReadGuard};

use super::fault::{fault, full, is};
use super::layout;
use super::options::{LmdbDurability, LmdbOptions};
use super::place::Place;
use super::rows::RowDb;
use crate::backends::opened::{OpenPaths, Shared};
use crate::error::{Error, ErrorKind, Result};

/// Readers at once, of all processes.
const READERS: u32 = 1022;

/// A map grows to twice its size, and by no more than this.
const LARGEST_STEP: u64 = 4 << 30;

/// Sizes of a map are multiples of this, which is one of every size that pages have.
const UNIT: u64 = 1 << 16;

/// The largest map that an address space has room for beside other things.
#[cfg(target_pointer_width = "64")]
const ADDRESSES: u64 = 1 << 43;
#[cfg(not(target_pointer_width = "64"))]
const ADDRESSES: u64 = 1 << 30;

/// Flags that decide what a power failure takes; what was asked for is read back.
const DURABLE: EnvFlags = EnvFlags::NO_SYNC
    .union(EnvFlags::NO_META_SYNC)
    .union(EnvFlags::WRITE_MAP)
    .union(EnvFlags::MAP_ASYNC);

/// The environments of this process: LMDB allows one for a directory.
static OPEN: OpenPaths<Environment> = OpenPaths::new();

/// What handles on one directory share.
pub(super) struct Environment {
    pub(super) place: Place,
    pub(super) options: LmdbOptions,
    /// Read while a transaction is open; written to close the map and open a larger one. `None` after a failure.
    opened: RwLock<Option<Opened>>,
}

/// An open environment.
pub(super) struct Opened {
    pub(super) env: Env<WithoutTls>,
    pub(super) rows: RowDb,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Environment {
    /// The environment of a directory, which others of this process may have open.
    pub(super) fn share(options: LmdbOptions) -> Result<Shared<Self>> {
        let place = Place::find(&options.path, options.allow_network_file_system)?;
        let directory = place.path().to_owned();
        let (durability, max_bytes) = (options.durability, options.max_bytes);
        OPEN.share(
            &directory,
            |known| {
                if (known.options.durability, known.options.max_bytes) == (durability, max_bytes) {
                    return Ok(());
                }
                Err(Error::new(
                    ErrorKind::Configuration,
                    "open lmdb",
                    format!(
                        "this process has the store \"{}\" open with another durability or max_bytes; open it with the same",
                        directory.display()
                    ),
                ))
            },
            || {
                let environment = Self {
                    place,
                    options,
                    opened: RwLock::default(),
                };
                environment.using(|_| Ok(()))?;
                Ok(environment)
            },
        )
    }

    pub(super) fn path(&self) -> &Path {
        self.place.path()
    }

    fn fault(&self, operation: &'static str, source: heed::Error) -> Error {
        fault(self.path(), operation, source)
    }

    /// Runs `run` while the environment stays open. What LMDB cannot do with the map as it is, is done again with the one
    /// that fits.
    pub(super) fn using<T>(&self, mut run: impl FnMut(&Opened) -> Result<T>) -> Result<T> {
        let mut renewed = false;
        loop {
            let opened = self.open()?;
            let Some(now) = opened.as_ref() else { continue };
            let size = now.env.info().map_size as u64;
            let done = run(now);
            let Err(error) = done else { return done };
            drop(opened);
            if is(&error, MdbError::MapFull) {
                self.grow(size)?;
            } else if is(&error, MdbError::MapResized) && !renewed {
                // Another process made the file larger.
                renewed = true;
                self.reopen(|now| now == size, None)?;
            } else if is(&error, MdbError::Panic) && !renewed {
                // An earlier write failed in its last step: LMDB refuses all that follow.
                renewed = true;
                tracing::warn!(%error, "the environment is opened anew");
                self.reopen(|_| true, None)?;
            } else {
                return Err(error);
            }
        }
    }

    /// As [`using`](Self::using), unless another thread is about to open a larger map.
    pub(super) fn glance<T>(&self, run: impl FnOnce(&Opened) -> T) -> Option<T> {
        let opened = self.opened.try_read()?;
        opened.as_ref().map(run)
    }

    /// Begins a read; slots that dead processes left are given back when there are none.
    pub(super) fn read<'e>(&self, opened: &'e Opened) -> Result<RoTxn<'e, WithoutTls>> {
        let fault = |source| self.fault("begin read", source);
        match opened.env.read_txn() {
            Err(heed::Error::Mdb(MdbError::ReadersFull)) => {
                opened.env.clear_stale_readers().map_err(fault)?;
                opened.env.read_txn().map_err(fault)
            }
            begun => begun.map_err(fault),
        }
    }

    /// Begins a write. Waits for writers of other threads and processes.
    pub(super) fn write<'e>(&self, opened: &'e Opened) -> Result<RwTxn<'e>> {
        let begun = opened.env.write_txn();
        begun.map_err(|source| self.fault("begin write", source))
    }

    /// Grows the map before a write that might not fit any more.
    pub(super) fn make_room(&self) -> Result<()> {
        let room = self.glance(|opened| {
            let info = opened.env.info();
            let page = u64::from(opened.env.unnamed_database_stat().page_size);
            let used = (info.last_page_number as u64 + 1).saturating_mul(page);
            let size = info.map_size as u64;
            (size.saturating_sub(used) < size / 8, size)
        });
        match room {
            Some((true, size)) if size < self.limit() => self.grow(size),
            _ => Ok(()),
        }
    }

    /// The largest map.
    fn limit(&self) -> u64 {
        let with_reserve = |bytes: u64| bytes.saturating_add((bytes / 8).max(4 << 20));
        let limit = self.options.max_bytes.map_or(ADDRESSES, with_reserve);
        limit.min(ADDRESSES).next_multiple_of(UNIT)
    }

    /// Makes the map larger than this, unless somebody did.
    fn grow(&self, size: u64) -> Result<()> {
        let limit = self.limit();
        if size >= limit {
            return Err(Error::new(
                ErrorKind::Unavailable,
                "grow lmdb",
                full(self.path()),
            ));
        }
        let larger = size.saturating_add(size.min(LARGEST_STEP));
        let larger = larger.next_multiple_of(UNIT).min(limit);
        tracing::debug!(path = %self.path().display(), bytes = larger, "the map grows");
        self.reopen(|now| now <= size, Some(larger))
    }

    /// The environment, opened when it is not.
    fn open(&self) -> Result<RwLockReadGuard<'_, Option<Opened>>> {
        let opened = self.opened.read();
        if opened.is_some() {
            return Ok(opened);
        }
        drop(opened);
        self.reopen(|_| false, None)?;
        Ok(self.opened.read())
    }

    /// Closes the environment, when its map is one that `is_wrong`, and opens it with this size, or with the one that the
    /// file says. Waits for the transactions of this process.
    fn reopen(&self, is_wrong: impl Fn(u64) -> bool, size: Option<u64>) -> Result<()> {
        let mut opened = self.opened.write();
        if let Some(now) = opened.as_ref()
            && !is_wrong(now.env.info().map_size as u64)
        {
            return Ok(());
        }
        *opened = None;
        let mut env = self.connect(size)?;
        let wanted = self.options.map_bytes.min(self.limit());
        if (env.info().map_size as u64) < wanted {
            drop(env);
            env = self.connect(Some(wanted.next_multiple_of(UNIT)))?;
        }
        self.expect_durable(&env)?;
        env.clear_stale_readers()
            .map_err(|source| self.fault("open lmdb", source))?;
        let rows = layout::rows(self.path(), &env)?;
        self.place.know();
        *opened = Some(Opened { env, rows });
        Ok(())
    }

    fn flags(&self) -> EnvFlags {
        match self.options.durability {
            LmdbDurability::Strict => EnvFlags::empty(),
            LmdbDurability::Relaxed => EnvFlags::NO_META_SYNC,
        }
    }

    #[allow(
        unsafe_code,
        reason = "a map of a file is only as good as the file: the directory is opened once in this process (here and by \
                  heed), LMDB's own lock file keeps processes apart, file systems where that does not hold are refused, \
                  and the flags are among those with which the file stays whole"
    )]
    fn connect(&self, size: Option<u64>) -> Result<Env<WithoutTls>> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.max_dbs(layout::DATABASES).max_readers(READERS);
        if let Some(size) = size {
            // The limit fits where it is used.
            options.map_size(usize::try_from(size).unwrap_or(usize::MAX));
        }
        // SAFETY: see the reason above.
        let opened = unsafe { options.flags(self.flags()).open(self.path()) };
        opened.map_err(|source| self.fault("open lmdb", source))
    }

    /// What makes it durable is read back.
    fn expect_durable(&self, env: &Env<WithoutTls>) -> Result<()> {
        let flags = env
            .get_flags()
            .map_err(|source| self.fault("open lmdb", source))?;
        let answered = EnvFlags::from_bits_truncate(flags).intersection(DURABLE);
        if answered == self.flags() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Configuration,
            "open lmdb",
            format!(
                "LMDB answered the flags {answered:?} for \"{}\", so it cannot keep its promise",
                self.path().display()
            ),
        ))
    }
}
