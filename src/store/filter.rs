//! Which records are asked for.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::id::{TaskId, WorkerId};
use crate::task::{TaskKind, TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// One call to list or count looks at no more rows than this.
pub const SCAN_LIMIT: usize = 10_000;

/// All conditions must hold; an empty filter matches everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskFilter {
    /// One of these statuses.
    pub status: Vec<TaskStatus>,
    /// Of this kind.
    pub kind: Option<TaskKind>,
    /// Of this name.
    pub name: Option<String>,
    /// In this queue.
    pub queue: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// Made for this record.
    pub parent: Option<TaskId>,
    /// Occurrences of this schedule.
    pub schedule: Option<String>,
    /// Failed with errors of this group.
    pub error_group: Option<String>,
    /// Leased by this worker.
    pub worker: Option<WorkerId>,
    /// Leased, and the lease has ended by the store's clock.
    pub lease_expired: bool,
    /// Created at or after this.
    pub created_from: Option<Timestamp>,
    /// Created before this.
    pub created_before: Option<Timestamp>,
    /// With an id that starts so.
    pub id_prefix: Option<String>,
}

impl TaskFilter {
    /// The records with one of these statuses.
    #[must_use]
    pub fn status(statuses: impl IntoIterator<Item = TaskStatus>) -> Self {
        Self {
            status: statuses.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The records of a task name.
    #[must_use]
    pub fn name(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::default()
        }
    }

    /// Whether a record matches. `expired` tells whether its lease has ended by the store's clock.
    #[must_use]
    pub fn matches(&self, record: &TaskStateRecord, expired: bool) -> bool {
        fn wants<T: PartialEq + ?Sized>(want: Option<&T>, has: Option<&T>) -> bool {
            want.is_none() || want == has
        }
        (self.status.is_empty() || self.status.contains(&record.status))
            && self.kind.is_none_or(|kind| kind == record.kind)
            && wants(self.name.as_deref(), Some(&*record.name))
            && wants(self.queue.as_deref(), Some(&*record.queue))
            && self
                .tag
                .as_ref()
                .is_none_or(|tag| record.tags.contains(tag))
            && wants(self.parent.as_ref(), record.parent.as_ref())
            && wants(self.schedule.as_deref(), record.schedule.as_deref())
            && wants(self.error_group.as_deref(), record.error_group.as_deref())
            && wants(
                self.worker.as_ref(),
                record.lease.as_ref().map(|lease| &lease.worker),
            )
            && (!self.lease_expired || expired)
            && self
                .created_from
                .is_none_or(|from| record.created_at >= from)
            && self
                .created_before
                .is_none_or(|before| record.created_at < before)
            && self
                .id_prefix
                .as_ref()
                .is_none_or(|prefix| record.id.as_str().starts_with(prefix.as_str()))
    }
}

/// How a count is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountBy {
    /// Not at all: one group, named `all`.
    All,
    /// By status.
    Status,
    /// By queue.
    Queue,
    /// By task name.
    Name,
    /// By error group.
    ErrorGroup,
}

impl CountBy {
    /// The group of a record.
    #[must_use]
    pub fn group(self, record: &TaskStateRecord) -> &str {
        match self {
            Self::All => "all",
            Self::Status => record.status.as_str(),
            Self::Queue => &record.queue,
            Self::Name => &record.name,
            Self::ErrorGroup => record.error_group.as_deref().unwrap_or(""),
        }
    }
}

/// Numbers of records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// By group.
    pub groups: BTreeMap<String, u64>,
    /// Whether everything was counted.
    pub complete: bool,
}

impl Counts {
    /// The sum of all groups.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.groups.values().sum()
    }

    /// The number of one group, 0 when it has none.
    #[must_use]
    pub fn of(&self, group: &str) -> u64 {
        self.groups.get(group).copied().unwrap_or(0)
    }
}
