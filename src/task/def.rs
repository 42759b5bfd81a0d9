//! What is known about a task before it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::gate::{GATE_LIMIT, template_fields};
use super::new::{DEFAULT_QUEUE, TAG_LIMIT};
use super::retry::RetryPolicy;
use crate::error::{Error, Result};
use crate::id::check_name;
use crate::payload::Payload;
use crate::schedule::{Schedule, SchedulePolicy, optional_duration_text};

/// A limit on how many tasks of one key run at once; the key is made from the args of each task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateTemplate {
    /// Text with fields of the args, such as `user/{user_id}`.
    pub template: String,
    /// The most that run at once.
    pub limit: u32,
}

/// The definition of a task: plain data, without its handler.
///
/// A registry keeps definitions; `HandlerTable` keeps what runs. Fields left at their default follow the settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskDef {
    /// Its name, with its version unique in a registry.
    pub name: Arc<str>,
    /// The version of its handler, when several live side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Arc<str>>,
    /// Older names that this handler also runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Arc<str>>,
    /// What it is for, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The queue; `default` unless given.
    #[serde(default = "default_queue")]
    pub queue: Arc<str>,
    /// 0 to 255, larger first; 5 unless given.
    #[serde(default = "default_priority")]
    pub priority: u8,
    /// When it runs by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// How its schedule treats missed and overlapping slots.
    #[serde(default)]
    pub policy: SchedulePolicy,
    /// What its occurrences are given.
    #[serde(default)]
    pub args: Payload,
    /// Total attempts; by default 5 for a submitted task and 1 for an occurrence, whose next slot comes anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Lost leases before it fails, by default 5; 0 means that it runs at most once.
    #[serde(default = "default_max_lost")]
    pub max_lost: u32,
    /// The back-off between attempts.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// The longest run; none unless given.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_duration_text"
    )]
    pub timeout: Option<Duration>,
    /// How long its leases last, when not as the settings say.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "optional_duration_text"
    )]
    pub lease: Option<Duration>,
    /// Limits by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateTemplate>,
    /// Words that all its records carry.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Anything its author wants to find again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, serde_json::Value>,
}

fn default_queue() -> Arc<str> {
    Arc::clone(&DEFAULT_QUEUE)
}

const fn default_priority() -> u8 {
    5
}

const fn default_max_lost() -> u32 {
    5
}

impl TaskDef {
    /// A definition with the defaults and no schedule.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            version: None,
            aliases: Vec::new(),
            description: None,
            queue: default_queue(),
            priority: default_priority(),
            schedule: None,
            policy: SchedulePolicy::default(),
            args: Payload::null(),
            max_attempts: None,
            max_lost: default_max_lost(),
            retry: RetryPolicy::default(),
            timeout: None,
            lease: None,
            gates: Vec::new(),
            tags: BTreeSet::new(),
            metadata: BTreeMap::new(),
        }
    }

    /// Checks everything that can be wrong before the first run; a registry does it at registration.
    ///
    /// # Errors
    /// `Invalid` or `TooLarge`, naming the task, the field and its value.
    pub fn check(&self) -> Result<()> {
        check_name("a task name", &self.name)?;
        let at = |error: Error| {
            Error::new(
                error.kind(),
                "register task",
                format!("the task \"{}\": {error}", self.name),
            )
            .with_source(error)
        };
        check_name("a queue name", &self.queue).map_err(at)?;
        if let Some(version) = &self.version {
            check_name("a version", version).map_err(at)?;
        }
        let bad = |why: String| Err(at(Error::invalid("register task", why)));
        for (index, alias) in self.aliases.iter().enumerate() {
            check_name("an alias", alias).map_err(at)?;
            if *alias == self.name || self.aliases[..index].contains(alias) {
                return bad(format!(
                    "the alias \"{alias}\" is given twice, or is its name"
                ));
            }
        }
        for tag in &self.tags {
            check_name("a tag", tag).map_err(at)?;
        }
        if self.tags.len() > TAG_LIMIT {
            return bad(format!(
                "{} tags; the limit is {TAG_LIMIT}",
                self.tags.len()
            ));
        }
        self.retry.check().map_err(at)?;
        if self.policy.max_runs == Some(0) {
            return bad(
                "max_runs is 0, so its schedule would never run; leave it out for no limit"
                    .to_owned(),
            );
        }
        if self.max_attempts == Some(0) {
            return bad("max_attempts is 0; it counts all attempts, so use 1 or more".to_owned());
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return bad("timeout is 0; leave it out for no timeout".to_owned());
        }
        if self
            .lease
            .is_some_and(|lease| lease < Duration::from_millis(100))
        {
            return bad(
                "lease is shorter than 100ms; a worker could not renew it in time".to_owned(),
            );
        }
        let limit = GATE_LIMIT - usize::from(self.has_gate_of_its_schedule());
        if self.gates.len() > limit {
            let count = self.gates.len();
            return bad(if limit < GATE_LIMIT {
                format!(
                    "{count} gates; the limit is {limit}, for its overlap policy takes one of the {GATE_LIMIT}"
                )
            } else {
                format!("{count} gates; the limit is {limit}")
            });
        }
        for (index, gate) in self.gates.iter().enumerate() {
            let earlier = &self.gates[..index];
            if earlier.iter().any(|other| other.template == gate.template) {
                return bad(format!("the gate \"{}\" is given twice", gate.template));
            }
            if gate.limit == 0 {
                return bad(format!(
                    "the limit of \"{}\" is 0; use 1 or more, or pause it",
                    gate.template
                ));
            }
            template_fields(&gate.template).map_err(at)?;
        }
        if self.schedule.is_some() {
            self.check_occurrences().map_err(at)?;
        }
        Ok(())
    }
}
