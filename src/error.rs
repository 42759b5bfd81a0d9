//! [`Error`]: what went wrong, in which operation, and whether trying again can help.

use std::borrow::Cow;
use std::fmt;

/// `Result` with TLO's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The kinds of failure a caller can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument, a definition or a schedule is not valid. The message names it and the way out.
    Invalid,
    /// Settings are wrong. The message names each key and where its value came from.
    Configuration,
    /// The thing named does not exist.
    NotFound,
    /// A thing of that name or id exists already.
    AlreadyExists,
    /// A guard did not hold: somebody else changed the row first, or the row's status does not allow it.
    Conflict,
    /// The lease is no longer this holder's: its write was refused and changed nothing.
    LeaseLost,
    /// The task that was waited for failed or was cancelled.
    TaskFailed,
    /// A task name that no registration, declaration or live worker knows.
    UnknownTask,
    /// A backend or registry name that no plugin provides.
    UnknownPlugin,
    /// A payload, name or key is larger than its limit.
    TooLarge,
    /// The queue reached its configured depth.
    QueueFull,
    /// The operation is not offered here, or not in this build.
    Unsupported,
    /// The backend cannot be reached or refuses to work now.
    Unavailable,
    /// The deadline passed first.
    Timeout,
    /// Stored data cannot be read. It is kept as it is.
    Corrupt,
    /// The store, runner or client was closed.
    Closed,
    /// A fault of TLO itself.
    Internal,
}

impl ErrorKind {
    /// The kind in lower-case words, as messages and logs print it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Configuration => "configuration",
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::Conflict => "conflict",
            Self::LeaseLost => "lease lost",
            Self::TaskFailed => "task failed",
            Self::UnknownTask => "unknown task",
            Self::UnknownPlugin => "unknown plugin",
            Self::TooLarge => "too large",
            Self::QueueFull => "queue full",
            Self::Unsupported => "unsupported",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Corrupt => "corrupt",
            Self::Closed => "closed",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Every error of the library.
///
/// [`kind`](Self::kind) is what a program matches on, [`operation`](Self::operation) says what was being done,
/// [`is_retryable`](Self::is_retryable) whether the same call may succeed later. The message is one sentence that
/// names the input and, where there is one, the way out; the cause is in [`source`](std::error::Error::source).
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

#[derive(thiserror::Error, Debug)]
#[error("{message}")]
struct Inner {
    kind: ErrorKind,
    operation: Cow<'static, str>,
    message: String,
    retryable: bool,
    #[source]
    source: Option<Source>,
}

impl Error {
    /// An error of this kind. `Unavailable` and `Timeout` start as retryable, the others not.
    #[must_use]
    pub fn new(
        kind: ErrorKind,
        operation: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        let retryable = matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout);
        Self(Box::new(Inner {
            kind,
            operation: operation.into(),
            message: message.into(),
            retryable,
            source: None,
        }))
    }

    /// An `Invalid` error.
    #[must_use]
    pub fn invalid(operation: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, operation, message)
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error, marked as worth trying again or not.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// What sort of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was being done, such as `submit` or `sqlite commit`.
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} ({}",
            self.0.operation, self.0.message, self.0.kind
        )?;
        if self.0.retryable {
            f.write_str(", retryable")?;
        }
        f.write_str(")")?;
        let mut cause = self
            .0
            .source
            .as_deref()
            .map(|s| s as &dyn std::error::Error);
        while let Some(error) = cause {
            write!(f, "; caused by: {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
