//! What the failures of files mean to a caller.

use std::io;
use std::path::Path;

use crate::error::{Error, ErrorKind};

/// The failure of an operation on the log at `path`, as TLO's error: what happened, to which file, and the way out.
pub(super) fn fault(path: &Path, operation: &'static str, source: io::Error) -> Error {
    let file = path.display();
    let (kind, message) = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            (
                ErrorKind::Unavailable,
                format!(
                    "there is no room for \"{file}\" to grow; free space on its disk, and the store goes on by itself"
                ),
            )
        }
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotFound
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory => (
            ErrorKind::Configuration,
            format!(
                "the log \"{file}\" cannot be used ({source}); check the owner and mode of the file and of its directory"
            ),
        ),
        _ => (
            ErrorKind::Unavailable,
            format!(
                "the disk of \"{file}\" failed to read or write ({source}); look at the system log, the store goes on when the disk does"
            ),
        ),
    };
    Error::new(kind, operation, message).with_source(source)
}
