//! The directory: making it, knowing its file again, and where it may not be.

use std::fs;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::backends::disk::{Identity, identity, refuse_network};
use crate::error::{Error, ErrorKind, Result};

/// The files that LMDB has in its directory.
const FILES: [&str; 2] = ["data.mdb", "lock.mdb"];

/// Where a store is, and which file that was when it was opened.
#[derive(Debug)]
pub(super) struct Place {
    /// In its canonical form.
    directory: PathBuf,
    data: PathBuf,
    known: Mutex<Identity>,
}

impl Place {
    /// Finds or makes the directory.
    pub(super) fn find(path: &Path, allow_network: bool) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|source| unusable(path, source))?;
        let above = path.parent().unwrap_or(Path::new("/"));
        if !above.is_dir() {
            return Err(refused(format!(
                "the directory \"{}\" above the store \"{}\" does not exist; create it, or set another path",
                above.display(),
                path.display()
            )));
        }
        if !allow_network {
            refuse_network("open lmdb", if path.is_dir() { &path } else { above })?;
        }
        let mut maker = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut maker, 0o700);
        match maker.create(&path) {
            Ok(()) => {}
            Err(source) if source.kind() == std::io::ErrorKind::AlreadyExists => {
                refuse_others(&path)?;
            }
            Err(source) => return Err(unusable(&path, source)),
        }
        let directory = fs::canonicalize(&path).map_err(|source| unusable(&path, source))?;
        Ok(Self {
            data: directory.join(FILES[0]),
            directory,
            known: Mutex::default(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.directory
    }

    /// Remembers which file is open.
    pub(super) fn know(&self) {
        *self.known.lock() = identity(&self.data).unwrap_or_default();
    }

    /// Fails when the path leads to another file now, or to none: what is written would be seen by nobody.
    pub(super) fn check(&self) -> Result<()> {
        let known = *self.known.lock();
        let (what, source) = match identity(&self.data) {
            Ok(now) if known.is_none() || now == known => return Ok(()),
            Ok(_) => ("was replaced by another file", None),
            Err(source) => ("is gone", Some(source)),
        };
        let error = Error::new(
            ErrorKind::Unavailable,
            "check lmdb file",
            format!(
                "\"{}\" {what} while this process had the store open; nothing more is written: \
                 put the file back, or stop this process, look at the files, and start again",
                self.data.display()
            ),
        )
        .retryable(false);
        Err(match source {
            Some(source) => error.with_source(source),
            None => error,
        })
    }

    /// The size of the data file, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        fs::metadata(&self.data).map_or(0, |file| file.len())
    }
}

/// A directory in use for something else is not made a store of.
fn refuse_others(path: &Path) -> Result<()> {
    if !path.is_dir() {
        return Err(refused(format!(
            "\"{}\" is a file; an LMDB store is a directory: name another path",
            path.display()
        )));
    }
    if path.join(FILES[0]).exists() {
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(|source| unusable(path, source))?;
    for entry in entries {
        let name = entry.map_err(|source| unusable(path, source))?.file_name();
        if !FILES.iter().any(|file| name == *file) {
            return Err(refused(format!(
                "the directory \"{}\" holds \"{}\" and no store; name an empty directory, or one that is to be made",
                path.display(),
                name.to_string_lossy()
            )));
        }
    }
    Ok(())
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::Configuration, "open lmdb", message)
}

fn unusable(path: &Path, source: std::io::Error) -> Error {
    let path = path.display();
    refused(format!("the directory \"{path}\" cannot be used: {source}")).with_source(source)
}
