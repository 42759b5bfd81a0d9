//! [`TaskContextBuilder`]: contexts for tests of handlers.

use std::any::Any;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::context::{Surroundings, TaskContext};
use crate::clock::Clock;
use crate::id::{TaskId, WorkerId};
use crate::payload::Payload;
use crate::task::{NewTask, TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// Makes a [`TaskContext`] without a worker, to call a handler in a test.
///
/// ```
/// use tlo::handler::TaskContextBuilder;
/// let context = TaskContextBuilder::new("greet").attempt(3).state("a shared value").build();
/// assert_eq!((context.name(), context.attempt()), ("greet", 3));
/// assert_eq!(context.state::<&str>().as_deref(), Some(&"a shared value"));
/// ```
#[derive(Clone, Debug)]
pub struct TaskContextBuilder {
    record: TaskStateRecord,
    cancellation: CancellationToken,
    surroundings: Surroundings,
}

impl TaskContextBuilder {
    /// The first attempt of a running task of this name. Its id is `test`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let surroundings = Surroundings::default();
        let now = surroundings.clock.now();
        let new = NewTask::new(TaskId::known("test"), name, Payload::null());
        let mut record = TaskStateRecord::create(new, now, 1);
        record.status = TaskStatus::Running;
        record.started_at = Some(now);
        record.attempt = 1;
        record.leases = 1;
        record.fence = 1;
        Self {
            record,
            cancellation: CancellationToken::new(),
            surroundings,
        }
    }

    /// Another attempt than the first.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.record.attempt = attempt;
        self
    }

    /// An occurrence of the schedule of the same name, at this slot.
    #[must_use]
    pub fn slot(mut self, slot: Timestamp) -> Self {
        self.record.schedule = Some(Arc::clone(&self.record.name));
        self.record.slot = Some(slot);
        self
    }

    /// A shared value for [`TaskContext::state`].
    #[must_use]
    pub fn state<T: Any + Send + Sync>(mut self, value: T) -> Self {
        self.surroundings.extensions.insert(value);
        self
    }

    /// Another clock than this machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.surroundings.clock = clock;
        self
    }

    /// Everything that runs share, at once.
    #[must_use]
    pub fn surroundings(mut self, surroundings: Surroundings) -> Self {
        self.surroundings = surroundings;
        self
    }

    /// A token that the test cancels.
    #[must_use]
    pub fn cancellation(mut self, token: CancellationToken) -> Self {
        self.cancellation = token;
        self
    }

    /// Any field of the record.
    #[must_use]
    pub fn record(mut self, change: impl FnOnce(&mut TaskStateRecord)) -> Self {
        change(&mut self.record);
        self
    }

    /// The context.
    #[must_use]
    pub fn build(self) -> TaskContext {
        TaskContext::new(
            Arc::new(self.record),
            WorkerId::known("test"),
            self.cancellation,
            Arc::new(self.surroundings),
        )
    }
}
