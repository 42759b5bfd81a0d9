//! [`Schedule`]: when a task runs, as plain data and pure functions.

mod calendar;
mod combine;
mod cover;
mod cron;
mod describe;
mod duration;
mod instant;
mod misfire;
pub(crate) mod nearest;
mod policy;
pub mod preview;
mod rule;
mod text;
mod words;
mod zone;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::calendar::Dst;
use self::combine::Budget;
use self::cron::Cron;
pub use self::cron::CronFault;
pub use self::duration::{
    duration_text, format_duration, optional_duration_text, parse_duration, short_duration,
};
pub use self::instant::parse_instant;
pub(crate) use self::misfire::missed_from;
pub use self::misfire::{CatchUp, SkipReason, Skipped, missed};
pub use self::policy::{Misfire, Overlap, SchedulePolicy, jitter_offset};
use self::rule::{Rule, Window, check_period};
use self::zone::Zone;
pub use self::zone::find_zone;
use crate::error::{Error, Result};
use crate::id::stable_hash;
use crate::timestamp::Timestamp;

/// When a task runs.
///
/// A schedule is data: it knows neither the time nor what ran before, and [`next`](Self::next) is a pure function.
/// Its serialized form is stable and made for people: `{"every":"5m"}`,
/// `{"cron":{"expression":"0 3 * * *","zone":"Europe/Berlin"}}`.
///
/// ```
/// use tlo::{Timestamp, schedule::Schedule};
/// let nightly = Schedule::cron_in("30 2 * * *", "Europe/Berlin")?;
/// let anchor = Timestamp::UNIX_EPOCH;
/// // 29 March 2026 has no 02:30 in Berlin: the run moves to the first instant after the gap.
/// let after = "2026-03-28T12:00:00Z".parse()?;
/// assert_eq!(nightly.next(anchor, after), Some("2026-03-29T01:00:00Z".parse()?));
/// # Ok::<(), tlo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schedule(Rule);

impl Schedule {
    /// Every `period` of elapsed time: the slots are the anchor + 1, 2, 3… periods. No drift; clock changes and
    /// daylight saving do not matter.
    ///
    /// # Errors
    /// `Invalid` when the period is shorter than a microsecond.
    pub fn every(period: Duration) -> Result<Self> {
        check_period(period).map(Rule::Every).map(Self)
    }

    /// A cron expression in UTC: five fields (minute, hour, day of month, month, weekday with Sunday 0 or 7), six with
    /// seconds first, seven with years last.
    ///
    /// Lists, ranges, steps (`*/15`, `5/10`), names (`MON`, `JAN`), `?`, `L`, `L-3`, `W`, `LW`, `5#2`, `5L`, `H`
    /// (a number of this task's own; see [`seeded`](Self::seeded)), `@daily` and its like, `@every 5m`, `@reboot`.
    /// When both day fields are restricted, a day matches if either does; a field that begins with `*` restricts nothing.
    ///
    /// # Errors
    /// `Invalid`: the message quotes the expression, has a caret under the fault and the nearest valid form.
    pub fn cron(expression: &str) -> Result<Self> {
        Self::from_cron_text(expression, Zone::UTC)
    }

    /// A cron expression as in [`cron`](Self::cron) on the clocks of a time zone, such as `Europe/Berlin`.
    ///
    /// # Errors
    /// `Invalid` for the expression as in [`cron`](Self::cron), and for an unknown zone, with the nearest names.
    pub fn cron_in(expression: &str, zone: &str) -> Result<Self> {
        Self::from_cron_text(expression, Zone::find(zone)?)
    }

    /// A cron expression of the Quartz dialect: six fields beginning with seconds, seven with years; Sunday is 1, and
    /// one of the day fields is `?` (or `*`).
    ///
    /// # Errors
    /// As [`cron_in`](Self::cron_in).
    pub fn quartz(expression: &str, zone: &str) -> Result<Self> {
        let cron = Cron::quartz(expression, Zone::find(zone)?)?;
        Ok(Self(Rule::Cron(Box::new(cron))))
    }

