//! [`Interruption`]: why a run is asked to end.

use crate::task::{Ended, TaskError};

/// Why the cancellation token of a run was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interruption {
    /// Somebody cancelled the task.
    Cancelled,
    /// The worker stops; the task goes back and runs again elsewhere.
    Stopping,
    /// The run reached its timeout.
    TimedOut,
    /// The lease was lost: whatever this run still does is not recorded.
    LeaseLost,
}

impl Interruption {
    /// The reason in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Stopping => "the worker stops",
            Self::TimedOut => "timed out",
            Self::LeaseLost => "the lease was lost",
        }
    }

    /// The end of a run that gave up because of this.
    #[must_use]
    pub fn ended(self) -> Ended {
        match self {
            Self::Cancelled => Ended::Aborted(self.as_str().to_owned()),
            Self::Stopping | Self::LeaseLost => Ended::Released,
            Self::TimedOut => Ended::TimedOut,
        }
    }

    /// The error a handler returns when it gives up because of this: `cancel` for a cancelled task, a snooze that is
    /// over at once for a stopping worker (the attempt does not count), else a retry.
    #[must_use]
    pub fn error(self) -> TaskError {
        match self {
            Self::Cancelled => TaskError::cancel(self.as_str()),
            Self::Stopping => TaskError::snooze(std::time::Duration::ZERO),
            Self::TimedOut | Self::LeaseLost => TaskError::retry(self.as_str()),
        }
    }

    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Cancelled => 1,
            Self::Stopping => 2,
            Self::TimedOut => 3,
            Self::LeaseLost => 4,
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Cancelled),
            2 => Some(Self::Stopping),
            3 => Some(Self::TimedOut),
            4 => Some(Self::LeaseLost),
            _ => None,
        }
    }
}
