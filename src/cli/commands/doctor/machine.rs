//! What this machine gives to a process.

use serde::Serialize;

use crate::cli::crontab::LocalZone;
use crate::schedule::Schedule;

/// Files that a process needs besides its commands: store, timers, standard streams.
const BESIDES: u64 = 64;

/// Files that a running command needs: three pipes with two ends while it starts.
const PER_COMMAND: u64 = 6;

/// Limits and zones.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    /// Files that this process may open; `None` is no limit.
    open_files: Option<u64>,
    /// The zone of this machine, which crontabs follow.
    zone: Option<String>,
    /// What is wrong with that zone.
    zone_fault: Option<String>,
    /// Whether named zones are known.
    zones: bool,
}

impl Machine {
    pub(super) fn examine() -> Self {
        let local = LocalZone::of_this_machine();
        Self {
            open_files: open_files(),
            zone: local.as_ref().ok().map(ToString::to_string),
            zone_fault: local.err().map(|error| error.to_string()),
            zones: ["Europe/Berlin", "America/New_York", "Asia/Tokyo"]
                .iter()
                .all(|zone| Schedule::cron_in("0 0 * * *", zone).is_ok()),
        }
    }

    pub(super) fn warnings(&self, concurrency: usize) -> Vec<String> {
        let mut warnings = Vec::new();
        let needed = u64::try_from(concurrency)
            .unwrap_or(u64::MAX)
            .saturating_mul(PER_COMMAND)
            .saturating_add(BESIDES);
        if let Some(limit) = self.open_files.filter(|limit| *limit < needed) {
            warnings.push(format!(
                "{concurrency} commands at once may need {needed} open files, and {limit} are allowed: raise it with `ulimit -n`, or lower concurrency"
            ));
        }
        if !self.zones {
            warnings.push("no time zone data was found: only UTC is known".to_owned());
        }
        warnings.extend(self.zone_fault.clone());
        warnings
    }

    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let files = self
            .open_files
            .map_or_else(|| "no limit".to_owned(), |limit| limit.to_string());
        let zone = self.zone.as_deref().unwrap_or("not known");
        let zones = if self.zones { "known" } else { "MISSING" };
        vec![
            ("open files", format!("{files} allowed")),
            (
                "time zones",
                format!("{zones}; that of crontabs here is {zone}"),
            ),
        ]
    }
}

#[cfg(unix)]
fn open_files() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

#[cfg(not(unix))]
fn open_files() -> Option<u64> {
    None
}
