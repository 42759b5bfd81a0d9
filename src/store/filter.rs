//! Which records are asked for.

use std::collections::BTreeMap;
use std::fmt;

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

impl fmt::Display for TaskFilter {
    /// `status failed, queue "mail"`; `anything` when it is empty.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.status.is_empty() {
            let statuses: Vec<_> = self.status.iter().map(|status| status.as_str()).collect();
            parts.push(format!("status {}", statuses.join(" or ")));
        }
        parts.extend(
            self.kind
                .map(|kind| format!("kind {kind:?}").to_lowercase()),
        );
        let texts = [
            ("name", self.name.as_deref()),
            ("queue", self.queue.as_deref()),
            ("tag", self.tag.as_deref()),
            ("parent", self.parent.as_ref().map(TaskId::as_str)),
            ("schedule", self.schedule.as_deref()),
            ("error group", self.error_group.as_deref()),
            ("worker", self.worker.as_ref().map(WorkerId::as_str)),
            ("an id that starts with", self.id_prefix.as_deref()),
        ];
        let set = texts
            .into_iter()
            .filter_map(|(label, text)| Some((label, text?)));
        parts.extend(set.map(|(label, text)| format!("{label} \"{text}\"")));
        if self.lease_expired {
            parts.push("an ended lease".to_owned());
        }
        parts.extend(self.created_from.map(|at| format!("created since {at}")));
        parts.extend(self.created_before.map(|at| format!("created before {at}")));
        match parts.is_empty() {
            true => f.write_str("anything"),
            false => f.write_str(&parts.join(", ")),
        }
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
