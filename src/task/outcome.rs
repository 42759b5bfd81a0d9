//! What a handler answers.

use std::fmt;
use std::time::Duration;

use super::due::Due;
use crate::payload::Payload;
use crate::timestamp::Timestamp;

/// How a run ended, as a value.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It ended with this result.
    Success(Payload),
    /// It ended otherwise.
    Error(TaskError),
}

/// Why a handler did not succeed, and what should happen now.
///
/// Any `std::error::Error` turns into a retry with `?`, so most handlers never name this type:
///
/// ```
/// use tlo::{Payload, TaskError, TaskResult};
/// fn charge(amount: &str) -> TaskResult<u32> {
///     let amount: i64 = amount.parse()?;                       // a retry
///     if amount < 0 {
///         return Err(TaskError::fail("a charge cannot be negative")); // never again
///     }
///     Ok(u32::try_from(amount)?)
/// }
/// assert!(charge("12").is_ok() && charge("x").is_err());
/// ```
#[derive(Clone, PartialEq)]
pub struct TaskError {
    pub(crate) action: Action,
    pub(crate) message: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    Retry { after: Option<Duration> },
    Fail,
    Cancel,
    Snooze(Due),
}

/// What handlers usually return.
pub type TaskResult<T = ()> = std::result::Result<T, TaskError>;

impl TaskError {
    /// Try again by the task's retry policy, while attempts are left.
    #[must_use]
    pub fn retry(message: impl fmt::Display) -> Self {
        Self {
            action: Action::Retry { after: None },
            message: message.to_string(),
        }
    }

    /// Try again after this wait instead of the policy's, while attempts are left.
    #[must_use]
    pub fn retry_after(wait: Duration, message: impl fmt::Display) -> Self {
        Self {
            action: Action::Retry { after: Some(wait) },
            message: message.to_string(),
        }
    }

    /// Fail for good: no further attempt.
    #[must_use]
    pub fn fail(message: impl fmt::Display) -> Self {
        Self {
            action: Action::Fail,
            message: message.to_string(),
        }
    }

    /// End as cancelled.
    #[must_use]
    pub fn cancel(reason: impl fmt::Display) -> Self {
        Self {
            action: Action::Cancel,
            message: reason.to_string(),
        }
    }

    /// Run again after a wait; this is not a failure and gives the attempt number back.
    #[must_use]
    pub fn snooze(wait: Duration) -> Self {
        Self {
            action: Action::Snooze(Due::In(wait)),
            message: String::new(),
        }
    }

    /// Run again at an instant; this is not a failure and gives the attempt number back.
    #[must_use]
    pub fn snooze_until(instant: Timestamp) -> Self {
        Self {
            action: Action::Snooze(Due::At(instant)),
            message: String::new(),
        }
    }

    /// Whether it asks for another attempt.
    #[must_use]
    pub fn is_retry(&self) -> bool {
        matches!(self.action, Action::Retry { .. })
    }

    /// What the error says.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.action, self.message)
    }
}

impl<E: std::error::Error> From<E> for TaskError {
    /// A retry whose message is the error and its causes, each once.
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = error.source();
        }
        Self::retry(message)
    }
}
