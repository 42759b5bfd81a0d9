//! [`JobsFile`]: tasks that run commands, as a person writes them into `tlo.toml`.

mod command;
mod host;

use std::ops::Range;

pub use self::command::{Account, CommandInput, CommandSpec, Invocation};
pub use self::host::Host;
use super::source::{Mistake, Source};
use crate::task::TaskDef;

/// A task and the command that it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The definition, without a handler.
    pub def: TaskDef,
    /// What runs.
    pub command: CommandSpec,
    source: Source,
    span: Range<usize>,
}

impl Job {
    pub(super) fn new(
        def: TaskDef,
        command: CommandSpec,
        source: &Source,
        span: Range<usize>,
    ) -> Self {
        Self {
            def,
            command,
            source: source.clone(),
            span,
        }
    }

    /// A mistake at the place where this job is written, for whoever finds one later.
    #[must_use]
    pub fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake::error(&self.source, self.span.clone(), message)
    }
}
