//! How a worker stops.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What happens to running tasks when a runner stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StopBehavior {
    /// They may finish, within the drain timeout.
    #[default]
    Drain,
    /// They are asked to stop at once, and handed back.
    Cancel,
    /// They are left; their leases end by themselves.
    Ignore,
}

impl FromStr for StopBehavior {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "drain" => Ok(Self::Drain),
            "cancel" => Ok(Self::Cancel),
            "ignore" => Ok(Self::Ignore),
            _ => Err(Error::invalid("stop behavior", format!("\"{text}\" is none of drain, cancel and ignore"))),
        }
    }
}

impl fmt::Display for StopBehavior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drain => "drain",
            Self::Cancel => "cancel",
            Self::Ignore => "ignore",
        })
    }
}

/// How far stopping has come. It only goes down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Stop {
    /// Not at all.
    #[default]
    No,
    /// What is due is still claimed and run; the worker ends when nothing is.
    RunDue,
    /// Nothing new is claimed; what runs may finish.
    Drain,
    /// What runs is asked to stop.
    Cancel,
    /// What still runs is handed back and left behind.
    Release,
    /// The worker ends at once and hands nothing back.
    Abandon,
}
