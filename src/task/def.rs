//! What is known about a task before it runs.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::gate::{GATE_LIMIT, template_fields};
use super::new::{DEFAULT_QUEUE, TAG_LIMIT};
use super::options::TaskOptions;
use crate::error::{Error, Result};
use crate::id::check_name;
use crate::payload::Payload;
use crate::schedule::Schedule;

/// The definition of a task: plain data, without its handler.
///
/// A registry keeps definitions; `HandlerTable` keeps what runs. Fields left at their default follow the settings. The
/// fields of [`TaskOptions`] are fields of a definition, too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskDef {
    /// Its name, with its version unique in a registry.
    pub name: Arc<str>,
    /// The queue; `default` unless given.
    #[serde(default = "default_queue")]
    pub queue: Arc<str>,
    /// 0 to 255, larger first; 5 unless given.
    #[serde(default = "default_priority")]
    pub priority: u8,
    /// When it runs by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// What its occurrences are given.
    #[serde(default)]
    pub args: Payload,
    /// What most tasks leave at its default; those share it.
    #[serde(flatten)]
    pub options: Arc<TaskOptions>,
}

impl Deref for TaskDef {
    type Target = TaskOptions;

    fn deref(&self) -> &TaskOptions {
        &self.options
    }
}

impl DerefMut for TaskDef {
    /// The options of this task alone: shared ones are copied.
    fn deref_mut(&mut self) -> &mut TaskOptions {
        Arc::make_mut(&mut self.options)
    }
}

fn default_queue() -> Arc<str> {
    Arc::clone(&DEFAULT_QUEUE)
}

const fn default_priority() -> u8 {
    5
}

impl TaskDef {
    /// A definition with the defaults and no schedule.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            queue: default_queue(),
            priority: default_priority(),
            schedule: None,
            args: Payload::null(),
            options: TaskOptions::shared_default(),
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
