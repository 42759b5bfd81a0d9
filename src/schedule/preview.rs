//! What a schedule is going to do: the next slots, and what happens when clocks change.

use jiff::tz::{Offset, TimeZone};
use serde::Serialize;

use super::Schedule;
use super::cron::Cron;
use super::rule::Rule;
use super::words::list;
use super::zone::Zone;
use crate::error::Result;
use crate::timestamp::Timestamp;

/// The most slots of one preview.
const MOST_FIRES: usize = 10_000;

/// How many missing or repeated times are named before "and more".
const MOST_NAMED: usize = 3;

/// The next slots and the clock changes ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// The next slots.
    pub next: Vec<Fire>,
    /// Every change of the clocks in the time asked for, and what it means here.
    pub changes: Vec<Change>,
}

/// A slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fire {
    /// The instant.
    pub at: Timestamp,
    /// The same on the clocks of the zone: `2026-11-20T11:00:00+01:00[Europe/Berlin]`.
    pub local: String,
    /// What is special about it, if anything.
    pub note: Option<String>,
}

/// A change of the clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The instant of the change.
    pub at: Timestamp,
    /// The first local time after it, with offset and zone.
    pub local: String,
    /// Whether wall times are missing or come twice.
    pub kind: ChangeKind,
    /// The offset before, such as `+01:00`.
    pub from: String,
    /// The offset after.
    pub to: String,
    /// What the schedule does then.
    pub effect: String,
}

/// A direction of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Clocks go forward: wall times are missing.
    Gap,
    /// Clocks go back: wall times come twice.
    Fold,
}

impl Schedule {
    /// The next `count` slots after `from` (at most 10,000), and every clock change from `from` to `until`.
    ///
    /// Local times are those of `zone`, or of the schedule's own zone, or UTC. `anchor` is the schedule's anchor.
    ///
    /// # Errors
    /// `Invalid` for an unknown zone.
    pub fn preview(
        &self,
        zone: Option<&str>,
        anchor: Timestamp,
        from: Timestamp,
        count: usize,
        until: Timestamp,
    ) -> Result<Preview> {
        let zone = match zone.or(self.zone()) {
            Some(name) => Zone::find(name)?,
            None => Zone::UTC,
        };
        let mut crons = Vec::new();
        self.0.crons(&mut crons);
        let mut next = Vec::new();
        let mut last = from;
        while next.len() < count.min(MOST_FIRES)
            && let Some(at) = self.next(anchor, last)
        {
            next.push(Fire {
                at,
                local: local(at, &zone),
                note: note(at, &zone, &crons),
            });
            last = at;
        }
        let changes = changes(&zone, from, until)
            .map(|turn| turn.explained(&zone, &self.0, &crons))
            .collect();
        Ok(Preview { next, changes })
    }
}

impl Rule {
    fn crons<'a>(&'a self, found: &mut Vec<&'a Cron>) {
        match self {
            Self::Cron(cron) => found.push(cron),
            Self::And(both) | Self::Or(both) | Self::Except(both) => {
                both.0.crons(found);
                both.1.crons(found);
            }
            Self::Between(window) => window.of.crons(found),
            Self::Every(_) | Self::At(_) | Self::After(_) | Self::Reboot => {}
        }
    }
}

fn local(at: Timestamp, zone: &Zone) -> String {
    at.to_jiff().to_zoned(zone.time_zone().clone()).to_string()
}

/// A moved or repeated time is worth a note.
fn note(at: Timestamp, zone: &Zone, crons: &[&Cron]) -> Option<String> {
    let moved = crons.iter().find_map(|cron| {
        let wall = cron.moved_from(at)?;
        Some(format!(
            "{} does not exist on this day; moved to the first instant after the gap",
            clock(wall)
        ))
    });
    moved.or_else(|| {
        let wall = zone.time_zone().to_datetime(at.to_jiff());
        let offset = zone.time_zone().to_offset(at.to_jiff());
        match zone.time_zone().to_ambiguous_timestamp(wall).offset() {
            jiff::tz::AmbiguousOffset::Fold { before, .. } => Some(format!(
                "{} comes twice on this day; this is the {}",
                clock(wall),
                if offset == before { "first" } else { "second" }
            )),
            _ => None,
        }
    })
}

