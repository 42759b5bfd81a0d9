//! [`Rule`]: the parts that schedules are made of.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::combine::{self, Budget};
use super::cron::Cron;
use super::{duration_text, format_duration};
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Rule {
    Every(#[serde(with = "period_text")] Duration),
    Cron(Box<Cron>),
    At(Timestamp),
    After(#[serde(with = "duration_text")] Duration),
    Reboot,
    And(Box<(Rule, Rule)>),
    Or(Box<(Rule, Rule)>),
    Except(Box<(Rule, Rule)>),
    Between(Box<Window>),
}

/// The slots of a rule from `start` to `end`, both included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    pub(super) of: Rule,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) start: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<Timestamp>,
}

/// A period as text that is checked again when it is read.
mod period_text {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        period: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        super::duration_text::serialize(period, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let period = super::duration_text::deserialize(deserializer)?;
        super::check_period(period).map_err(serde::de::Error::custom)
    }
}

/// The period in whole microseconds, at least one.
pub(super) fn check_period(period: Duration) -> Result<Duration> {
    let micros = u64::try_from(period.as_micros()).unwrap_or(u64::MAX);
    if micros == 0 {
        return Err(Error::invalid(
            "schedule",
            format!(
                "an interval of {} never gets on; it must be at least 1us",
                format_duration(period)
            ),
        ));
    }
    Ok(Duration::from_micros(micros))
}

impl Rule {
    /// Whether its slots depend on the anchor.
    pub(super) fn counts_from_anchor(&self) -> bool {
        match self {
            Self::Every(_) | Self::After(_) => true,
            Self::Cron(_) | Self::At(_) | Self::Reboot => false,
            Self::And(both) | Self::Or(both) | Self::Except(both) => {
                both.0.counts_from_anchor() || both.1.counts_from_anchor()
            }
            Self::Between(window) => window.of.counts_from_anchor(),
        }
    }

    pub(super) fn next(
        &self,
        anchor: Timestamp,
        after: Timestamp,
        budget: &mut Budget,
    ) -> Option<Timestamp> {
        match self {
            Self::Every(period) => next_interval(*period, anchor, after),
            Self::Cron(cron) => cron.next(after),
            Self::At(instant) => (*instant > after).then_some(*instant),
            Self::After(delay) => Some(anchor.saturating_add(*delay)).filter(|slot| *slot > after),
            Self::Reboot => None,
            Self::And(both) => combine::common(
                &|after, budget| both.0.next(anchor, after, budget),
                &|after, budget| both.1.next(anchor, after, budget),
                after,
                budget,
            ),
            Self::Or(both) => {
                let mut half = budget.halve();
                let left = both.0.next(anchor, after, &mut half);
                budget.give_back(&half);
                let right = both.1.next(anchor, after, budget);
                match (left, right) {
                    (Some(left), Some(right)) => Some(left.min(right)),
                    (left, right) => left.or(right),
                }
            }
            Self::Except(both) => combine::remaining(
                &|after, budget| both.0.next(anchor, after, budget),
                &|after, budget| both.1.next(anchor, after, budget),
                &|slot| both.1.covers_until(&both.0, slot),
                after,
                budget,
            ),
            Self::Between(window) => {
                let from = match window.start {
                    Some(start) => after.max(start.saturating_sub(Duration::from_micros(1))),
                    None => after,
                };
                window
                    .of
                    .next(anchor, from, budget)
                    .filter(|slot| window.end.is_none_or(|end| *slot <= end))
            }
        }
    }

    /// The slots after `after` up to `until`, at most `most` of them, and whether these are all.
    pub(super) fn walk(
        &self,
        anchor: Timestamp,
        after: Timestamp,
        until: Timestamp,
        most: usize,
    ) -> (Vec<Timestamp>, bool) {
        let mut budget = Budget::new();
        let mut slots = Vec::new();
        let mut last = after;
        while let Some(slot) = self.next(anchor, last, &mut budget) {
            if slot > until {
                return (slots, true);
            }
            if slots.len() == most {
                return (slots, false);
            }
            slots.push(slot);
            last = slot;
        }
        (slots, !budget.is_spent())
    }

    pub(super) fn each_cron(&mut self, act: &mut dyn FnMut(&mut Cron)) {
        match self {
            Self::Cron(cron) => act(cron),
            Self::And(both) | Self::Or(both) | Self::Except(both) => {
                both.0.each_cron(act);
                both.1.each_cron(act);
            }
            Self::Between(window) => window.of.each_cron(act),
            Self::Every(_) | Self::At(_) | Self::After(_) | Self::Reboot => {}
        }
    }

    pub(super) fn first_cron(&self) -> Option<&Cron> {
        match self {
            Self::Cron(cron) => Some(cron),
            Self::And(both) | Self::Or(both) | Self::Except(both) => {
                both.0.first_cron().or_else(|| both.1.first_cron())
            }
            Self::Between(window) => window.of.first_cron(),
            Self::Every(_) | Self::At(_) | Self::After(_) | Self::Reboot => None,
        }
    }

    pub(super) fn seeded(self, name: &str) -> Result<Self> {
        let pair = |both: Box<(Self, Self)>| -> Result<Box<(Self, Self)>> {
            Ok(Box::new((both.0.seeded(name)?, both.1.seeded(name)?)))
        };
        Ok(match self {
            Self::Cron(cron) => Self::Cron(Box::new(cron.seeded(name)?)),
            Self::And(both) => Self::And(pair(both)?),
            Self::Or(both) => Self::Or(pair(both)?),
            Self::Except(both) => Self::Except(pair(both)?),
            Self::Between(window) => Self::Between(Box::new(Window {
                of: window.of.seeded(name)?,
                ..*window
            })),
            plain => plain,
        })
    }
}

/// The first of anchor + 1, 2, 3… periods after an instant.
fn next_interval(period: Duration, anchor: Timestamp, after: Timestamp) -> Option<Timestamp> {
    let period = i128::try_from(period.as_micros()).ok()?;
    let anchor = i128::from(anchor.as_micros());
    let passed = i128::from(after.as_micros()) - anchor;
    let number = if passed < 0 { 1 } else { passed / period + 1 };
    let slot = i64::try_from(anchor + number * period).ok()?;
    (slot <= Timestamp::MAX.as_micros()).then(|| Timestamp::from_micros(slot))
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every(period) => write!(f, "every {}", format_duration(*period)),
            Self::Cron(cron) => cron.fmt(f),
            Self::At(instant) => write!(f, "at {instant}"),
            Self::After(delay) => write!(f, "after {}", format_duration(*delay)),
            Self::Reboot => f.write_str("@reboot"),
            Self::And(both) => write!(f, "({}) and ({})", both.0, both.1),
            Self::Or(both) => write!(f, "({}) or ({})", both.0, both.1),
            Self::Except(both) => write!(f, "({}) except ({})", both.0, both.1),
            Self::Between(window) => {
                write!(f, "({})", window.of)?;
                if let Some(start) = window.start {
                    write!(f, " from {start}")?;
                }
                if let Some(end) = window.end {
                    write!(f, " until {end}")?;
                }
                Ok(())
            }
        }
    }
}
