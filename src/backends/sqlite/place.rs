//! The file: making it, knowing it again, and where it may not be.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};

use crate::backends::disk::{Identity, identity, refuse_network};
use crate::error::{Error, ErrorKind, Result};

/// Opening in turns: closing any descriptor of a file drops the locks that the process has on it, so the descriptor
/// that makes a file must be gone before SQLite opens it anywhere in this process.
static OPENING: Mutex<()> = Mutex::new(());

/// Where a store is, and which file that was when it was opened.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    identity: Identity,
    log: PathBuf,
    log_identity: Mutex<Identity>,
}

impl Place {
    /// Finds or makes the file.
    pub(super) fn find(path: &Path, allow_network: bool) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|source| unusable(path, source))?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        if !directory.is_dir() {
            return Err(Error::new(
                ErrorKind::Configuration,
                "open sqlite",
                format!(
                    "the directory \"{}\" of the store's file \"{}\" does not exist; create it, or set another path",
                    directory.display(),
                    path.display()
                ),
            ));
        }
        if path.is_dir() {
            return Err(Error::new(
                ErrorKind::Configuration,
                "open sqlite",
                format!("\"{}\" is a directory; name a file in it", path.display()),
            ));
        }
        if !allow_network {
            refuse_network("open sqlite", directory)?;
        }
        create(&path)?;
        let identity = identity(&path).map_err(|source| unusable(&path, source))?;
        // SQLite keeps the log beside the file that a symbolic link leads to.
        let mut log = fs::canonicalize(&path)
            .map_err(|source| unusable(&path, source))?
            .into_os_string();
        log.push("-wal");
        Ok(Self {
            path,
            identity,
            log: PathBuf::from(log),
            log_identity: Mutex::default(),
        })
    }

    /// Held while a store opens.
    pub(super) fn turn() -> MutexGuard<'static, ()> {
        OPENING.lock()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails when the path leads to another file now, or to none: what is written would be seen by nobody.
    pub(super) fn check(&self) -> Result<()> {
        self.compare(&self.path, self.identity)
    }

    /// Remembers the write-ahead log, which lives as long as a connection does.
    pub(super) fn know_log(&self) {
        *self.log_identity.lock() = identity(&self.log).unwrap_or_default();
    }

    /// Fails when the log was taken away under an open connection.
    pub(super) fn check_log(&self) -> Result<()> {
        match *self.log_identity.lock() {
            None => Ok(()),
            known => self.compare(&self.log, known),
        }
    }

    fn compare(&self, path: &Path, known: Identity) -> Result<()> {
        let (what, source) = match identity(path) {
            Ok(now) if now == known => return Ok(()),
            Ok(_) => ("was replaced by another file", None),
            Err(source) => ("is gone", Some(source)),
        };
        let error = Error::new(
            ErrorKind::Unavailable,
            "check sqlite file",
            format!(
                "\"{}\" {what} while this process had the store open; nothing more is written: \
                 put the file back, or stop this process, look at the files, and start again",
                path.display()
            ),
        )
        .retryable(false);
        Err(match source {
            Some(source) => error.with_source(source),
            None => error,
        })
    }

    /// The size of the file, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// The size of the write-ahead log, in bytes; 0 when there is none.
    pub(super) fn wal_bytes(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |file| file.len())
    }
}

fn unusable(path: &Path, source: std::io::Error) -> Error {
    Error::new(
        ErrorKind::Configuration,
        "open sqlite",
        format!("the file \"{}\" cannot be used: {source}", path.display()),
    )
    .with_source(source)
}

fn create(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(unusable(path, source)),
    }
}
