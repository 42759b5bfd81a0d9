//! [`SchedulePolicy`]: what to do with slots that were missed, that overlap, or that come together.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cron::mixed;
use super::optional_duration_text;
use crate::id::stable_hash;
use crate::timestamp::Timestamp;

/// How a schedule treats missed slots, overlapping runs, and starting together with others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchedulePolicy {
    /// What happens to slots that nobody was there to start.
    pub misfire: Misfire,
    /// How late a slot may still start; later ones are skipped. Default: any lateness.
    #[serde(
        with = "optional_duration_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub grace: Option<Duration>,
    /// What happens when a slot comes while the run of the previous one is unfinished.
    pub overlap: Overlap,
    /// Start each run up to this long after its slot; by how much follows from name and slot. Default: not at all.
    #[serde(
        with = "optional_duration_text",
        skip_serializing_if = "Option::is_none"
    )]
    pub jitter: Option<Duration>,
    /// After this many runs the schedule ends. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_runs: Option<u64>,
    /// Run once when the schedule is first seen, without waiting for a slot.
    pub run_at_start: bool,
}

/// What happens to missed slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misfire {
    /// Nothing: only a slot that is at most the grace (default one minute) late still runs.
    Skip,
    /// The newest of them runs, the others are skipped.
    #[default]
    Once,
    /// The newest `max` of them run, oldest first.
    All {
        /// The most runs that are made up for; more than 10,000 count as 10,000.
        max: u32,
    },
}

/// What happens when a slot comes while the previous run is unfinished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The slot is skipped.
    #[default]
    Skip,
    /// It runs after the previous one.
    Queue,
    /// Both run.
    Allow,
    /// The previous one is cancelled, then it runs.
    Replace,
}

/// By how much a run starts after its slot: at least zero, less than `max`, even over names and slots, and always the
/// same for one occurrence.
#[must_use]
pub fn jitter_offset(name: &str, slot: Timestamp, max: Duration) -> Duration {
    let micros = u64::try_from(max.as_micros()).unwrap_or(u64::MAX);
    let hash = mixed(stable_hash(
        format!("{name}@{}", slot.as_micros()).as_bytes(),
    ));
    let share = (u128::from(hash) * u128::from(micros)) >> 64;
    Duration::from_micros(u64::try_from(share).unwrap_or(0))
}
