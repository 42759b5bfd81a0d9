//! Lines that runs say.

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineLevel {
    /// Something went wrong.
    Error,
    /// Something may be wrong.
    Warn,
    /// What happens.
    Info,
    /// For whoever looks for a fault.
    Debug,
    /// Everything.
    Trace,
}

impl LineLevel {
    /// The level in capitals, as logs write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        }
    }
}

/// A line of the log of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was said.
    pub at: Timestamp,
    /// How important it is.
    pub level: LineLevel,
    /// What was said; it may be several lines of text.
    pub text: String,
}

/// The stream of the log of an attempt, of those of its task.
pub(crate) fn log_stream(attempt: u32) -> String {
    format!("log/{attempt}")
}
