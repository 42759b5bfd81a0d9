//! What failures of the server and of the way to it mean to a caller.

use tokio_postgres::error::SqlState;

use crate::error::{Error, ErrorKind};

/// Why a transaction did not come to its end.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server or the connection.
    Server(tokio_postgres::Error),
    /// The same, on a connection of `sqlx`.
    #[cfg(feature = "sqlx")]
    Sqlx(sqlx::Error),
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

#[cfg(feature = "sqlx")]
impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlx(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl Fault {
    /// A failure as TLO's error: what happened and the way out.
    pub(super) fn into_error(self, operation: &'static str) -> Error {
        let code = self.code();
        match self {
            Self::Server(error) => {
                let message = error.as_db_error().map(|error| error.message().to_owned());
                let said = message.unwrap_or_else(|| said(&error));
                told(operation, code, &said).with_source(error)
            }
            #[cfg(feature = "sqlx")]
            Self::Sqlx(error) => {
                let answer = error.as_database_error();
                let message = answer.map(|error| error.message().to_owned());
                let said = message.unwrap_or_else(|| said(&error));
                told(operation, code, &said).with_source(error)
            }
            Self::Own(error) => error,
            Self::Odd(message) => Error::new(ErrorKind::Corrupt, operation, message),
        }
    }

    /// What the server answered with.
    pub(super) fn code(&self) -> Option<SqlState> {
        match self {
            Self::Server(error) => error.code().cloned(),
            #[cfg(feature = "sqlx")]
            Self::Sqlx(error) => {
                let code = error.as_database_error()?.code()?;
                Some(SqlState::from_code(&code))
            }
            Self::Own(_) | Self::Odd(_) => None,
        }
    }

    /// Whether others were in the way, so that the same may succeed at once.
    pub(super) fn is_collision(&self) -> bool {
        self.code().is_some_and(|code| is_collision(&code))
    }

    /// Whether somebody else holds a lock that was asked for without patience.
    pub(super) fn is_busy(&self) -> bool {
        self.code() == Some(SqlState::LOCK_NOT_AVAILABLE)
    }

    /// Whether the connection is of no use any more: who takes no writes was replaced, and a new connection finds out by whom.
    pub(super) fn is_cut(&self) -> bool {
        match self {
            Self::Own(_) | Self::Odd(_) => false,
            Self::Server(error) if error.is_closed() => true,
            _ => self
                .code()
                .is_none_or(|code| is_shutdown(&code) || is_refused_write(&code)),
        }
    }
}

fn is_collision(code: &SqlState) -> bool {
    *code == SqlState::T_R_SERIALIZATION_FAILURE
        || *code == SqlState::T_R_DEADLOCK_DETECTED
        || *code == SqlState::LOCK_NOT_AVAILABLE
}

fn is_shutdown(code: &SqlState) -> bool {
    *code == SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
        || *code == SqlState::ADMIN_SHUTDOWN
        || *code == SqlState::CRASH_SHUTDOWN
        || *code == SqlState::CANNOT_CONNECT_NOW
        || code.code().starts_with("08")
}

/// A standby can begin no transaction that writes. Statements whose tables were changed since they were prepared are refused
/// by the same code; a new connection is the cure for that, too.
fn is_refused_write(code: &SqlState) -> bool {
    *code == SqlState::READ_ONLY_SQL_TRANSACTION || *code == SqlState::FEATURE_NOT_SUPPORTED
}

/// A failure of the server as TLO's error.
pub(super) fn fault(operation: &'static str, source: tokio_postgres::Error) -> Error {
    Fault::from(source).into_error(operation)
}

/// What a code of the server means, or that there is none because the connection failed.
fn told(operation: &'static str, code: Option<SqlState>, said: &str) -> Error {
    let Some(code) = code else {
        let message = format!(
            "the connection to the PostgreSQL server failed: {said}; check that it runs and can be reached, the store goes on by itself"
        );
        return Error::new(ErrorKind::Unavailable, operation, message);
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
        _ if is_collision(&code) => (
            ErrorKind::Unavailable,
            format!("others were in the way again and again: {said}; try again"),
        ),
        "53" => (
            ErrorKind::Unavailable,
            format!(
                "the PostgreSQL server has no room: {said}; free disk, memory or connections, the store goes on by itself"
            ),
        ),
        "25" | "0A" => (
            ErrorKind::Unavailable,
            format!(
                "the PostgreSQL server does not take this: {said}; where it is a standby, name the primary in the URL, or all servers and target_session_attrs=read-write"
            ),
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
    Error::new(kind, operation, message)
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
