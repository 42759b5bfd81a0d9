//! Limits that programs and their files declare: they come with the processes that say them, and go when none says them.

use serde::{Deserialize, Serialize};

use super::audit::AuditData;
use super::limit::Limits;
use super::target::Target;
use crate::client::{Client, live_workers};
use crate::error::{Error, Result};
use crate::task::GateRule;

/// How many of the newest audit events may tell who took a limit away.
const AUDIT_PAGE: usize = 1_000;

/// Why a declared limit goes, after the place that declared it.
const SAYS_NO_MORE: &str = "says nothing of it any more";

/// What a file or a program says about the limits of a target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeclaredLimits {
    /// Of what.
    pub target: Target,
    /// The limits.
    pub limits: Limits,
}

/// The limits that a process declares as long as it lives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Declaration {
    /// Where they are written: the path of the file, or of the program when it has read none. What says them no more takes
    /// back those of the same place.
    pub by: String,
    /// The limits.
    pub limits: Vec<DeclaredLimits>,
}

impl Declaration {
    fn limits_of(&self, target: &Target) -> Option<Limits> {
        let found = self.limits.iter().find(|one| one.target == *target);
        found.map(|one| one.limits)
    }

    /// Whether the rule is as it says.
    fn says(&self, target: &Target, rule: &GateRule) -> bool {
        rule.declared_by.as_ref() == Some(&self.by)
            && self.limits_of(target) == Some(Limits::of(rule))
    }
}

impl Client {
    /// The declaration with its targets as their rules are kept, without limits that cannot be.
    pub(crate) async fn resolved_declaration(
        &self,
        declaration: &Declaration,
    ) -> Result<Declaration> {
        let mut resolved = Declaration {
            by: declaration.by.clone(),
            limits: Vec::with_capacity(declaration.limits.len()),
        };
        for DeclaredLimits { target, limits } in &declaration.limits {
            let target = self.resolved(target).await?;
            match limits.check(&target) {
                Ok(()) => resolved.limits.push(DeclaredLimits {
                    target,
                    limits: *limits,
                }),
                Err(error) => not_in_force(&target, &declaration.by, &error),
            }
        }
        Ok(resolved)
    }

    /// Declares limits for the first time: they replace what was declared otherwise. Those that somebody set while it ran
    /// stand: answers with their targets. Others must be able to see by then that this process declares them.
    pub(crate) async fn declare(&self, mine: &Declaration) -> Result<Vec<Target>> {
        let mut stand = Vec::new();
        for DeclaredLimits { target, limits } in &mine.limits {
            // The same limits in another file are no change, as long as somebody says them there.
            let rule = self
                .put_declared(target, *limits, &mine.by, |rule| {
                    !rule.has_limits() || rule.declared_by.is_some() && Limits::of(rule) != *limits
                })
                .await?;
            if rule.is_some_and(|rule| rule.declared_by.is_none()) {
                stand.push(target.clone());
            }
        }
        self.keep_declared(mine).await?;
        Ok(stand)
    }

    /// Declares again what others took back while they did not believe in this process any more. What somebody set or
    /// cleared stands, and so does what others declared: whose it is by now shows when all who live could say so.
    pub(crate) async fn declare_what_is_missing(&self, mine: &Declaration) -> Result<()> {
        for DeclaredLimits { target, limits } in &mine.limits {
            if !self.rule(target).await?.has_limits() && !self.was_cleared(target).await? {
                self.put_declared(target, *limits, &mine.by, |rule| !rule.has_limits())
                    .await?;
            }
        }
        Ok(())
    }

    /// Whether somebody took the limits of a target away, and not a process that says nothing of them any more.
    async fn was_cleared(&self, target: &Target) -> Result<bool> {
        let target = target.to_string();
        let newest = self.audit(None, AUDIT_PAGE).await?;
        let last = newest
            .into_iter()
            .find(|event| event.action == "limit" && event.data.target == target);
        Ok(last.is_some_and(|event| {
            let why = event.data.why.unwrap_or_default();
            event.data.to == Some(Limits::default().to_string()) && !why.ends_with(SAYS_NO_MORE)
        }))
    }

