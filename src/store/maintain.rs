//! Upkeep, in small steps.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::schedule::optional_duration_text;

/// How long finished records are kept; both limits hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Finished records older than this go; `None` keeps them.
    #[serde(with = "optional_duration_text")]
    pub age: Option<Duration>,
    /// More finished records than this go, the oldest first; `None` keeps them.
    pub count: Option<u64>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age: Some(Duration::from_secs(7 * 86_400)),
            count: Some(1_000_000),
        }
    }
}

/// What to do in one step.
#[derive(Clone, Copy, Debug)]
pub struct Maintain {
    /// Remove finished records beyond this.
    pub retention: Retention,
    /// At most this many rows in the step.
    pub limit: usize,
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Finished records removed.
    pub removed: u64,
    /// Marks whose time was over, removed.
    pub marks: u64,
    /// Parked tasks brought back because their gate was open.
    pub unparked: u64,
    /// Records that are set aside because they cannot be read, of the first thousand.
    pub unreadable: u64,
    /// Whether the limit was reached and another step would find more.
    pub more: bool,
}
