//! What most tasks of a definition have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::gate::Gate;
use super::retry::RetryPolicy;
use crate::id::TaskId;
use crate::payload::Payload;

/// What a task was given when it was made, besides what differs from one task to the next.
///
/// [`NewTask`](super::NewTask) and [`TaskStateRecord`](super::TaskStateRecord) give these fields as their own. They are
/// shared: the occurrences of a recurring task have one of these together, and writing a field of one of them makes a
/// copy for it first.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskDetails {
    /// The version of the handler, when several live side by side.
    pub version: Option<Arc<str>>,
    /// What an engine on top calls the step it is in.
    pub phase: Option<String>,
    /// Who asked, for people.
    pub created_by: Option<String>,
    /// Total runs that may fail, at least 1.
    pub max_attempts: u32,
    /// Lost leases before it fails; 0 means that it runs at most once.
    pub max_lost: u32,
    /// The back-off.
    pub retry: RetryPolicy,
    /// The longest run; none means for as long as the worker lives.
    pub timeout: Option<Duration>,
    /// At most four.
    pub gates: Vec<Gate>,
    /// The record it was made for.
    pub parent: Option<TaskId>,
    /// Words to find it by, at most 16.
    pub tags: BTreeSet<String>,
    /// Carried along, `traceparent` among them.
    pub headers: BTreeMap<String, String>,
    /// What an engine on top keeps with it.
    pub state: Option<Payload>,
}

impl Default for TaskDetails {
    /// Five attempts, five losses, the default back-off, and nothing else.
    fn default() -> Self {
        Self {
            version: None,
            phase: None,
            created_by: None,
            max_attempts: 5,
            max_lost: 5,
            retry: RetryPolicy::default(),
            timeout: None,
            gates: Vec::new(),
            parent: None,
            tags: BTreeSet::new(),
            headers: BTreeMap::new(),
            state: None,
        }
    }
}

static DEFAULT: LazyLock<Arc<TaskDetails>> = LazyLock::new(Arc::default);

impl TaskDetails {
    /// The defaults, shared by all that have them.
    #[must_use]
    pub fn shared_default() -> Arc<Self> {
        Arc::clone(&DEFAULT)
    }

    /// To be shared; the defaults take no room of their own.
    #[must_use]
    pub fn share(self) -> Arc<Self> {
        if self == **DEFAULT {
            Self::shared_default()
        } else {
            Arc::new(self)
        }
    }
}
