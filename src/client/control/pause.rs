//! Pauses: nothing of a queue, a task name, a schedule or a key starts until it is resumed.

use serde::Serialize;

use super::audit::AuditData;
use super::rules::all_marks;
use super::target::Target;
use crate::client::Client;
use crate::error::Result;
use crate::task::{CURSOR_MARK, Cursor, GateRule};
use crate::timestamp::Timestamp;

/// Something that is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Paused {
    /// What.
    #[serde(flatten)]
    pub target: Target,
    /// Since when, or since its limits were last changed.
    pub since: Timestamp,
    /// Who paused it.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

impl Client {
    /// Pauses a queue, a task name, a schedule or a key in the whole cluster. What runs goes on; what is submitted waits.
    /// Answers whether it was not paused in the same way before.
    ///
    /// # Errors
    /// `NotFound` for a schedule that nobody knows, `Invalid` for a name that cannot be one.
    pub async fn pause(&self, target: &Target, reason: Option<&str>) -> Result<bool> {
        if let Target::Schedule(name) = target {
            return self.pause_schedule(name, reason).await;
        }
        let by = self.actor().map(str::to_owned);
        let reason = reason.map(str::to_owned);
        let data = |_: &GateRule| AuditData {
            why: reason.clone(),
            ..AuditData::default()
        };
        let target = self.resolved(target).await?;
        let changed = self.change_rule(&target, "pause", data, |rule| {
            // Saying it again without a reason takes none away.
            if !rule.paused || (reason.is_some() && rule.reason != reason) {
                rule.paused = true;
                rule.reason.clone_from(&reason);
                rule.by.clone_from(&by);
            }
        });
        Ok(changed.await?.is_new)
    }

    /// Lets a queue, a task name, a schedule or a key go on. Slots that passed while a schedule was paused are not made up
    /// for. Answers whether it was paused.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn resume(&self, target: &Target, why: Option<&str>) -> Result<bool> {
        if let Target::Schedule(name) = target {
            return self.resume_schedule(name, why).await;
        }
        let data = |_: &GateRule| AuditData {
            why: why.map(str::to_owned),
            ..AuditData::default()
        };
        let target = self.resolved(target).await?;
        let changed = self.change_rule(&target, "resume", data, |rule| {
            if rule.paused {
                rule.paused = false;
                rule.reason = None;
                rule.by = None;
            }
        });
        Ok(changed.await?.is_new)
    }

    /// Everything that is paused.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn paused(&self) -> Result<Vec<Paused>> {
        let mut found: Vec<Paused> = Vec::new();
        for (target, rule, mark) in self.rules().await? {
            if rule.paused {
                found.push(Paused {
                    target,
                    since: mark.set_at,
                    by: rule.by,
                    reason: rule.reason,
                });
            }
        }
        for mark in all_marks(self.store(), CURSOR_MARK).await? {
            let name = mark.key[CURSOR_MARK.len()..].to_owned();
            let pause = Cursor::read(&mark.key, &mark.value).and_then(|cursor| cursor.paused);
            found.extend(pause.map(|pause| Paused {
                target: Target::Schedule(name),
                since: pause.since,
                by: pause.by,
                reason: pause.reason,
            }));
        }
        found.sort_by(|a, b| a.target.cmp(&b.target));
        Ok(found)
    }
}
