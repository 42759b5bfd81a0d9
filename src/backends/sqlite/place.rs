//! The file: making it, knowing it again, and where it may not be.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};

use crate::error::{Error, ErrorKind, Result};

/// Opening in turns: closing any descriptor of a file drops the locks that the process has on it, so the descriptor
/// that makes a file must be gone before SQLite opens it anywhere in this process.
static OPENING: Mutex<()> = Mutex::new(());

/// Where a store is, and which file that was when it was opened.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    identity: Option<(u64, u64)>,
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
            refuse_network(directory)?;
        }
        create(&path)?;
        let identity = identity(&path).map_err(|source| unusable(&path, source))?;
        Ok(Self { path, identity })
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
        let (what, source) = match identity(&self.path) {
            Ok(now) if now == self.identity => return Ok(()),
            Ok(_) => ("was replaced by another file", None),
            Err(source) => ("is gone", Some(source)),
        };
        let error = Error::new(
            ErrorKind::Unavailable,
            "check sqlite file",
            format!(
                "the database \"{}\" {what} while this process had it open; nothing more is written: put the file back, or start again",
                self.path.display()
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
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        fs::metadata(wal).map_or(0, |file| file.len())
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

/// Device and inode of the file at a path.
#[cfg(unix)]
fn identity(path: &Path) -> std::io::Result<Option<(u64, u64)>> {
    use std::os::unix::fs::MetadataExt;
    let file = fs::metadata(path)?;
    Ok(Some((file.dev(), file.ino())))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> std::io::Result<Option<(u64, u64)>> {
    fs::metadata(path).map(|_| None)
}

/// File systems that are shared over a network, or through a program, by their magic numbers.
#[cfg(target_os = "linux")]
const NETWORK: &[(u32, &str)] = &[
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x0BD0_0BD0, "Lustre"),
    (0x7375_7245, "Coda"),
    (0x4750_4653, "GPFS"),
];

/// The number of the file system that a directory is on.
#[cfg(target_os = "linux")]
pub(super) fn magic(directory: &Path) -> Option<u32> {
    let system = rustix::fs::statfs(directory).ok()?;
    // The kernel's field has 32 meaningful bits; its sign and width differ between machines.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "only the low 32 bits carry the number"
    )]
    Some(system.f_type as u32)
}

#[cfg(target_os = "linux")]
fn refuse_network(directory: &Path) -> Result<()> {
    let Some(magic) = magic(directory) else {
        return Ok(());
    };
    match NETWORK.iter().find(|(number, _)| *number == magic) {
        Some((_, name)) => Err(Error::new(
            ErrorKind::Configuration,
            "open sqlite",
            format!(
                "\"{}\" is on a {name} file system, where locks may not hold and two processes can destroy a database; \
                 use a local disk, or set allow_network_file_system if you know that it is safe",
                directory.display()
            ),
        )),
        None => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn refuse_network(_directory: &Path) -> Result<()> {
    Ok(())
}
