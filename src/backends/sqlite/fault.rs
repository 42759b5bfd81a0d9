//! What SQLite's failures mean to a caller.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::error::{Error, ErrorKind};

/// The failure of an operation on the file at `path`, as TLO's error: what happened, to which file, and the way out.
pub(super) fn fault(path: &Path, operation: &'static str, source: rusqlite::Error) -> Error {
    let file = path.display();
    let (kind, message) = match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (
            ErrorKind::Unavailable,
            format!(
                "there is no room for \"{file}\" to grow; free space on its disk or raise max_bytes, and the store goes on by itself"
            ),
        ),
        Some(ErrorCode::SystemIoFailure) => (
            ErrorKind::Unavailable,
            format!(
                "the disk of \"{file}\" failed to read or write ({source}); look at the system log, the store goes on when the disk does"
            ),
        ),
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed,
        ) => (
            ErrorKind::Unavailable,
            format!(
                "another process kept \"{file}\" locked for the whole busy_timeout; try again, or find who holds it with \"fuser {file}\""
            ),
        ),
        Some(ErrorCode::OutOfMemory) => (
            ErrorKind::Unavailable,
            format!("there was not enough memory to use \"{file}\""),
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            ErrorKind::Corrupt,
            format!(
                "the database \"{file}\" is damaged ({source}); stop its processes, copy the file with its -wal, then restore a backup or run \"sqlite3 '{file}' .recover\""
            ),
        ),
        Some(ErrorCode::NotADatabase) => (
            ErrorKind::Configuration,
            format!(
                "the file \"{file}\" is not a SQLite database; choose another path, or restore a backup if it was one"
            ),
        ),
        Some(
            ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::AuthorizationForStatementDenied,
        ) => (
            ErrorKind::Configuration,
            format!(
                "the database \"{file}\" cannot be written by this user; check the owner and mode of the file and of its directory"
            ),
        ),
        Some(ErrorCode::CannotOpen) => (
            ErrorKind::Configuration,
            format!(
                "the database \"{file}\" cannot be opened; check that it is a file and that this user may read and write it and its directory"
            ),
        ),
        Some(ErrorCode::TooBig) => (
            ErrorKind::TooLarge,
            format!("a row is larger than \"{file}\" can hold"),
        ),
        _ => (
            ErrorKind::Internal,
            format!("SQLite failed on \"{file}\": {source}"),
        ),
    };
    Error::new(kind, operation, message).with_source(source)
}

/// Whether somebody else had the file locked.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// The same of an error of ours.
pub(super) fn was_busy(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<rusqlite::Error>())
        .is_some_and(is_busy)
}

/// Whether a connection should be opened anew after this error.
pub(super) fn spoils(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unavailable
            | ErrorKind::Corrupt
            | ErrorKind::Configuration
            | ErrorKind::Internal
    )
}
