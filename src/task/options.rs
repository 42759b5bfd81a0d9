//! What most definitions leave as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::retry::RetryPolicy;
use crate::schedule::{SchedulePolicy, optional_duration_text};

/// A limit on how many tasks of one key run at once; the key is made from the args of each task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateTemplate {
    /// Text with fields of the args, such as `user/{user_id}`.
    pub template: String,
    /// The most that run at once.
    pub limit: u32,
}

impl GateTemplate {
    /// The template of the gate that excludes others of the same task and key.
    pub(crate) fn exclusive_key(name: &str, template: &str) -> String {
        format!("exclusive/{}/{template}", literal(name))
    }

    /// The template of the gate that limits a task as a whole.
    pub(crate) fn limit_key(name: &str) -> String {
        format!("limit/{}", literal(name))
    }
}

/// A name in which braces stand for themselves.
fn literal(name: &str) -> String {
    name.replace('{', "{{").replace('}', "}}")
}

/// What a [`TaskDef`](super::TaskDef) may say besides its name, its queue, its schedule and its args; a definition gives
/// these fields as its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskOptions {
    /// The version of its handler, when several live side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Arc<str>>,
    /// Older names that this handler also runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Arc<str>>,
    /// What it is for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How its schedule treats missed and overlapping slots.
    #[serde(default)]
    pub policy: SchedulePolicy,
    /// Total attempts; by default 5 for a submitted task and 1 for an occurrence, whose next slot comes anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Lost leases before it fails, by default 5; 0 means that it runs at most once.
    #[serde(default = "default_max_lost")]
    pub max_lost: u32,
    /// The back-off between attempts.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// The longest run; none unless given.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_duration_text"
    )]
    pub timeout: Option<Duration>,
    /// How long its leases last, when not as the settings say.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_duration_text"
    )]
    pub lease: Option<Duration>,
    /// Limits by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateTemplate>,
    /// Words that all its records carry.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Anything its author wants to find again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, serde_json::Value>,
}

const fn default_max_lost() -> u32 {
    5
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self {
            version: None,
            aliases: Vec::new(),
            description: None,
            policy: SchedulePolicy::default(),
            max_attempts: None,
            max_lost: default_max_lost(),
            retry: RetryPolicy::default(),
            timeout: None,
            lease: None,
            gates: Vec::new(),
            tags: BTreeSet::new(),
            metadata: BTreeMap::new(),
        }
    }
}

impl TaskOptions {
    /// The defaults, shared by all that have them.
    #[must_use]
    pub fn shared_default() -> Arc<Self> {
        static DEFAULT: LazyLock<Arc<TaskOptions>> = LazyLock::new(Arc::default);
        Arc::clone(&DEFAULT)
    }
}
