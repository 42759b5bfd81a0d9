//! What `pause`, `resume` and `limit` are about, as arguments.

use clap::{Args, ValueEnum};

use super::known::Known;
use crate::client::Target;
use crate::context::TloContext;
use crate::error::Result;

/// The sort of what is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Kind {
    /// All tasks of a queue
    Queue,
    /// All tasks of a name
    Task,
    /// The slots of a schedule
    Schedule,
    /// All tasks that carry a gate of this key, such as exclusive/greet/7
    Key,
}

/// What is meant.
#[derive(Args, Clone, Debug)]
pub(super) struct TargetArgs {
    /// What sort of thing
    #[arg(value_enum, requires = "name")]
    kind: Option<Kind>,
    /// Its name
    name: Option<String>,
    /// Accept the name of a queue or a task that nobody knows
    #[arg(long)]
    allow_unknown: bool,
}

impl TargetArgs {
    /// What is meant; `None` when nothing is named. Schedules are known by who pauses them, and keys by nobody.
    ///
    /// # Errors
    /// `NotFound` for a queue or a task that nobody knows, with the nearest.
    pub(super) async fn target(&self, tlo: &TloContext) -> Result<Option<Target>> {
        let (Some(kind), Some(name)) = (self.kind, &self.name) else {
            return Ok(None);
        };
        let target = match kind {
            Kind::Queue => Target::Queue(name.clone()),
            Kind::Task => Target::Task(name.clone()),
            Kind::Schedule => Target::Schedule(name.clone()),
            Kind::Key => Target::Key(name.clone()),
        };
        let unknown = match kind {
            _ if self.allow_unknown => None,
            Kind::Queue => Known::of(tlo).await?.no_queue(name),
            Kind::Task => Known::of(tlo).await?.no_name(name),
            Kind::Schedule | Kind::Key => None,
        };
        unknown.map_or(Ok(Some(target)), Err)
    }
}
