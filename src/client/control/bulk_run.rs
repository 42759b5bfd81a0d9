//! Running a bulk operation in bounded steps.

use std::time::Duration;

use super::audit::AuditData;
use super::bulk::{Bulk, BulkRefusal, BulkReport};
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::page::{Cursor, Page, PageRequest};
use crate::payload::Payload;
use crate::store::{
    Commit, Create, Effect, Guard, LeaseTo, Op, Patch, TaskFilter, TaskStateStoreExt,
};
use crate::task::{Ended, LeaseRef, NewTask, Settlement, TaskStateRecord, TaskSummary, decide};

/// The name of the records of long runs, and their queue. No worker has a handler for it.
pub(super) const NAME: &str = "tlo.bulk";

/// Tasks of one step: it is one transaction and must not hold up other writers.
const STEP: usize = 500;

/// Refusals that a report lists.
const LISTED: usize = 10;

/// How long the record of a run belongs to it when it is not heard of again; renewed with every step, and steps of the
/// slowest rate are a second apart.
const TTL: Duration = Duration::from_secs(60);

pub(super) async fn run(mut bulk: Bulk, filter: TaskFilter) -> Result<BulkReport> {
    let size = bulk
        .rate
        .and_then(|rate| usize::try_from(rate).ok())
        .map_or(STEP, |rate| rate.clamp(1, STEP));
    let mut found = fetch(&bulk, &filter, None, size, None).await?;
    let mut report = BulkReport::default();
    if found.next.is_none() && at_once(&bulk, &found.items, &mut report).await? {
        return Ok(report);
    }
    let run = Run::begin(&bulk).await?;
    report.run = Some(run.record.id.clone());
    loop {
        // What came after the run began is not meant, and neither is the run.
        let items = found.items.iter();
        let ids: Vec<TaskId> = items
            .take_while(|item| item.record.seq < run.record.seq)
            .map(|item| item.record.id.clone())
            .collect();
        let is_end = ids.len() < found.items.len() || found.next.is_none();
        let count = ids.len();
        report.stopped = run.step(&bulk, ids, &mut report).await?;
        if let Some(tell) = &mut bulk.on_progress {
            tell(&report);
        }
        if is_end || report.stopped {
            break;
        }
        let pause = bulk.pause_after(count);
        if !pause.is_zero() {
            bulk.client.clock().sleep(pause).await;
        }
        found = fetch(&bulk, &filter, found.next, size, Some(&run)).await?;
    }
    run.end(&bulk, &report).await?;
    Ok(report)
}

/// The tasks of one step: a page can be short without being the last, when many rows did not match. Going through those can
/// take long, so the run stays this one's meanwhile.
async fn fetch(
    bulk: &Bulk,
    filter: &TaskFilter,
    after: Option<Cursor>,
    size: usize,
    run: Option<&Run>,
) -> Result<Page<TaskSummary>> {
    let mut request = PageRequest {
        after,
        ..PageRequest::first(size)
    };
    let mut found = bulk.client.list(filter, request).await?;
    while found.next.is_some() && found.items.len() < size {
        request.after = found.next;
        request.limit = size - found.items.len();
        if let Some(run) = run {
            run.renew(bulk).await?;
        }
        let more = bulk.client.list(filter, request).await?;
        found.items.extend(more.items);
        (found.next, found.complete) = (more.next, more.complete);
    }
    found.items.retain(|item| !bulk.spares(&item.record.name));
    Ok(found)
}

/// Does all of it in one commit with the audit event. Answers whether it did: one task that refuses refuses the commit.
async fn at_once(bulk: &Bulk, items: &[TaskSummary], report: &mut BulkReport) -> Result<bool> {
    if items.is_empty() {
        return Ok(true);
    }
    let why = why(bulk);
    let mut commit = Commit::default();
    for item in items {
        commit = commit.then(bulk.action.op(item.record.id.clone(), &why));
    }
    let done = items.len() as u64;
    let data = AuditData {
        count: Some(done),
        ..data(bulk)
    };
    let note = bulk.client.note(bulk.action.as_str(), data.clone())?;
    let commit = commit.then(note);
    let answer = bulk.client.store().commit(vec![commit]).await?.pop();
    if matches!(answer, Some(Ok(_))) {
        report.done = done;
        bulk.client.tell_steered(bulk.action.as_str(), &data);
    }
    Ok(report.done == done)
}

fn data(bulk: &Bulk) -> AuditData {
    AuditData {
        target: bulk.target(),
        why: bulk.why.clone(),
        to: bulk.action.to(),
        ..AuditData::default()
    }
}

/// Why a task is cancelled.
fn why(bulk: &Bulk) -> String {
    let by = bulk.client.actor().unwrap_or("an operator");
    bulk.why
        .clone()
        .unwrap_or_else(|| format!("cancelled by {by}, with others"))
}

