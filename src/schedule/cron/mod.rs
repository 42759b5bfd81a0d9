//! [`Cron`]: a cron expression with its zone, policy and seed.

mod days;
mod english;
mod fault;
mod item;
mod parse;
mod plain;
mod search;
mod spread;
mod unit;
mod years;

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

pub use self::fault::CronFault;
use self::fault::Fault;
use self::search::Fields;
pub(super) use self::spread::mixed;
use self::unit::Dialect;
use super::calendar::{ChangeRule, Dst, Fold, Gap, next_instant};
use super::zone::Zone;
use crate::error::Result;
use crate::timestamp::Timestamp;

/// A cron expression, ready to be asked for slots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "CronSpec", into = "CronSpec")]
pub(super) struct Cron {
    expression: Box<str>,
    dialect: Dialect,
    zone: Zone,
    dst: Dst,
    seed: Option<Box<str>>,
    fields: Fields,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CronSpec {
    expression: String,
    #[serde(default, skip_serializing_if = "is_default")]
    dialect: Dialect,
    #[serde(default = "utc")]
    zone: String,
    #[serde(default, skip_serializing_if = "is_default")]
    dst: Dst,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed: Option<String>,
}

fn utc() -> String {
    Zone::UTC.name().to_owned()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Cron {
    /// An expression of the Unix dialect.
    pub(super) fn unix(expression: &str, zone: Zone) -> Result<Self> {
        Self::new(expression, Dialect::Unix, zone, None)
    }

    /// An expression of the Quartz dialect.
    pub(super) fn quartz(expression: &str, zone: Zone) -> Result<Self> {
        Self::new(expression, Dialect::Quartz, zone, None)
    }

    fn new(expression: &str, dialect: Dialect, zone: Zone, seed: Option<&str>) -> Result<Self> {
        let seed_text = seed.unwrap_or(expression);
        let fields = parse::read(expression, dialect, seed_text)
            .map_err(|fault| with_nearest(fault, expression, dialect))?;
        let words: Vec<&str> = expression.split_whitespace().collect();
        Ok(Self {
            expression: words.join(" ").into(),
            dialect,
            zone,
            dst: Dst::default(),
            seed: seed.map(Into::into),
            fields,
        })
    }

    pub(super) fn set_dst(&mut self, dst: Dst) {
        self.dst = dst;
    }

    /// The same with its `H` computed from a name; without `H` nothing changes.
    pub(super) fn seeded(self, name: &str) -> Result<Self> {
        if self.seed.is_some() || !self.expression.contains(['H', 'h']) || !self.spreads() {
            return Ok(self);
        }
        let mut seeded = Self::new(&self.expression, self.dialect, self.zone, Some(name))?;
        seeded.dst = self.dst;
        Ok(seeded)
    }

    /// Whether a field has an `H`, which the `H` of `THU` or `MARCH` is not.
    fn spreads(&self) -> bool {
        self.expression
            .split([' ', ','])
            .any(|item| item.starts_with(['H', 'h']))
            && !self.expression.starts_with('@')
    }

    pub(super) fn expression(&self) -> &str {
        &self.expression
    }

    pub(super) fn zone(&self) -> &Zone {
        &self.zone
    }

    pub(super) fn english(&self) -> String {
        english::english(&self.fields)
    }

    /// Matching wall times from `start` to before `end`, at most `most`, and whether these are all.
    pub(super) fn matches_within(
        &self,
        start: DateTime,
        end: DateTime,
        most: usize,
    ) -> (Vec<DateTime>, bool) {
        let mut found = Vec::new();
        let mut from = start;
        while let Some(time) = self.fields.at_or_after(from).filter(|time| *time < end) {
            if found.len() == most {
                return (found, false);
            }
            found.push(time);
            match time.checked_add(jiff::SignedDuration::from_secs(1)) {
                Ok(next) => from = next,
                Err(_) => break,
            }
        }
        (found, true)
    }

    /// The missing wall time that a slot stands for, when it was moved out of a gap.
    pub(super) fn moved_from(&self, slot: Timestamp) -> Option<DateTime> {
        if !self.runs_after_gap() {
            return None;
        }
        let zone = self.zone.time_zone();
        let at = slot.to_jiff();
        let just_before = jiff::Timestamp::from_microsecond(slot.as_micros() - 1).ok()?;
        let start = zone.to_offset(just_before).to_datetime(at);
        let end = zone.to_offset(at).to_datetime(at);
        if start >= end || self.fields.at_or_after(end) == Some(end) {
            return None;
        }
        self.matches_within(start, end, 1).0.first().copied()
    }

    pub(super) fn runs_after_gap(&self) -> bool {
        self.rule().gap == Gap::RunAfter
    }

    /// What happens to a time that comes twice.
    pub(super) fn fold_words(&self) -> &'static str {
        match self.rule().fold {
            Fold::First => "runs once, the first time",
            Fold::Second => "runs once, the second time",
            Fold::Both => "runs both times",
        }
    }

    /// An instant up to which every slot of `other` after `slot` is a slot of this expression too: to the end of the run
    /// of matching days around `slot`, when the times of day include the other's and the clocks are the same.
    pub(super) fn covers_until(&self, other: &Self, slot: Timestamp) -> Option<Timestamp> {
        const MOST_DAYS: usize = 400;
        if self.zone != other.zone || self.rule() != other.rule() {
            return None;
        }
        if !self.fields.includes_times_of(&other.fields) {
            return None;
        }
        let zone = self.zone.time_zone();
        let first = zone.to_datetime(slot.to_jiff()).date();
        if !self.fields.has_date(first) {
            return None;
        }
        let mut end = first.tomorrow().ok()?;
        for _ in 0..MOST_DAYS {
            if !self.fields.has_date(end) {
                break;
            }
            end = end.tomorrow().ok()?;
        }
        let midnight = zone.to_ambiguous_timestamp(end.at(0, 0, 0, 0));
        let until = midnight.earlier().ok()?;
        // Clocks that go back across midnight lead to a day before the run.
        let leaves = zone
            .following(slot.to_jiff())
            .take_while(|change| change.timestamp() < until)
            .any(|change| change.offset().to_datetime(change.timestamp()).date() < first);
        (!leaves).then(|| Timestamp::from_micros(until.as_microsecond() - 1))
    }

    fn rule(&self) -> ChangeRule {
        self.dst.rule(self.fields.literal)
    }

    /// The first slot strictly after an instant.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        next_instant(self.zone.time_zone(), self.rule(), after, |wall| {
            self.fields.at_or_after(wall)
        })
        .map(Timestamp::from_jiff)
    }
}

