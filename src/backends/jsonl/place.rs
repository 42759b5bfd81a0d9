//! The files: the log, the lock beside it, and the log that is to take its place.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fault::fault;
use crate::backends::disk::refuse_network;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::host_name::host_name;

/// Where a store is. Held, it is this process'.
#[derive(Debug)]
pub(super) struct Place {
    /// In its canonical form.
    pub(super) log: PathBuf,
    directory: PathBuf,
}

/// Held while the store is open; the system lets go of it when the process ends, however it does.
#[derive(Debug)]
pub(super) struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // Closing it is not enough: a program that this process is just starting has a copy of it for a moment, and with it
        // the lock.
        let _ = self.0.unlock();
    }
}

/// What a holder writes down for those who come after it.
#[derive(Serialize, Deserialize)]
struct Holder {
    pid: u32,
    host: String,
    since: String,
}

impl Place {
    /// Finds the directory.
    pub(super) fn find(path: &Path, allow_network: bool) -> Result<Self> {
        let refused = |message| Err(Error::new(ErrorKind::Configuration, "open jsonl", message));
        let path = std::path::absolute(path).map_err(|source| fault(path, "open jsonl", source))?;
        let directory = path.parent().unwrap_or(Path::new("/"));
        if !directory.is_dir() {
            return refused(format!(
                "the directory \"{}\" of the store's file \"{}\" does not exist; create it, or set another path",
                directory.display(),
                path.display()
            ));
        }
        if path.is_dir() {
            return refused(format!(
                "\"{}\" is a directory; name a file in it",
                path.display()
            ));
        }
        if !allow_network {
            refuse_network("open jsonl", directory)?;
        }
        // Through a symbolic link, so that what is renamed takes the place of the file and not of the link.
        let log = match fs::canonicalize(&path) {
            Ok(log) => Ok(log),
            Err(source) if source.kind() == io::ErrorKind::NotFound => fs::canonicalize(directory)
                .map(|directory| directory.join(path.file_name().unwrap_or_default())),
            Err(source) => Err(source),
        };
        let log = log.map_err(|source| fault(&path, "open jsonl", source))?;
        let directory = log.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self { log, directory })
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.log.clone().into_os_string();
        path.push(ending);
        PathBuf::from(path)
    }

    /// The log that is being made.
    pub(super) fn next(&self) -> PathBuf {
        self.beside(".new")
    }

    /// Takes the store for this process.
    pub(super) fn hold(&self) -> Result<Held> {
        let path = self.beside(".lock");
        let failed = |source| fault(&path, "lock jsonl", source);
        let mut lock = own(OpenOptions::new().read(true).write(true).create(true))
            .open(&path)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(self.is_held(&mut lock)),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let holder = Holder {
            pid: std::process::id(),
            host: host_name(),
            since: SystemClock.now().to_string(),
        };
        let text = serde_json::to_string(&holder).unwrap_or_default();
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{text}"))
            .map_err(failed)?;
        Ok(Held(lock))
    }

    fn is_held(&self, lock: &mut File) -> Error {
        let mut text = String::new();
        let read = lock.read_to_string(&mut text).ok();
        let holder = read.and_then(|_| serde_json::from_str::<Holder>(&text).ok());
        let by = holder.map_or_else(
            || "another process".to_owned(),
            |Holder { pid, host, since }| format!("process {pid} on {host} since {since}"),
        );
        Error::new(
            ErrorKind::Unavailable,
            "open jsonl",
            format!(
                "the store \"{}\" is open in {by}, and one process at a time may use it; stop that one, or choose a store \
                 that processes share, such as sqlite",
                self.log.display()
            ),
        )
    }

    /// Makes an empty file for the next log.
    pub(super) fn begin_next(&self) -> io::Result<File> {
        own(OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true))
        .open(self.next())
    }

    /// Puts the next log, which is on the disk, in the place of the log.
    pub(super) fn replace(&self) -> io::Result<()> {
        fs::rename(self.next(), &self.log)?;
        self.sync_directory()
    }

    #[cfg(unix)]
    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    #[cfg(not(unix))]
    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    /// Opens the log; `None` when there is none, or nothing in it.
    pub(super) fn open(&self) -> io::Result<Option<File>> {
        match OpenOptions::new().read(true).write(true).open(&self.log) {
            Ok(file) if file.metadata()?.len() == 0 => Ok(None),
            Ok(file) => Ok(Some(file)),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(source),
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// For the owner only.
fn own(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}