    /// Puts right what other processes left behind when they ended: limits that this process declares and that nobody
    /// who lives says as they are, and those of the same file that nobody says any more. What somebody took away or set while
    /// it ran stays as it is.
    pub(crate) async fn keep_declared(&self, mine: &Declaration) -> Result<()> {
        let mut stale = Vec::new();
        for (target, rule, _) in self.rules().await? {
            let Some(by) = &rule.declared_by else {
                continue;
            };
            let concerns_me = *by == mine.by || mine.limits_of(&target).is_some();
            if concerns_me && !mine.says(&target, &rule) {
                stale.push((target, rule));
            }
        }
        if stale.is_empty() {
            return Ok(());
        }
        let live = self.live_declarations().await?;
        stale.retain(|(target, rule)| !live.iter().any(|other| other.says(target, rule)));
        let mut dropped = Vec::new();
        for (target, seen) in stale {
            if let Some(limits) = mine.limits_of(&target) {
                self.put_declared(&target, limits, &mine.by, |rule| *rule == seen)
                    .await?;
            } else if !live.iter().any(|other| other.limits_of(&target).is_some()) {
                self.drop_declared(&target, &mine.by, &seen).await?;
                dropped.push(target);
            }
        }
        if dropped.is_empty() {
            return Ok(());
        }
        // Who came in between said that it lives before it looked: either it has seen that they are gone, or is seen here.
        for other in self.live_declarations().await? {
            for target in &dropped {
                if let Some(limits) = other.limits_of(target) {
                    self.put_declared(target, limits, &other.by, |rule| !rule.has_limits())
                        .await?;
                }
            }
        }
        Ok(())
    }

    async fn live_declarations(&self) -> Result<Vec<Declaration>> {
        let workers = live_workers(self.store()).await?;
        Ok(workers
            .into_iter()
            .filter_map(|(_, worker)| worker.declares)
            .collect())
    }

    /// Writes a declared limit when the rule is one that it may replace. Answers with the rule that holds; `None` when that of
    /// this target cannot be written, which is no reason to do without the others.
    async fn put_declared(
        &self,
        target: &Target,
        limits: Limits,
        by: &str,
        may_replace: impl Fn(&GateRule) -> bool + Send + Sync,
    ) -> Result<Option<GateRule>> {
        let data = |_: &GateRule| AuditData {
            to: Some(limits.to_string()),
            why: Some(format!("as {by} says")),
            ..AuditData::default()
        };
        let changed = self
            .change_rule(target, "limit", data, |rule| {
                if may_replace(rule) {
                    limits.put(rule);
                    rule.declared_by = Some(by.to_owned());
                }
            })
            .await;
        match changed {
            Ok(changed) => Ok(Some(changed.rule)),
            Err(error) if error.is_retryable() => Err(error),
            Err(error) => {
                not_in_force(target, by, &error);
                Ok(None)
            }
        }
    }

    /// Takes a declared limit away that is still as it was seen.
    async fn drop_declared(&self, target: &Target, by: &str, seen: &GateRule) -> Result<()> {
        let data = |_: &GateRule| AuditData {
            to: Some(Limits::default().to_string()),
            why: Some(format!("{by} {SAYS_NO_MORE}")),
            ..AuditData::default()
        };
        self.change_rule(target, "limit", data, |rule| {
            if rule.declared_by == seen.declared_by && Limits::of(rule) == Limits::of(seen) {
                Limits::default().put(rule);
            }
        })
        .await?;
        Ok(())
    }
}

fn not_in_force(target: &Target, by: &str, error: &Error) {
    tracing::warn!(%error, "the limits that {by} declares for the {target} could not be put in force");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_cannot_be_does_not_keep_the_others_from_holding() {
        let tlo = crate::TloContext::builder().build().await.unwrap();
        let client = tlo.client();
        let targets = [
            Target::Schedule("never".to_owned()),
            Target::Queue("x".repeat(300)),
            Target::Queue("mail".to_owned()),
        ];
        let max = Some(2);
        let all = Declaration {
            by: "here".to_owned(),
            limits: targets
                .into_iter()
                .map(|target| DeclaredLimits {
                    target,
                    limits: Limits {
                        max,
                        ..Limits::default()
                    },
                })
                .collect(),
        };
        assert!(client.declare(&all).await.unwrap().is_empty());
        let held = client.limits().await.unwrap();
        assert_eq!((held.len(), held[0].target.name()), (1, "mail"));
        let resolved = client.resolved_declaration(&all).await.unwrap();
        assert_eq!(resolved.limits, all.limits[2..]);
    }
}
