//! A task that is about to be created.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};

use super::details::TaskDetails;
use super::due::Due;
use super::gate::GATE_LIMIT;
use super::record::TaskKind;
use super::unique::{OnConflict, Unique};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{TaskId, check_name};
use crate::payload::Payload;
use crate::timestamp::Timestamp;

/// The owner of streams that belong to no task; streams go with the task that has their owner's id.
const SYSTEM: &str = "sys";

/// The most tags of a task.
pub(crate) const TAG_LIMIT: usize = 16;

/// Everything a store needs to create a record. Made by the client and the scheduler; the store stamps the times.
///
/// The fields of [`TaskDetails`] are fields of a new task, too.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Made by the client, so that sending the same create twice is harmless.
    pub id: TaskId,
    /// The name of the handler.
    pub name: Arc<str>,
    /// The queue, `default` unless named.
    pub queue: Arc<str>,
    /// What sort of record.
    pub kind: TaskKind,
    /// 0 to 255, larger first; 5 unless given.
    pub priority: u8,
    /// What the handler is given.
    pub args: Payload,
    /// When it may first run.
    pub due: Due,
    /// After this it is cancelled instead of started.
    pub expires: Option<Due>,
    /// The idempotency key.
    pub unique: Option<Arc<Unique>>,
    /// The recurring task it is an occurrence of.
    pub schedule: Option<Arc<str>>,
    /// Its slot of that schedule.
    pub slot: Option<Timestamp>,
    /// What to do when the key is owned.
    pub on_conflict: OnConflict,
    /// What it may have in common with others.
    pub details: Arc<TaskDetails>,
}

impl Deref for NewTask {
    type Target = TaskDetails;

    fn deref(&self) -> &TaskDetails {
        &self.details
    }
}

impl DerefMut for NewTask {
    /// The details of this task alone: shared ones are copied.
    fn deref_mut(&mut self) -> &mut TaskDetails {
        Arc::make_mut(&mut self.details)
    }
}

pub(super) static DEFAULT_QUEUE: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("default"));

impl NewTask {
    /// A task with the defaults: queue `default`, priority 5, due now, five attempts, five losses.
    #[must_use]
    pub fn new(id: TaskId, name: impl Into<Arc<str>>, args: Payload) -> Self {
        Self {
            id,
            name: name.into(),
            queue: Arc::clone(&DEFAULT_QUEUE),
            kind: TaskKind::Task,
            priority: 5,
            args,
            due: Due::Now,
            expires: None,
            unique: None,
            schedule: None,
            slot: None,
            on_conflict: OnConflict::default(),
            details: TaskDetails::shared_default(),
        }
    }

    /// Checks names, gates, keys and numbers; stores call it before the first write.
    ///
    /// # Errors
    /// `Invalid` or `TooLarge`, naming the field and its value.
    pub fn check(&self) -> Result<()> {
        if self.id.as_str() == SYSTEM {
            return Err(Error::invalid(
                "task",
                format!("the id \"{SYSTEM}\" is taken: it owns the audit events"),
            ));
        }
        check_name("a task name", &self.name)?;
        check_name("a queue name", &self.queue)?;
        if let Some(version) = &self.version {
            check_name("a version", version)?;
        }
        if self.gates.len() > GATE_LIMIT {
            let count = self.gates.len();
            return Err(Error::invalid(
                "task",
                format!(
                    "\"{}\" has {count} gates; the limit is {GATE_LIMIT}",
                    self.name
                ),
            ));
        }
        for (index, gate) in self.gates.iter().enumerate() {
            gate.check()?;
            if self.gates[..index]
                .iter()
                .any(|other| other.key == gate.key)
            {
                return Err(Error::invalid(
                    "task",
                    format!("the gate \"{}\" is given twice", gate.key),
                ));
            }
        }
        if let Some(unique) = &self.unique {
            check_name("a unique key", &unique.key)?;
        }
        if self.tags.len() > TAG_LIMIT {
            let count = self.tags.len();
            return Err(Error::new(
                ErrorKind::TooLarge,
                "task",
                format!("{count} tags; the limit is {TAG_LIMIT}"),
            ));
        }
        for tag in &self.tags {
            check_name("a tag", tag)?;
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(Error::invalid(
                "task",
                format!(
                    "the timeout of \"{}\" is 0, so no run could end in time; leave it out for no timeout",
                    self.name
                ),
            ));
        }
        self.retry.check()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_task_owns_the_audit() {
        let sys = NewTask::new(TaskId::new("sys").unwrap(), "greet", Payload::null());
        let error = sys.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(
            error.to_string().contains("the id \"sys\" is taken"),
            "{error}"
        );
    }

    #[test]
    fn a_timeout_of_zero_is_refused() {
        let mut new = NewTask::new(TaskId::new("t").unwrap(), "greet", Payload::null());
        new.timeout = Some(Duration::from_micros(1));
        assert!(new.check().is_ok());
        new.timeout = Some(Duration::ZERO);
        let error = new.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("timeout of \"greet\" is 0"));
    }
}
