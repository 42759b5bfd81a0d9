//! Marks: small named values with compare-and-set.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::payload::Payload;
use crate::timestamp::Timestamp;

/// Marks of this prefix hold a [`GateRule`](crate::task::GateRule) and are read by every claim.
pub const GATE_MARK: &str = "gate/";

/// A named value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Its name.
    pub key: Arc<str>,
    /// Its value.
    pub value: Payload,
    /// Grows with every write of any mark of the store, so a mark that was dropped and set again differs.
    pub version: u64,
    /// When it was set.
    pub set_at: Timestamp,
    /// When it goes away by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What a writer believes about a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkExpect {
    /// It does not exist, or its time is over.
    Absent,
    /// It has this version.
    Version(u64),
}
