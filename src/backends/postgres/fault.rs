//! What failures of the server and of the way to it mean to a caller.

use tokio_postgres::error::SqlState;

use crate::error::{Error, ErrorKind};

/// Why a transaction did not come to its end.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server or the connection.
    Server(tokio_postgres::Error),
    /// Something of ours, kept as it is.
    Own(Error),
    /// The database does not hold what it should.
    Odd(&'static str),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl Fault {
    pub(super) fn into_error(self, operation: &'static str) -> Error {
        match self {
            Self::Server(error) => fault(operation, error),
            Self::Own(error) => error,
            Self::Odd(message) => Error::new(ErrorKind::Corrupt, operation, message),
        }
    }

    /// Whether others were in the way, so that the same may succeed at once.
    pub(super) fn is_collision(&self) -> bool {
        let Self::Server(error) = self else {
            return false;
        };
        matches!(
            error.code(),
            Some(code) if *code == SqlState::T_R_SERIALIZATION_FAILURE || *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::LOCK_NOT_AVAILABLE
        )
    }

    /// Whether the connection is of no use any more.
    pub(super) fn is_cut(&self) -> bool {
        match self {
            Self::Server(error) => error.is_closed() || error.code().is_none_or(is_shutdown),
            Self::Own(_) | Self::Odd(_) => false,
        }
    }
}

fn is_shutdown(code: &SqlState) -> bool {
    *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        || *code == SqlState::ADMIN_SHUTDOWN
        || *code == SqlState::CRASH_SHUTDOWN
        || *code == SqlState::CANNOT_CONNECT_NOW
        || code.code().starts_with("08")
}

/// Whether somebody else holds a lock that was asked for without patience.
pub(super) fn is_busy(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// A failure as TLO's error: what happened and the way out.
pub(super) fn fault(operation: &'static str, source: tokio_postgres::Error) -> Error {
    let said = source
        .as_db_error()
        .map_or_else(|| said(&source), |error| error.message().to_owned());
    let Some(code) = source.code().cloned() else {
        let message = format!(
            "the connection to the PostgreSQL server failed: {said}; check that it runs and can be reached, the store goes on by itself"
        );
        return Error::new(ErrorKind::Unavailable, operation, message).with_source(source);
    };
    let (kind, message) = match &code.code()[..2] {
        _ if is_shutdown(&code) => (
            ErrorKind::Unavailable,
            format!(
                "the PostgreSQL server stops, starts or ended the connection ({said}); the store goes on by itself"
            ),
        ),
        "28" => (
            ErrorKind::Configuration,
            format!(
                "the PostgreSQL server refuses this user: {said}; check user and password of the URL and pg_hba.conf"
            ),
        ),
        "3D" => (
            ErrorKind::Configuration,
            format!("{said}; create the database, or name another one in the URL"),
        ),
        _ if code == SqlState::INSUFFICIENT_PRIVILEGE => (
            ErrorKind::Configuration,
            format!(
                "the user of the URL may not do this: {said}; grant it the schema of the store, or have its owner open the store once"
            ),
        ),
        _ if code == SqlState::QUERY_CANCELED => (
            ErrorKind::Timeout,
            format!("the PostgreSQL server gave up: {said}"),
        ),
        _ if code == SqlState::T_R_SERIALIZATION_FAILURE
            || code == SqlState::T_R_DEADLOCK_DETECTED
            || code == SqlState::LOCK_NOT_AVAILABLE =>
        {
            (
                ErrorKind::Unavailable,
                format!("others were in the way again and again: {said}; try again"),
            )
        }
        "53" => (
            ErrorKind::Unavailable,
            format!(
                "the PostgreSQL server has no room: {said}; free disk, memory or connections, the store goes on by itself"
            ),
        ),
        "25" => (
            ErrorKind::Unavailable,
            format!("the PostgreSQL server takes no writes: {said}; connect to the primary"),
        ),
        "58" | "XX" => (
            ErrorKind::Unavailable,
            format!("the PostgreSQL server failed: {said}; look at its log"),
        ),
        "42" => (
            ErrorKind::Configuration,
            format!(
                "the tables of the store are not as they should be: {said}; open the store anew, or restore its schema"
            ),
        ),
        _ => (
            ErrorKind::Internal,
            format!("PostgreSQL failed with {}: {said}", code.code()),
        ),
    };
    Error::new(kind, operation, message).with_source(source)
}

/// What an error and its causes say.
fn said(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            said.push_str(": ");
            said.push_str(&text);
        }
        cause = error.source();
    }
    said
}
