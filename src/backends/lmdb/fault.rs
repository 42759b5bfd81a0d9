//! What LMDB's failures mean to a caller.

use std::io;
use std::path::Path;

use heed::{Error as Heed, MdbError};

use crate::error::{Error, ErrorKind};

/// The failure of an operation on the store at `path`, as TLO's error: what happened, to which store, and the way out.
pub(super) fn fault(path: &Path, operation: &'static str, source: Heed) -> Error {
    let place = path.display();
    let (kind, message) = match &source {
        Heed::Mdb(MdbError::MapFull) => (ErrorKind::Unavailable, full(path)),
        Heed::Mdb(MdbError::MapResized) => (
            ErrorKind::Unavailable,
            format!("another process made \"{place}\" larger; the next try sees it"),
        ),
        Heed::Mdb(MdbError::ReadersFull) => (
            ErrorKind::Unavailable,
            format!(
                "all reader slots of \"{place}\" are taken; fewer processes may share it, or their reads must end"
            ),
        ),
        Heed::Mdb(MdbError::Panic) => (
            ErrorKind::Unavailable,
            format!(
                "an earlier write to \"{place}\" failed in its last step; opening it anew did not help: look at the system log"
            ),
        ),
        Heed::Mdb(MdbError::TxnFull) => (
            ErrorKind::TooLarge,
            format!("a group of writes is larger than \"{place}\" takes in one transaction"),
        ),
        Heed::Mdb(MdbError::BadValSize) => (
            ErrorKind::TooLarge,
            format!("a row is larger than \"{place}\" can hold: keys have at most 511 bytes"),
        ),
        Heed::Mdb(
            MdbError::Corrupted
            | MdbError::PageNotFound
            | MdbError::CursorFull
            | MdbError::PageFull,
        ) => (
            ErrorKind::Corrupt,
            format!(
                "the store \"{place}\" is damaged ({source}); stop its processes, keep a copy of data.mdb, then restore a backup"
            ),
        ),
        Heed::Mdb(MdbError::Invalid | MdbError::VersionMismatch) => (
            ErrorKind::Configuration,
            format!(
                "\"{place}/data.mdb\" is not an LMDB file of this layout ({source}); choose another path, or restore a backup if it was one"
            ),
        ),
        Heed::Mdb(MdbError::Incompatible) => (ErrorKind::Configuration, foreign(path)),
        Heed::Io(failed) => disk(path, failed),
        _ => (
            ErrorKind::Internal,
            format!("LMDB failed on \"{place}\": {source}"),
        ),
    };
    Error::new(kind, operation, message).with_source(source)
}

fn disk(path: &Path, failed: &io::Error) -> (ErrorKind, String) {
    let place = path.display();
    match failed.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (ErrorKind::Unavailable, full(path))
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            ErrorKind::Configuration,
            format!(
                "the store \"{place}\" cannot be written by this user; check the owner and mode of the directory and of the files in it"
            ),
        ),
        io::ErrorKind::OutOfMemory => (
            ErrorKind::Unavailable,
            format!("there are not enough addresses or memory for \"{place}\"; see \"ulimit -v\""),
        ),
        _ => (
            ErrorKind::Unavailable,
            format!(
                "the disk of \"{place}\" failed to read or write ({failed}); look at the system log, the store goes on when the disk does"
            ),
        ),
    }
}

/// What is said when nothing more fits.
pub(super) fn full(path: &Path) -> String {
    format!(
        "there is no room for \"{}\" to grow; free space on its disk or raise max_bytes, and the store goes on by itself",
        path.display()
    )
}

/// What is said of the data of another program.
pub(super) fn foreign(path: &Path) -> String {
    format!(
        "the LMDB environment \"{}\" belongs to another program; choose another path",
        path.display()
    )
}

/// Whether LMDB said this.
pub(super) fn is(error: &Error, wanted: MdbError) -> bool {
    let said = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Heed>());
    matches!(said, Some(Heed::Mdb(found)) if *found == wanted)
}
