//! Which tasks: the options that `list` and all commands for many tasks share.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::cli::args::parsed;
use crate::error::Result;
use crate::id::TaskId;
use crate::schedule::parse_duration;
use crate::store::TaskFilter;
use crate::task::TaskStatus;
use crate::timestamp::Timestamp;

/// Conditions that all must hold.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Filters {
    /// Only these statuses: pending, running, succeeded, failed, cancelled; in any case, several with commas
    #[arg(long, value_name = "STATUS", value_delimiter = ',', value_parser = parsed::<TaskStatus>)]
    pub(super) status: Vec<TaskStatus>,
    /// Only tasks of this name
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(super) name: Option<String>,
    /// Only tasks of this queue
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(super) queue: Option<String>,
    /// Only occurrences of this schedule
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    schedule: Option<String>,
    /// Only tasks with this tag
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    tag: Option<String>,
    /// Only failures of this error, as `tlo dead` writes it
    #[arg(long, value_name = "ERROR", value_parser = NonEmptyStringValueParser::new())]
    pub(super) group: Option<String>,
    /// Only tasks that this one made
    #[arg(long, value_name = "ID", value_parser = parsed::<TaskId>)]
    parent: Option<TaskId>,
    /// Only tasks whose id starts so
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    prefix: Option<String>,
    /// Only tasks made since then: an instant, or so long ago, such as 2h
    #[arg(long, value_name = "WHEN", value_parser = when)]
    since: Option<When>,
    /// Only tasks made before then: an instant, or so long ago, such as 7d
    #[arg(long, value_name = "WHEN", value_parser = when)]
    until: Option<When>,
}

impl Filters {
    /// The filter; what is said as so long ago counts from `now`.
    pub(super) fn filter(&self, now: Timestamp) -> TaskFilter {
        TaskFilter {
            status: self.status.clone(),
            name: self.name.clone(),
            queue: self.queue.clone(),
            schedule: self.schedule.clone(),
            tag: self.tag.clone(),
            error_group: self.group.clone(),
            parent: self.parent.clone(),
            id_prefix: self.prefix.clone(),
            created_from: self.since.map(|since| since.at(now)),
            created_before: self.until.map(|until| until.at(now)),
            ..TaskFilter::default()
        }
    }
}

/// An instant, or so long ago.
#[derive(Clone, Copy, Debug)]
enum When {
    At(Timestamp),
    Ago(std::time::Duration),
}

impl When {
    fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.saturating_sub(ago),
        }
    }
}

fn when(text: &str) -> std::result::Result<When, String> {
    let instant: Result<Timestamp> = text.parse();
    match (instant, parse_duration(text)) {
        (Ok(at), _) => Ok(When::At(at)),
        (_, Ok(ago)) => Ok(When::Ago(ago)),
        (Err(error), Err(_)) => Err(format!("{error}; or write how long ago, such as 2h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_instants_or_so_long_ago() {
        let now: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
        let at = |text: &str| when(text).unwrap().at(now).to_string();
        assert_eq!(at("2h"), "2026-11-21T07:00:00Z");
        assert_eq!(at("2026-01-01T00:00:00Z"), "2026-01-01T00:00:00Z");
        assert!(when("yesterday").unwrap_err().contains("such as 2h"));
    }
}
