//! Limits: how many run at once, how often they start, how many may wait; changed while they hold.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::audit::AuditData;
use super::target::Target;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::id::check_name;
use crate::schedule::format_duration;
use crate::store::Change;
use crate::task::{GateRule, Rate};
use crate::timestamp::Timestamp;

/// The limits of a queue, a task name or a key, in the whole cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// So many run at once, at most; it replaces the limit that tasks carry.
    pub max: Option<u32>,
    /// How often they start.
    pub rate: Option<Rate>,
    /// For a queue: so many may wait; one more is refused with `QueueFull`.
    pub max_depth: Option<u64>,
}

/// A change of limits. What it does not set stays; `Change::Set(None)` takes a limit away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitChange {
    /// So many run at once, at most.
    pub max: Change<Option<u32>>,
    /// How often they start.
    pub rate: Change<Option<Rate>>,
    /// For a queue: so many may wait.
    pub max_depth: Change<Option<u64>>,
}

/// A target with limits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LimitedTarget {
    /// What is limited.
    #[serde(flatten)]
    pub target: Target,
    /// How.
    #[serde(flatten)]
    pub limits: Limits,
    /// The file or the program that declares them; `None` when somebody set them while it ran.
    pub declared_by: Option<String>,
    /// When its rule was last changed.
    pub since: Timestamp,
}

impl Client {
    /// Changes the limits of a queue, a task name or a key while it runs: they hold from the next claim on, in the whole
    /// cluster. Answers with the limits that hold now. What runs above a new limit goes on.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> tlo::Result<()> {
    /// use tlo::client::{LimitChange, Target};
    /// use tlo::store::Change;
    /// # let tlo = tlo::TloContext::builder().build().await?;
    /// let mail = Target::Queue("mail".to_owned());
    /// let two = LimitChange { max: Change::Set(Some(2)), ..LimitChange::default() };
    /// tlo.client().limit(&mail, two, Some("the relay is slow")).await?;
    /// assert_eq!(tlo.client().limits().await?[0].limits.max, Some(2));
    /// tlo.client().limit(&mail, LimitChange::clear(), None).await?;
    /// assert!(tlo.client().limits().await?.is_empty());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Invalid` for a limit of 0, for a schedule, for what no name can be, and for a depth of what is no queue; `TooLarge` for
    /// a name that is too long.
    pub async fn limit(
        &self,
        target: &Target,
        change: LimitChange,
        why: Option<&str>,
    ) -> Result<Limits> {
        let mut asked = Limits::default();
        change.apply(&mut asked);
        let target = self.resolved(target).await?;
        asked.check(&target)?;
        let data = |rule: &GateRule| AuditData {
            to: Some(Limits::of(rule).to_string()),
            why: why.map(str::to_owned),
            ..AuditData::default()
        };
        let changed = self
            .change_rule(&target, "limit", data, |rule| {
                let mut limits = Limits::of(rule);
                change.apply(&mut limits);
                if limits != Limits::of(rule) {
                    limits.put(rule);
                }
            })
            .await?;
        Ok(Limits::of(&changed.rule))
    }

    /// Everything that has a limit of its own.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn limits(&self) -> Result<Vec<LimitedTarget>> {
        let rules = self.rules().await?;
        Ok(rules
            .into_iter()
            .filter(|(_, rule, _)| rule.has_limits())
            .map(|(target, rule, mark)| LimitedTarget {
                target,
                limits: Limits::of(&rule),
                declared_by: rule.declared_by,
                since: mark.set_at,
            })
            .collect())
    }
}

impl LimitChange {
    /// Takes all limits away.
    #[must_use]
    pub fn clear() -> Self {
        Self {
            max: Change::Set(None),
            rate: Change::Set(None),
            max_depth: Change::Set(None),
        }
    }

    fn apply(&self, limits: &mut Limits) {
        if let Change::Set(max) = self.max {
            limits.max = max;
        }
        if let Change::Set(rate) = self.rate {
            limits.rate = rate;
        }
        if let Change::Set(max_depth) = self.max_depth {
            limits.max_depth = max_depth;
        }
    }
}

impl Limits {
    pub(super) fn of(rule: &GateRule) -> Self {
        Self {
            max: rule.max,
            rate: rule.rate,
            max_depth: rule.max_depth,
        }
    }

    /// Puts them into a rule, as set by hand.
    pub(super) fn put(&self, rule: &mut GateRule) {
        (rule.max, rule.rate, rule.max_depth) = (self.max, self.rate, self.max_depth);
        rule.declared_by = None;
    }

    /// Refuses limits that the target cannot have.
    pub(crate) fn check(&self, target: &Target) -> Result<()> {
        let refuse = |why: &str| {
            let message = format!("the limit of the {target} {why}");
            Err(Error::invalid("limit", message))
        };
        let Some(gate) = target.gate() else {
            return refuse("cannot be kept; limit the task of that name");
        };
        if target.name().is_empty() {
            return refuse("has nothing to hold for; it needs a name");
        }
        check_name("a gate key", &gate)?;
        if self.max == Some(0) {
            return refuse("is 0: nothing would ever run; pause it instead");
        }
        if self
            .rate
            .is_some_and(|rate| rate.n == 0 || rate.burst == Some(0) || rate.per.is_zero())
        {
            return refuse("has a rate that allows nothing; pause it instead");
        }
        if self.max_depth.is_some() && !matches!(target, Target::Queue(_)) {
            return refuse("has a depth, which only a queue can have");
        }
        Ok(())
    }
}

impl fmt::Display for Limits {
    /// `3 at once, 10 per 1m, at most 500 waiting`, or `no limit`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.max.map(|max| format!("{max} at once")));
        parts.extend(self.rate.map(|rate| {
            let burst = rate.burst.filter(|burst| *burst != rate.n);
            let burst = burst.map(|burst| format!(" in bursts of {burst}"));
            let per = format_duration(rate.per);
            format!("{} per {per}{}", rate.n, burst.unwrap_or_default())
        }));
        parts.extend(
            self.max_depth
                .map(|depth| format!("at most {depth} waiting")),
        );
        match parts.is_empty() {
            true => f.write_str("no limit"),
            false => f.write_str(&parts.join(", ")),
        }
    }
}
