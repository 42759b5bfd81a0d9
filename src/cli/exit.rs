//! Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 conflict, 5 store unreachable, 6 waited too long, 7 the awaited task
//! failed; 130 when a second Ctrl-C, 143 when a second SIGTERM ended what the first one let finish.

use crate::error::{Error, ErrorKind};

/// The exit code of an error.
#[must_use]
pub(super) fn code(error: &Error) -> u8 {
    of_kind(error.kind())
}

/// The exit code of errors of a kind.
#[must_use]
pub(super) fn of_kind(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Invalid => 2,
        ErrorKind::NotFound | ErrorKind::UnknownTask => 3,
        ErrorKind::AlreadyExists
        | ErrorKind::Conflict
        | ErrorKind::LeaseLost
        | ErrorKind::QueueFull => 4,
        ErrorKind::Unavailable | ErrorKind::Closed => 5,
        ErrorKind::Timeout => 6,
        ErrorKind::TaskFailed => 7,
        _ => 1,
    }
}
