//! The five statuses and the one table of how they follow each other.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where a task stands.
///
/// A snoozed, delayed, parked or retried task is `Pending`. The last three are terminal: workers never change them,
/// only an operator's revive leaves `Failed` and `Cancelled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskStatus {
    /// Waits to be run.
    Pending,
    /// Leased by a worker.
    Running,
    /// Ended with a result.
    Succeeded,
    /// Ended without one: out of attempts, out of luck, or failed for good.
    Failed,
    /// Ended because somebody asked, or because it expired before it started.
    Cancelled,
}

impl TaskStatus {
    /// All five, in the order above.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether the task has ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The status in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TaskStatus {
    type Err = Error;

    /// Reads the five in any case, and the words other systems use for them.
    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "pending" | "queued" | "scheduled" | "retrying" | "waiting" | "available" => {
                Ok(Self::Pending)
            }
            "running" | "executing" | "active" | "started" => Ok(Self::Running),
            "succeeded" | "success" | "completed" | "complete" | "done" | "finished" => {
                Ok(Self::Succeeded)
            }
            "failed" | "failure" | "dead" | "error" => Ok(Self::Failed),
            "cancelled" | "canceled" | "aborted" => Ok(Self::Cancelled),
            _ => Err(Error::invalid(
                "status",
                format!(
                    "\"{text}\" is no status; use pending, running, succeeded, failed or cancelled"
                ),
            )),
        }
    }
}

/// What can happen to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskEvent {
    /// A worker leases it.
    Claim,
    /// Its run ended well.
    Succeed,
    /// Its last run failed, or it can never run.
    Fail,
    /// It goes back to wait: retry, snooze, release, or its lease was lost.
    Requeue,
    /// It ends because somebody asked, or it expired.
    Cancel,
    /// An operator runs it again.
    Revive,
}

impl TaskEvent {
    /// All six, in the order above.
    pub const ALL: [Self; 6] = [
        Self::Claim,
        Self::Succeed,
        Self::Fail,
        Self::Requeue,
        Self::Cancel,
        Self::Revive,
    ];
}

/// The table has no row for this event in this status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The status the task is in.
    pub status: TaskStatus,
    /// What was asked of it.
    pub event: TaskEvent,
}

/// The status after an event: the one table that stores, checks and the reference model share.
///
/// # Errors
/// [`Refused`] when the event cannot happen in that status.
pub const fn transition(status: TaskStatus, event: TaskEvent) -> Result<TaskStatus, Refused> {
    use TaskEvent::{Cancel, Claim, Fail, Requeue, Revive, Succeed};
    use TaskStatus::{Cancelled, Failed, Pending, Running, Succeeded};
    match (status, event) {
        (Pending, Claim) => Ok(Running),
        (Running, Succeed) => Ok(Succeeded),
        (Running, Requeue) | (Failed | Cancelled, Revive) => Ok(Pending),
        (Pending | Running, Fail) => Ok(Failed),
        (Pending | Running, Cancel) => Ok(Cancelled),
        _ => Err(Refused { status, event }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_revive_leaves_a_terminal_status() {
        for status in TaskStatus::ALL.into_iter().filter(|s| s.is_terminal()) {
            for event in TaskEvent::ALL {
                let allowed = event == TaskEvent::Revive && status != TaskStatus::Succeeded;
                assert_eq!(
                    transition(status, event).is_ok(),
                    allowed,
                    "{status} {event:?}"
                );
            }
        }
    }

    #[test]
    fn the_words_of_other_systems_are_read() {
        for (word, status) in [
            ("QUEUED", TaskStatus::Pending),
            ("Running", TaskStatus::Running),
            ("completed", TaskStatus::Succeeded),
            ("done", TaskStatus::Succeeded),
            ("canceled", TaskStatus::Cancelled),
            ("FAILED", TaskStatus::Failed),
        ] {
            assert_eq!(word.parse::<TaskStatus>().ok(), Some(status), "{word}");
        }
        assert!("lost".parse::<TaskStatus>().is_err());
    }
}
