//! Whether a migration may begin.

use std::collections::HashSet;

use super::progress::{Begun, Stage, begun_in};
use super::{Migration, conflict, walk};
use crate::client::{WORKER_MARK, WorkerInfo};
use crate::error::{Error, Result};
use crate::id::TaskId;
use crate::page::PageRequest;
use crate::store::{CountBy, MarkExpect, SharedStore, TaskFilter};
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
    let marks = store.marks(WORKER_MARK, None, 1_000).await?;
    let Some(until) = marks.iter().filter_map(|mark| mark.until).max() else {
        return Ok(());
    };
    let named: Vec<_> = marks
        .iter()
        .take(NAMED)
        .map(|mark| {
            let info = mark.value.decode::<WorkerInfo>().ok();
            let process = info.map(|info| format!(" (process {})", info.pid));
            format!(
                "\"{}\"{}",
                &mark.key[WORKER_MARK.len()..],
                process.unwrap_or_default()
            )
        })
        .collect();
    Err(conflict(format!(
        "{name} is not at rest: workers live on it: {}; stop them first; those that were killed are believed to live until \
         {until}",
        listed(&named, marks.len())
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

/// What is in the target.
pub(super) enum Target {
    Empty,
    /// What an earlier run of the same migration left, and the version of its mark.
    Begun(Begun, u64),
    /// Something else, in words; with the mark of a run that only compared it.
    Holds(String, MarkExpect),
}

pub(super) async fn check_target(migration: &Migration) -> Result<Target> {
    let (to, (from, name)) = (&migration.to, (&migration.names.0, &migration.names.1));
    check_workers(to, name).await?;
    let mut mark = MarkExpect::Absent;
    match begun_in(to).await? {
        Some((begun, version)) if begun.stage == Stage::Nothing => {
            mark = MarkExpect::Version(version);
        }
        Some((begun, version)) if begun.from == *from => return Ok(Target::Begun(begun, version)),
        Some((begun, _)) => {
            return Err(conflict(format!(
                "{name} holds an unfinished migration from {}, not from {from}; finish that one, or name an empty store",
                begun.from
            )));
        }
        None => {}
    }
    let has = match count(to).await? {
        0 => holds_anything(to).await?,
        1 => Some("1 task".to_owned()),
        n => Some(format!("{n} tasks")),
    };
    Ok(match has {
        None => Target::Empty,
        Some(has) => Target::Holds(has, mark),
    })
}

/// How many tasks there are.
pub(super) async fn count(store: &SharedStore) -> Result<u64> {
    let all = TaskFilter::default();
    Ok(store.count(&all, CountBy::All, usize::MAX).await?.total())
}

pub(super) fn not_empty(migration: &Migration, has: &str) -> Error {
    conflict(format!(
        "{} is not empty: it has {has} that this migration did not bring; name an empty store: another file, another \
         schema of the database, another namespace of the server",
        migration.names.1
    ))
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