/// The record of a long run, leased to it.
struct Run {
    record: std::sync::Arc<TaskStateRecord>,
    lease: LeaseRef,
}

impl Run {
    /// Makes the record; the audit event says in the same commit that it begins.
    async fn begin(bulk: &Bulk) -> Result<Self> {
        let parts = &bulk.client.0;
        let id = parts.ids.task_id(parts.clock.now());
        let args = serde_json::json!({
            "action": bulk.action.as_str(), "target": bulk.target(), "to": bulk.action.to(), "why": bulk.why,
        });
        let mut task = NewTask::new(id.clone(), NAME, Payload::from(args));
        task.queue = NAME.into();
        // Nobody can go on with it: who ran it is gone.
        (task.max_attempts, task.max_lost) = (1, 0);
        task.created_by.clone_from(&parts.created_by);
        let create = Op::Create(Box::new(Create {
            task,
            lease_to: Some(LeaseTo {
                worker: parts.ids.worker_id("bulk")?,
                ttl: TTL,
            }),
        }));
        let begun = AuditData {
            run: Some(id.clone()),
            ..data(bulk)
        };
        let note = bulk
            .client
            .note(&format!("{} begun", bulk.action.as_str()), begun)?;
        let made = parts.store.apply(Commit::of([create, note])).await?;
        let Some(Effect::Created {
            leased: Some(record),
            ..
        }) = made.into_iter().next()
        else {
            parts.store.delete(&id).await?;
            return Err(Error::new(
                ErrorKind::Conflict,
                bulk.action.as_str(),
                format!(
                    "the queue \"{NAME}\", in which long runs are recorded, is paused or limited; resume it"
                ),
            ));
        };
        let lease = record.lease.as_ref().map(crate::task::Lease::reference);
        let lease = lease.ok_or_else(|| {
            Error::new(
                ErrorKind::Internal,
                bulk.action.as_str(),
                "a leased record has no lease",
            )
        })?;
        Ok(Self { record, lease })
    }

    /// Keeps the record.
    async fn renew(&self, bulk: &Bulk) -> Result<()> {
        let id = &self.record.id;
        let renewed = Commit::of([Op::Extend(id.clone(), TTL)]);
        let held = Guard::Held(id.clone(), self.lease);
        let commit = renewed.when(held);
        bulk.client.store().apply(commit).await.map(drop)
    }

    /// Does one step and reports it; answers whether somebody asked to stop. Each task stands by itself, and only as long
    /// as the run is this one's.
    async fn step(&self, bulk: &Bulk, ids: Vec<TaskId>, report: &mut BulkReport) -> Result<bool> {
        let why = why(bulk);
        let held = Guard::Held(self.record.id.clone(), self.lease);
        let commits = ids
            .iter()
            .map(|id| Commit::of([bulk.action.op(id.clone(), &why)]).when(held.clone()))
            .collect();
        let answers = bulk.client.store().commit(commits).await?;
        for (id, answer) in ids.into_iter().zip(answers) {
            let Err(refusal) = answer else {
                report.done += 1;
                continue;
            };
            let error = Error::from(refusal);
            if error.kind() == ErrorKind::LeaseLost {
                return Err(error);
            }
            report.refused += 1;
            if report.refusals.len() < LISTED {
                let (why, kind) = (error.to_string(), error.kind());
                report.refusals.push(BulkRefusal { id, why, kind });
            }
        }
        let progress = Patch {
            progress: Some(Payload::of(report)?),
            ..Patch::default()
        };
        let id = &self.record.id;
        let renewed = Commit::of([
            Op::Extend(id.clone(), TTL),
            Op::Patch(id.clone(), Box::new(progress)),
        ]);
        let effects = bulk.client.store().apply(renewed.when(held)).await?;
        Ok(matches!(
            effects.first(),
            Some(Effect::Extended {
                cancel_requested: true,
                ..
            })
        ))
    }

    /// Records the end, with the audit event that has the numbers.
    async fn end(&self, bulk: &Bulk, report: &BulkReport) -> Result<()> {
        let settlement = if report.stopped {
            let stopped = Ended::Aborted("somebody stopped it".to_owned());
            decide(stopped, &self.record, 0.0)
        } else {
            Settlement::success(Payload::of(report)?)
        };
        let done = AuditData {
            count: Some(report.done),
            refused: Some(report.refused),
            run: Some(self.record.id.clone()),
            ..data(bulk)
        };
        let note = bulk.client.note(bulk.action.as_str(), done.clone())?;
        let settle = Op::Settle(self.record.id.clone(), Box::new(settlement));
        let commit = Commit::of([settle, note]);
        let held = Guard::Held(self.record.id.clone(), self.lease);
        bulk.client.store().apply(commit.when(held)).await?;
        bulk.client.tell_steered(bulk.action.as_str(), &done);
        Ok(())
    }
}