/// The error of a fault, with the mended expression when that one is valid: mended once or twice, as one mistake often
/// hides another.
fn with_nearest(fault: Fault, expression: &str, dialect: Dialect) -> crate::error::Error {
    const MOST_MENDINGS: usize = 8;
    let mut candidate = fault.mended(expression);
    for _ in 0..MOST_MENDINGS {
        let Some(text) = candidate.take() else { break };
        match parse::read(&text, dialect, "") {
            Ok(_) => {
                let words: Vec<&str> = text.split_whitespace().collect();
                return fault.into_error(expression, Some(&words.join(" ")));
            }
            Err(next) => candidate = next.mended(&text).filter(|mended| *mended != text),
        }
    }
    fault.into_error(expression, None)
}

impl TryFrom<CronSpec> for Cron {
    type Error = crate::error::Error;

    fn try_from(spec: CronSpec) -> Result<Self> {
        let zone = Zone::find(&spec.zone)?;
        let mut cron = Self::new(&spec.expression, spec.dialect, zone, spec.seed.as_deref())?;
        cron.dst = spec.dst;
        Ok(cron)
    }
}

impl From<Cron> for CronSpec {
    fn from(cron: Cron) -> Self {
        Self {
            expression: cron.expression.into(),
            dialect: cron.dialect,
            zone: cron.zone.name().to_owned(),
            dst: cron.dst,
            seed: cron.seed.map(Into::into),
        }
    }
}

impl std::fmt::Display for Cron {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.dialect == Dialect::Quartz {
            f.write_str("quartz ")?;
        }
        f.write_str(&self.expression)?;
        if self.zone != Zone::UTC {
            write!(f, " ({})", self.zone.name())?;
        }
        Ok(())
    }
}
