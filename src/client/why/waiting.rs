//! What a task waits for, or how it ended.

use super::{Reason, WhyLink};
use crate::client::{Client, WorkerInfo};
use crate::error::Result;
use crate::id::{TaskId, WorkerId};
use crate::page::{PAGE_LIMIT, PageRequest};
use crate::schedule::nearest::nearest;
use crate::store::{CountBy, GATE_MARK, TaskFilter, TaskStateStoreExt};
use crate::task::{AttemptEnd, GateRule, TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// Holders of a gate that are named.
const HOLDERS: usize = 20;

/// Pages of running tasks that are looked through for them.
const PAGES: usize = 10;

impl Client {
    /// Where the task stands now.
    pub(super) async fn present(&self, record: &TaskStateRecord) -> Result<Vec<WhyLink>> {
        match record.status {
            TaskStatus::Pending => self.waits(record).await,
            TaskStatus::Running => Ok(self.runs(record)),
            TaskStatus::Succeeded | TaskStatus::Failed | TaskStatus::Cancelled => {
                Ok(vec![WhyLink::new(record.finished_at, end(record))])
            }
        }
    }

    fn runs(&self, record: &TaskStateRecord) -> Vec<WhyLink> {
        let mut links = Vec::new();
        if let Some(lease) = &record.lease {
            let worker = lease.worker.clone();
            let (attempt, until, fence) = (record.attempt, lease.until, lease.fence);
            let leased = Reason::Leased {
                attempt,
                worker: worker.clone(),
                until,
                fence,
            };
            links.push(WhyLink::new(record.started_at, leased));
            if lease.until <= self.clock().now() {
                links.push(WhyLink::new(until, Reason::LeaseEnded { worker }));
            }
        }
        if record.cancel_requested {
            links.push(WhyLink::new(None, Reason::CancelRequested));
        }
        links
    }

    async fn waits(&self, record: &TaskStateRecord) -> Result<Vec<WhyLink>> {
        let now = self.clock().now();
        let mut links = Vec::new();
        if record.run_at > now {
            links.push(WhyLink::new(record.run_at, put_off(record)));
        }
        if let Some(at) = record.expires_at {
            links.push(WhyLink::new(at, Reason::ExpiresAt));
        }
        links.extend(self.gates(record).await?);
        links.extend(self.worker_for(record).await?);
        if record.run_at > now || links.iter().any(|link| link.reason.keeps_from_starting()) {
            return Ok(links);
        }
        links.extend(self.others_first(record).await?);
        if !links.iter().any(|link| link.reason.keeps_from_starting()) {
            links.extend(self.busy_workers(record).await?);
        }
        let is_free = |link: &WhyLink| {
            let reason = &link.reason;
            !reason.keeps_from_starting() && !matches!(reason, Reason::GateRate { .. })
        };
        if links.iter().all(is_free) {
            links.push(WhyLink::new(None, Reason::Ready));
        }
        Ok(links)
    }

    /// The closed gates in its way: the one it is parked behind, and those of its queue and its name.
    async fn gates(&self, record: &TaskStateRecord) -> Result<Vec<WhyLink>> {
        let mut links = Vec::new();
        let parked = record.parked.as_deref();
        let own = parked.map(|parked| {
            let limit = record.gates.iter().find(|gate| gate.key == parked.gate);
            (
                parked.gate.clone(),
                limit.map(|gate| gate.limit),
                parked.opens_at,
            )
        });
        let mut keys: Vec<_> = own.into_iter().collect();
        keys.push((format!("queue/{}", record.queue), None, None));
        keys.push((format!("task/{}", record.name), None, None));
        if let Some(def) = self.0.registry.get(&record.name).await?
            && def.name != record.name
        {
            keys.push((format!("task/{}", def.name), None, None));
        }
        for (gate, limit, opens_at) in keys {
            let is_parked = parked.is_some_and(|parked| parked.gate == gate);
            let link = self.closed(&gate, limit, opens_at).await?;
            match link {
                Some(link) => links.push(link),
                None if is_parked => links.push(WhyLink::new(None, Reason::GateOpens { gate })),
                None => {}
            }
        }
        Ok(links)
    }

    /// What closes a gate, if it is closed.
    async fn closed(
        &self,
        gate: &str,
        limit: Option<u32>,
        opens_at: Option<Timestamp>,
    ) -> Result<Option<WhyLink>> {
        let mark = self.store().mark(&format!("{GATE_MARK}{gate}")).await?;
        let since = mark.as_ref().map(|mark| mark.set_at);
        let rule: GateRule = mark
            .and_then(|mark| mark.value.decode().ok())
            .unwrap_or_default();
        let gate = gate.to_owned();
        if rule.paused {
            let (by, why) = (rule.by, rule.reason);
            return Ok(Some(WhyLink::new(since, Reason::Paused { gate, by, why })));
        }
        if let Some(limit) = rule.max.or(limit) {
            let held_by = self.holders(&gate, limit).await?;
            if u32::try_from(held_by.len()).is_ok_and(|held| held >= limit.min(HOLDERS as u32)) {
                let full = Reason::GateFull {
                    gate,
                    limit,
                    held_by,
                };
                return Ok(Some(WhyLink::new(None, full)));
            }
        }
        Ok(rule.rate.map(|rate| {
            let rate = Reason::GateRate {
                gate,
                starts: rate.n,
                per: rate.per,
            };
            let now = self.clock().now();
            WhyLink::new(opens_at.filter(|at| *at > now), rate)
        }))
    }

    /// Who holds places in a gate, at most so many.
    async fn holders(&self, gate: &str, limit: u32) -> Result<Vec<TaskId>> {
        let most = usize::try_from(limit).map_or(HOLDERS, |limit| limit.min(HOLDERS));
        let mut filter = TaskFilter::status([TaskStatus::Running]);
        // Holders of these are all of one queue, or of one name.
        filter.queue = gate.strip_prefix("queue/").map(str::to_owned);
        let mut page = PageRequest::first(PAGE_LIMIT);
        let mut held = Vec::new();
        for _ in 0..PAGES {
            let found = self.list(&filter, page).await?;
            let records = found.items.into_iter().map(|item| item.record);
            let holders = records.filter(|record| record.holds.iter().any(|held| held == gate));
            held.extend(holders.map(|record| record.id));
            match found.next {
                Some(next) if held.len() < most => page.after = Some(next),
                _ => break,
            }
        }
        held.truncate(most);
        Ok(held)
    }

    /// That no live worker can run it. Only shared stores know of workers.
    async fn worker_for(&self, record: &TaskStateRecord) -> Result<Option<WhyLink>> {
        if !self.store().capability().shared {
            return Ok(None);
        }
        let workers = self.workers().await?;
        if workers.iter().any(|(_, worker)| can_run(worker, record)) {
            return Ok(None);
        }
        Ok(Some(WhyLink::new(
            None,
            Reason::NoWorker {
                name: record.name.to_string(),
                version: record.version.as_ref().map(ToString::to_string),
                queue: record.queue.to_string(),
                alive: workers.len(),
                nearest: near(&workers, record),
            },
        )))
    }

    /// Who starts before it in its queue.
    async fn others_first(&self, record: &TaskStateRecord) -> Result<Option<WhyLink>> {
        let next = self.peek(&record.queue, PAGE_LIMIT).await?.items;
        let position = next.iter().position(|item| item.record.id == record.id);
        let ahead = position.unwrap_or(next.len());
        let Some(first) = next.first().filter(|_| ahead > 0) else {
            return Ok(None);
        };
        let higher = next[..ahead]
            .iter()
            .filter(|item| item.record.priority > record.priority);
        Ok(Some(WhyLink::new(
            None,
            Reason::BehindOthers {
                queue: record.queue.to_string(),
                ahead,
                at_least: position.is_none(),
                higher_priority: higher.count(),
                first: first.record.id.clone(),
            },
        )))
    }

    async fn busy_workers(&self, record: &TaskStateRecord) -> Result<Option<WhyLink>> {
        let (mut running, mut places) = (0, 0);
        let workers = self.workers().await?;
        for (id, worker) in workers.iter().filter(|(_, one)| can_run(one, record)) {
            let mut filter = TaskFilter::status([TaskStatus::Running]);
            filter.worker = Some(WorkerId::new(id)?);
            running += self.count(&filter, CountBy::All).await?.total();
            places += worker.concurrency as u64;
        }
        let busy = Reason::WorkersBusy { running, places };
        Ok((places > 0 && running >= places).then(|| WhyLink::new(None, busy)))
    }
}

impl Reason {
    /// Whether a due task does not start because of it.
    const fn keeps_from_starting(&self) -> bool {
        matches!(
            self,
            Self::Paused { .. }
                | Self::GateFull { .. }
                | Self::GateOpens { .. }
                | Self::NoWorker { .. }
                | Self::BehindOthers { .. }
                | Self::WorkersBusy { .. }
        )
    }
}

fn can_run(worker: &WorkerInfo, record: &TaskStateRecord) -> bool {
    worker.queues.iter().any(|queue| **queue == *record.queue)
        && worker.runs(&record.name, record.version.as_deref())
}

/// The nearest of what live workers offer: the right name in another version or queue, or a name like it.
fn near(workers: &[(String, WorkerInfo)], record: &TaskStateRecord) -> Option<String> {
    let name = &*record.name;
    let knows = workers.iter().find(|(_, worker)| worker.runs(name, None));
    if let Some((id, worker)) = knows {
        let of_name = worker.versions.as_ref().and_then(|all| all.get(name));
        let versions = of_name.into_iter().flatten();
        let versions: Vec<_> = versions.map(|one| format!("\"{one}\"")).collect();
        let versions = match versions.as_slice() {
            [] => String::new(),
            some => format!(" in version {}", some.join(", ")),
        };
        let queues = worker.queues.join(", ");
        return Some(format!(
            "{id}, which knows \"{name}\"{versions} and serves {queues}"
        ));
    }
    let names = workers.iter().flat_map(|(_, worker)| &worker.names);
    let close = nearest(name, names.map(String::as_str), 1).pop()?;
    let (id, _) = workers
        .iter()
        .find(|(_, worker)| worker.names.contains(&close))?;
    Some(format!("{id}, which knows \"{close}\""))
}

/// Why it is not due yet.
fn put_off(record: &TaskStateRecord) -> Reason {
    match record.attempts.last().map(|attempt| attempt.outcome) {
        Some(AttemptEnd::Snoozed) => Reason::SnoozedUntil,
        Some(
            AttemptEnd::Failed | AttemptEnd::Panicked | AttemptEnd::TimedOut | AttemptEnd::Lost,
        ) => Reason::RetryAt {
            attempt: record.attempt.saturating_add(1),
            max_attempts: record.max_attempts,
        },
        _ => Reason::Delayed,
    }
}

fn end(record: &TaskStateRecord) -> Reason {
    let said = record.error.clone().unwrap_or_default();
    let is_late = record
        .expires_at
        .is_some_and(|at| record.finished_at.is_some_and(|end| end >= at));
    match record.status {
        TaskStatus::Succeeded => Reason::Succeeded,
        TaskStatus::Cancelled if is_late && said.starts_with("expired ") => {
            Reason::Expired { why: said }
        }
        TaskStatus::Cancelled => Reason::Cancelled { why: said },
        _ => Reason::Failed { error: said },
    }
}
