//! Whether a migration may begin.

use std::collections::HashSet;

use super::progress::{Begun, begun_in};
use super::{Migration, conflict, walk};
use crate::client::live_workers;
use crate::error::Result;
use crate::id::TaskId;
use crate::page::PageRequest;
use crate::store::{CountBy, SharedStore, TaskFilter};
use crate::task::{TaskStateRecord, TaskStatus};

/// How many of something an error names.
const NAMED: usize = 3;

pub(super) async fn check_source(migration: &Migration) -> Result<()> {
    let from = &migration.names.0;
    if let Some((begun, _)) = begun_in(&migration.from).await? {
        return Err(conflict(format!(
            "{from} holds an unfinished migration from {}; finish that first",
            begun.from
        )));
    }
    check_workers(&migration.from, from).await?;
    let held = live_leases(&migration.from).await?;
    if held.is_empty() {
        return Ok(());
    }
    let named: Vec<_> = held
        .iter()
        .take(NAMED)
        .filter_map(|record| {
            let lease = record.lease.as_ref()?;
            Some(format!(
                "\"{}\" by \"{}\" until {}",
                record.id, lease.worker, lease.until
            ))
        })
        .collect();
    Err(conflict(format!(
        "{from} is not at rest: {} still held: {}; stop who holds them, or wait until those leases have ended",
        match held.len() {
            1 => "1 task is".to_owned(),
            n => format!("{n} tasks are"),
        },
        listed(&named, held.len())
    )))
}

/// Up to some, and how many more there are.
fn listed(named: &[String], all: usize) -> String {
    let more = match all - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", named.join(", "))
}

async fn check_workers(store: &SharedStore, name: &str) -> Result<()> {
    let workers = live_workers(store).await?;
    if workers.is_empty() {
        return Ok(());
    }
    let named: Vec<_> = workers
        .iter()
        .take(NAMED)
        .map(|(id, info)| format!("\"{id}\" (process {})", info.pid))
        .collect();
    Err(conflict(format!(
        "{name} is not at rest: workers live on it: {}; stop them first (one that was killed is believed to live for \
         90 seconds)",
        listed(&named, workers.len())
    )))
}

/// Running tasks whose lease has not ended, by the clock of the store.
async fn live_leases(store: &SharedStore) -> Result<Vec<TaskStateRecord>> {
    let expired = TaskFilter {
        lease_expired: true,
        ..TaskFilter::default()
    };
    let ended = all(store, &expired).await?;
    let ended: HashSet<TaskId> = ended.into_iter().map(|record| record.id).collect();
    let mut running = all(store, &TaskFilter::status([TaskStatus::Running])).await?;
    running.retain(|record| !ended.contains(&record.id));
    Ok(running)
}

/// All that match; few do.
async fn all(store: &SharedStore, filter: &TaskFilter) -> Result<Vec<TaskStateRecord>> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let request = PageRequest {
            after,
            ..PageRequest::first(1_000)
        };
        let page = store.list(filter, request).await?;
        found.extend(page.items.into_iter().map(|item| item.record));
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

/// What an earlier run of the same migration left, when there is such; else the target has to be empty.
pub(super) async fn check_target(migration: &Migration) -> Result<Option<(Begun, u64)>> {
    let (to, (from, name)) = (&migration.to, (&migration.names.0, &migration.names.1));
    check_workers(to, name).await?;
    if let Some((begun, version)) = begun_in(to).await? {
        if begun.from != *from {
            return Err(conflict(format!(
                "{name} holds an unfinished migration from {}, not from {from}; finish that one, or name an empty store",
                begun.from
            )));
        }
        return Ok(Some((begun, version)));
    }
    let tasks = to
        .count(&TaskFilter::default(), CountBy::All, 10_000)
        .await?;
    let has = match tasks.total() {
        0 => holds_anything(to).await?,
        1 => Some("1 task".to_owned()),
        n => Some(format!("{n} tasks")),
    };
    match has {
        None => Ok(None),
        Some(has) => Err(conflict(format!(
            "{name} is not empty: it has {has} that this migration did not bring; name an empty store: another file, \
             another schema of the database, another namespace of the server"
        ))),
    }
}

async fn holds_anything(store: &SharedStore) -> Result<Option<String>> {
    let (mut after, mut first) = (None, true);
    while first || after.is_some() {
        let (marks, next) = walk::marks(store, after.as_deref()).await?;
        if let Some(mark) = marks.first() {
            return Ok(Some(format!("the mark \"{}\"", mark.key)));
        }
        (after, first) = (next, false);
    }
    loop {
        let page = store.holdings(after.as_deref(), 1_000).await?;
        if !page.items.is_empty() {
            return Ok(Some("events or unique keys".to_owned()));
        }
        after = page.next;
        if after.is_none() {
            return Ok(None);
        }
    }
}