/// `02:30`, with seconds when there are any.
fn clock(wall: jiff::civil::DateTime) -> String {
    if wall.second() == 0 {
        wall.strftime("%H:%M").to_string()
    } else {
        wall.strftime("%H:%M:%S").to_string()
    }
}

/// `+05:45`, with seconds when there are any.
fn offset_text(offset: Offset) -> String {
    let (sign, seconds) = (
        if offset.is_negative() { '-' } else { '+' },
        offset.seconds().unsigned_abs(),
    );
    let text = format!("{sign}{:02}:{:02}", seconds / 3_600, seconds / 60 % 60);
    match seconds % 60 {
        0 => text,
        rest => format!("{text}:{rest:02}"),
    }
}

/// A change of the offset.
struct Turn {
    at: jiff::Timestamp,
    before: Offset,
    after: Offset,
}

fn changes(zone: &Zone, from: Timestamp, until: Timestamp) -> impl Iterator<Item = Turn> + use<'_> {
    let zone: &TimeZone = zone.time_zone();
    let until = until.to_jiff();
    let mut before = zone.to_offset(from.to_jiff());
    zone.following(from.to_jiff())
        .take_while(move |change| change.timestamp() <= until)
        .filter_map(move |change| {
            let turn = Turn {
                at: change.timestamp(),
                before,
                after: change.offset(),
            };
            before = change.offset();
            (turn.before != turn.after).then_some(turn)
        })
}

impl Turn {
    fn explained(&self, zone: &Zone, rule: &Rule, crons: &[&Cron]) -> Change {
        let kind = if self.after > self.before {
            ChangeKind::Gap
        } else {
            ChangeKind::Fold
        };
        let at = Timestamp::from_jiff(self.at);
        let effects: Vec<String> = crons
            .iter()
            .filter(|cron| cron.zone() == zone)
            .map(|cron| {
                let effect = self.effect(kind, cron);
                if crons.len() > 1 {
                    format!("{}: {effect}", cron.expression())
                } else {
                    effect
                }
            })
            .collect();
        let effect = match (effects.is_empty(), rule) {
            (false, _) => effects.join("; "),
            (true, Rule::Every(_)) => "none: an interval counts elapsed time".to_owned(),
            (true, _) => "none: this schedule does not follow these clocks".to_owned(),
        };
        Change {
            at,
            local: local(at, zone),
            kind,
            from: offset_text(self.before),
            to: offset_text(self.after),
            effect,
        }
    }

    /// What an expression does at this change, in English.
    fn effect(&self, kind: ChangeKind, cron: &Cron) -> String {
        let (one, other) = (
            self.before.to_datetime(self.at),
            self.after.to_datetime(self.at),
        );
        let (times, all) = cron.matches_within(one.min(other), one.max(other), MOST_NAMED);
        if times.is_empty() {
            return "none: no run falls into the change".to_owned();
        }
        let mut names: Vec<String> = times.iter().map(|time| clock(*time)).collect();
        if !all {
            names.push("more".to_owned());
        }
        let single = names.len() == 1;
        let names = list(&names, "and");
        match kind {
            ChangeKind::Gap => {
                let verb = if single { "does" } else { "do" };
                if cron.runs_after_gap() {
                    let runs = if single { "runs" } else { "runs once" };
                    format!(
                        "{names} {verb} not exist: {runs} at {} instead",
                        clock(other)
                    )
                } else if single {
                    format!("{names} {verb} not exist: this run is skipped")
                } else {
                    format!("{names} {verb} not exist: these runs are skipped")
                }
            }
            ChangeKind::Fold => {
                let verb = if single { "comes" } else { "come" };
                format!("{names} {verb} twice: {}", cron.fold_words())
            }
        }
    }
}
