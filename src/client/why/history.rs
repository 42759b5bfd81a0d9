//! What happened to a task so far.

use super::{Reason, WhyLink};
use crate::client::{AuditEvent, Client};
use crate::error::Result;
use crate::task::{Attempt, AttemptEnd, TaskStateRecord, TaskStatus, UniqueScope};
use crate::timestamp::Timestamp;

/// Audit events read at a time, and how often: those of the last weeks of a busy cluster.
const AUDIT_PAGE: usize = 500;
const AUDIT_PAGES: usize = 20;

impl Client {
    /// What happened to a task, in the order of time.
    pub(super) async fn history(&self, record: &TaskStateRecord) -> Result<Vec<WhyLink>> {
        let mut links = vec![WhyLink::new(record.created_at, made(record))];
        let attempts = record.attempts.iter();
        links.extend(attempts.map(|attempt| ran(record, attempt)));
        let steered = self.steered(record).await?;
        let revived = steered.iter().any(|event| event.action == "revive");
        if record.forgiven > 0 && !revived {
            let forgiven = record.forgiven;
            links.push(WhyLink::new(None, Reason::Revived { forgiven }));
        }
        links.extend(steered.into_iter().map(|event| {
            let (who, why, to) = (event.data.who, event.data.why, event.data.to);
            let to = to.filter(|to| *to != *record.id.as_str());
            let action = event.action;
            WhyLink::new(
                event.at,
                Reason::Steered {
                    action,
                    who,
                    why,
                    to,
                },
            )
        }));
        // What has no time of its own stays behind what it was found after.
        let mut last = Timestamp::MIN;
        let mut timed: Vec<(Timestamp, WhyLink)> = Vec::with_capacity(links.len());
        for link in links {
            last = link.at.unwrap_or(last);
            timed.push((last, link));
        }
        timed.sort_by_key(|(at, _)| *at);
        let mut links: Vec<_> = timed.into_iter().map(|(_, link)| link).collect();
        links.extend(key(record, self.clock().now()));
        Ok(links)
    }

    /// The audit events about one task since it was made, the oldest first.
    async fn steered(&self, record: &TaskStateRecord) -> Result<Vec<AuditEvent>> {
        let id = record.id.as_str();
        let mut found = Vec::new();
        let mut before = None;
        for _ in 0..AUDIT_PAGES {
            let page = self.audit(before, AUDIT_PAGE).await?;
            let oldest = page.last().map(|event| (event.number, event.at));
            let is_full = page.len() == AUDIT_PAGE;
            found.extend(
                page.into_iter().filter(|event| {
                    event.data.target == id || event.data.to.as_deref() == Some(id)
                }),
            );
            match oldest {
                Some((number, at)) if is_full && at >= record.created_at => before = Some(number),
                _ => break,
            }
        }
        // An id that was deleted and given anew had a history of its own.
        found.retain(|event| event.at >= record.created_at);
        found.reverse();
        Ok(found)
    }
}

fn made(record: &TaskStateRecord) -> Reason {
    match (&record.schedule, record.slot) {
        (Some(schedule), Some(slot)) => Reason::SlotFired {
            schedule: schedule.to_string(),
            slot,
            id: record.id.clone(),
        },
        _ => Reason::Created {
            by: record.created_by.clone(),
            parent: record.parent.clone(),
            queue: record.queue.to_string(),
            priority: record.priority,
        },
    }
}

fn ran(record: &TaskStateRecord, run: &Attempt) -> WhyLink {
    let took = run.finished_at.since(run.started_at);
    let (attempt, worker) = (run.attempt, run.worker.clone());
    if run.outcome == AttemptEnd::Lost {
        let after = took;
        return WhyLink::new(
            run.finished_at,
            Reason::Reclaimed {
                attempt,
                worker,
                after,
            },
        );
    }
    WhyLink::new(
        run.started_at,
        Reason::Attempt {
            attempt,
            max_attempts: record.max_attempts,
            worker,
            took,
            end: run.outcome,
            error: run.error.clone(),
        },
    )
}

/// The key that it owns, or owned.
fn key(record: &TaskStateRecord, now: Timestamp) -> Option<WhyLink> {
    let unique = record.unique.as_ref()?;
    let owns = match unique.scope {
        UniqueScope::WhileQueued => record.status == TaskStatus::Pending && record.leases == 0,
        UniqueScope::WhileUnfinished => !record.status.is_terminal(),
        UniqueScope::For(_) => unique.until.is_none_or(|until| until > now),
        UniqueScope::Forever => true,
    };
    let key = unique.key.to_string();
    let reason = if owns {
        let (scope, until) = (unique.scope, unique.until);
        Reason::OwnsKey { key, scope, until }
    } else {
        Reason::GaveKeyUp { key }
    };
    Some(WhyLink::new(None, reason))
}
