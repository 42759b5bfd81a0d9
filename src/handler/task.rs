//! [`Task`]: a definition and what runs it.

use std::fmt;
use std::time::Duration;

use super::builder::TaskBuilder;
use super::into::IntoHandler;
use super::{HandlerTable, SharedHandler};
use crate::error::{Error, Result};
use crate::task::TaskDef;

/// A definition with its handler, ready to be registered.
///
/// Mistakes made while it was built are kept in it, all of them, and come up when it is registered or
/// [`check`](Self::check)ed.
#[derive(Debug)]
#[must_use = "a task does nothing until it is registered"]
pub struct Task {
    /// What is known about the task.
    pub def: TaskDef,
    /// What runs it; `None` when it is only declared here and runs elsewhere.
    pub handler: Option<SharedHandler>,
    /// The mistakes in its definition, in one error.
    pub error: Option<Error>,
}

impl Task {
    /// Defines a task by its function, whose name becomes the task's; go on as with [`task`].
    ///
    /// ```
    /// use tlo::prelude::*;
    /// async fn greet(_: TaskContext, name: String) -> TaskResult<String> {
    ///     Ok(format!("hello {name}"))
    /// }
    /// let registered = Task::of(greet).build();
    /// assert_eq!(&*registered.def.name, "greet");
    /// assert_eq!(registered.def.schedule, None);
    /// ```
    pub fn of<M, F: IntoHandler<M>>(function: F) -> TaskBuilder {
        TaskBuilder::of(function)
    }

    /// Everything that is wrong with the definition.
    ///
    /// # Errors
    /// `Invalid` (or the kind of the only mistake), naming the task and each input.
    pub fn check(&self) -> Result<()> {
        match &self.error {
            Some(error) => Err(Error::new(
                error.kind(),
                error.operation().to_owned(),
                error.to_string(),
            )),
            None => self.def.check(),
        }
    }

    /// A table with only this task's handler, for running it in a test.
    ///
    /// # Errors
    /// As [`check`](Self::check) says.
    pub fn into_table(self) -> Result<HandlerTable> {
        let mut table = HandlerTable::default();
        table.insert(self)?;
        Ok(table)
    }
}

impl fmt::Debug for dyn super::Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

/// Defines a task of this name: say when and how it runs, then end with [`run`](TaskBuilder::run).
///
/// ```
/// use tlo::prelude::*;
/// let tick = task("tick").every(secs(1)).run(|_: TaskContext, _: ()| async { println!("tick") });
/// let backup = task("backup").cron("0 3 * * *").zone("Europe/Berlin").timeout("10m").max_attempts(3);
/// # tick.check()?;
/// # backup.declare().check()?;
/// # Ok::<(), tlo::Error>(())
/// ```
pub fn task(name: impl Into<String>) -> TaskBuilder {
    TaskBuilder::named(name)
}

/// Seconds.
#[must_use]
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Milliseconds.
#[must_use]
pub const fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Minutes; more than fit into a duration are cut to the longest.
#[must_use]
pub const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes.saturating_mul(60))
}

/// Hours; more than fit into a duration are cut to the longest.
#[must_use]
pub const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours.saturating_mul(3_600))
}
