//! The pieces of a schedule as a builder collects them, and how they become one.

use crate::error::{Error, Result};
use crate::schedule::{Dst, Schedule};
use crate::timestamp::Timestamp;

/// One way a builder was told when to run.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Cron(String),
    Quartz(String),
    /// Ready made; the text says how it was asked for.
    Made(&'static str, Schedule),
    /// Asked for, but faulty: the fault is reported on its own.
    Faulty(&'static str),
}

impl Source {
    fn describe(&self) -> String {
        match self {
            Self::Cron(text) => format!("cron \"{text}\""),
            Self::Quartz(text) => format!("quartz \"{text}\""),
            Self::Made("schedule", schedule) => format!("schedule {schedule}"),
            Self::Made(_, schedule) => schedule.to_string(),
            Self::Faulty(what) => (*what).to_owned(),
        }
    }
}

/// When a task runs, as far as it was said.
#[derive(Clone, Debug, Default)]
pub(super) struct When {
    pub(super) sources: Vec<Source>,
    pub(super) zone: Option<String>,
    pub(super) dst: Option<Dst>,
    pub(super) start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
}

impl When {
    /// The schedule of a task of this name; every mistake goes to `faults`.
    pub(super) fn build(self, name: &str, faults: &mut Vec<Error>) -> Option<Schedule> {
        if self.sources.len() > 1 {
            let all: Vec<_> = self.sources.iter().map(Source::describe).collect();
            faults.push(Error::invalid(
                "schedule",
                format!(
                    "it has {} schedules: {}; keep one, or join them with Schedule::or",
                    all.len(),
                    all.join(" and ")
                ),
            ));
        }
        self.check_companions(faults);
        let zone = self.zone.as_deref().unwrap_or("UTC");
        let mut built = Vec::new();
        for source in self.sources {
            let schedule = match source {
                Source::Cron(text) => Schedule::cron_in(&text, zone),
                Source::Quartz(text) => Schedule::quartz(&text, zone),
                Source::Made(_, schedule) => Ok(schedule),
                Source::Faulty(_) => continue,
            };
            match schedule.and_then(|schedule| finish(schedule, name, self.dst)) {
                Ok(schedule) => built.push(schedule),
                Err(fault) => faults.push(fault),
            }
        }
        let schedule = built.into_iter().next()?;
        Some(if self.start.is_some() || self.end.is_some() {
            schedule.between(self.start, self.end)
        } else {
            schedule
        })
    }

    fn check_companions(&self, faults: &mut Vec<Error>) {
        let mut bad = |message: String| faults.push(Error::invalid("schedule", message));
        if let Some(zone) = &self.zone
            && !self
                .sources
                .iter()
                .any(|source| matches!(source, Source::Cron(_) | Source::Quartz(_)))
        {
            bad(format!(
                "the zone \"{zone}\" has no cron expression to apply to; use it with cron or quartz"
            ));
        }
        if self.sources.is_empty() && (self.start.is_some() || self.end.is_some()) {
            bad("a window (between) without a schedule: add every, cron or at".to_owned());
        }
        if let (Some(start), Some(end)) = (self.start, self.end)
            && end < start
        {
            bad(format!(
                "the window from {start} to {end} ends before it starts"
            ));
        }
    }
}

fn finish(schedule: Schedule, name: &str, dst: Option<Dst>) -> Result<Schedule> {
    let schedule = match dst {
        Some(dst) => schedule.dst(dst),
        None => schedule,
    };
    schedule.seeded(name)
}
