//! What the store says at one moment.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::commands::filters::Filters;
use crate::client::Client;
use crate::error::Result;
use crate::page::PageRequest;
use crate::payload::Payload;
use crate::store::{CountBy, Counts, TaskFilter};
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// Calls for the tasks of one part: each looks at 10,000 rows, and a filter that matches few of them must not keep the
/// store busy for ever.
const LOOKS: usize = 10;

/// What a snapshot is of.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) filters: Filters,
    /// Tasks of each part.
    pub(super) limit: usize,
}

/// The tasks at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) at: Timestamp,
    /// All that match, by status.
    pub(super) counts: Counts,
    /// The newest that wait, run, and have ended, the newest first.
    pub(super) parts: [Vec<TaskStateRecord>; 3],
    /// Whether there are more than these.
    pub(super) more: bool,
}

/// The parts of a snapshot.
pub(super) const PARTS: [(&str, &[TaskStatus]); 3] = [
    ("pending", &[TaskStatus::Pending]),
    ("running", &[TaskStatus::Running]),
    (
        "finished",
        &[
            TaskStatus::Succeeded,
            TaskStatus::Failed,
            TaskStatus::Cancelled,
        ],
    ),
];

impl Snapshot {
    /// Reads it; each part by itself, so a task that moves on meanwhile can be in two of them.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn read(client: &Client, wanted: &Wanted, now: Timestamp) -> Result<Self> {
        let filter = wanted.filters.filter(now);
        let mut snapshot = Self {
            at: now,
            counts: client.count(&filter, CountBy::Status).await?,
            parts: Default::default(),
            more: false,
        };
        for ((_, statuses), part) in PARTS.iter().zip(&mut snapshot.parts) {
            let mut filter = filter.clone();
            filter.status = statuses
                .iter()
                .copied()
                .filter(|status| filter.status.is_empty() || filter.status.contains(status))
                .collect();
            // No status at all would mean any.
            if !filter.status.is_empty() {
                snapshot.more |= read_part(client, &filter, wanted.limit, part).await?;
            }
        }
        Ok(snapshot)
    }

    /// How many tasks have one of these statuses: `12`, or `9876+` when not all were counted.
    pub(super) fn count(&self, statuses: &[TaskStatus]) -> String {
        let counted = statuses
            .iter()
            .map(|status| self.counts.of(status.as_str()))
            .sum::<u64>();
        let more = if self.counts.complete { "" } else { "+" };
        format!("{counted}{more}")
    }

    /// The tasks of all parts, the newest first, each once: as it was read last.
    pub(super) fn merged(&self) -> Vec<TaskStateRecord> {
        let by_age: BTreeMap<u64, &TaskStateRecord> = self
            .parts
            .iter()
            .flatten()
            .map(|record| (record.seq, record))
            .collect();
        by_age.into_values().rev().cloned().collect()
    }

    /// For programs.
    pub(super) fn to_json(&self) -> impl Serialize {
        let [pending, running, finished] = self
            .parts
            .each_ref()
            .map(|part| part.iter().map(TaskStateRecord::to_json).collect());
        Document {
            at: self.at,
            counts: self.counts.clone(),
            pending,
            running,
            finished,
            more: self.more,
        }
    }
}

/// A snapshot as JSON.
#[derive(Serialize)]
struct Document {
    at: Timestamp,
    counts: Counts,
    pending: Vec<Payload>,
    running: Vec<Payload>,
    finished: Vec<Payload>,
    more: bool,
}

/// Reads the newest tasks of a filter, and says whether there are more.
async fn read_part(
    client: &Client,
    filter: &TaskFilter,
    limit: usize,
    part: &mut Vec<TaskStateRecord>,
) -> Result<bool> {
    let mut after = None;
    for _ in 0..LOOKS {
        let page = client
            .list(
                filter,
                PageRequest {
                    after,
                    limit: limit - part.len(),
                    newest_first: true,
                },
            )
            .await?;
        part.extend(page.items.into_iter().map(|item| item.record));
        after = page.next;
        if after.is_none() || part.len() >= limit {
            break;
        }
    }
    Ok(after.is_some())
}