    fn from_cron_text(expression: &str, zone: Zone) -> Result<Self> {
        let trimmed = expression.trim();
        if trimmed.eq_ignore_ascii_case("@reboot") {
            return Ok(Self::reboot());
        }
        if let Some(period) = text::after_word(trimmed, "@every") {
            return parse_duration(period)
                .and_then(Self::every)
                .map_err(|error| {
                    Error::invalid(
                        "schedule",
                        format!("cron expression \"{trimmed}\": {error}"),
                    )
                });
        }
        Ok(Self(Rule::Cron(Box::new(Cron::unix(expression, zone)?))))
    }

    /// Once, at an instant.
    #[must_use]
    pub fn at(instant: Timestamp) -> Self {
        Self(Rule::At(instant))
    }

    /// Once, this long after the anchor.
    #[must_use]
    pub fn after(delay: Duration) -> Self {
        Self(Rule::After(delay))
    }

    /// Once per boot of the machine. It has no slots of its own: whoever runs it asks [`is_reboot`](Self::is_reboot).
    #[must_use]
    pub fn reboot() -> Self {
        Self(Rule::Reboot)
    }

    /// The slots that both schedules have.
    ///
    /// The search for the next one looks at 20,000 slots and then gives up, as if there were none.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(Rule::And(Box::new((self.0, other.0))))
    }

    /// The slots of either schedule; one that both have counts once.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(Rule::Or(Box::new((self.0, other.0))))
    }

    /// The slots of this schedule that are not slots of the other. Bounded like [`and`](Self::and).
    #[must_use]
    pub fn except(self, other: Self) -> Self {
        Self(Rule::Except(Box::new((self.0, other.0))))
    }

    /// Only the slots from `start` to `end`, both included; `None` leaves that side open.
    #[must_use]
    pub fn between(self, start: Option<Timestamp>, end: Option<Timestamp>) -> Self {
        Self(Rule::Between(Box::new(Window {
            of: self.0,
            start,
            end,
        })))
    }

    /// The same schedule with another rule for the days when clocks change. Intervals and instants have none.
    #[must_use]
    pub fn dst(mut self, dst: Dst) -> Self {
        self.0.each_cron(&mut |cron| cron.set_dst(dst));
        self
    }

    /// The same schedule with its `H` fields computed from a name, normally the task's.
    ///
    /// Without a seed `H` is computed from the expression itself: always the same, but not spread over tasks. A seed
    /// that is set stays.
    ///
    /// # Errors
    /// `Invalid` when the date that `H` gives for this name never comes (`0 0 31 H *`).
    pub fn seeded(self, name: &str) -> Result<Self> {
        self.0.seeded(name).map(Self)
    }

    /// The first slot strictly after `after`, or `None` when there is none.
    ///
    /// `anchor` is where [`every`](Self::every) and [`after`](Self::after) count from. Takes microseconds; always ends.
    #[must_use]
    pub fn next(&self, anchor: Timestamp, after: Timestamp) -> Option<Timestamp> {
        self.0.next(anchor, after, &mut Budget::new())
    }

    /// The last slot at or before `at`, looking back 400 years, or `None` when there is none.
    #[must_use]
    pub fn previous(&self, anchor: Timestamp, at: Timestamp) -> Option<Timestamp> {
        misfire::last_slot(&self.0, anchor, at)
    }

    /// A number that is equal for equal schedules in every process and release.
    #[must_use]
    pub fn spec_hash(&self) -> u64 {
        // A schedule always has a JSON form: its parts are text, instants and lists.
        stable_hash(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// The time zone of the (first) cron expression; `None` for schedules that know no wall time.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.0.first_cron().map(|cron| cron.zone().name())
    }

    /// Whether its slots are counted from the anchor, as those of intervals are.
    #[must_use]
    pub fn counts_from_anchor(&self) -> bool {
        self.0.counts_from_anchor()
    }

    /// Whether this is [`reboot`](Self::reboot).
    #[must_use]
    pub fn is_reboot(&self) -> bool {
        self.0 == Rule::Reboot
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
