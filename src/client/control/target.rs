//! What can be paused and limited.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::store::GATE_MARK;

/// Something that can be paused; all but a schedule can be limited, too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "lowercase")]
pub enum Target {
    /// The tasks of a queue: nothing of it starts.
    Queue(String),
    /// The tasks of a name, in all queues.
    Task(String),
    /// A schedule: its slots pass without a run. What it made before still runs.
    Schedule(String),
    /// The tasks that carry a gate of this key.
    Key(String),
}

impl Target {
    /// What sort it is, in a word.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Queue(_) => "queue",
            Self::Task(_) => "task",
            Self::Schedule(_) => "schedule",
            Self::Key(_) => "key",
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Queue(name) | Self::Task(name) | Self::Schedule(name) | Self::Key(name) => name,
        }
    }

    /// The key of its gate; schedules have none.
    pub(super) fn gate(&self) -> Option<String> {
        match self {
            Self::Queue(name) => Some(format!("queue/{name}")),
            Self::Task(name) => Some(format!("task/{name}")),
            Self::Key(key) => Some(key.clone()),
            Self::Schedule(_) => None,
        }
    }

    /// What the mark of a gate is about.
    pub(super) fn of_mark(key: &str) -> Self {
        let gate = key.strip_prefix(GATE_MARK).unwrap_or(key);
        if let Some(name) = gate.strip_prefix("queue/") {
            Self::Queue(name.to_owned())
        } else if let Some(name) = gate.strip_prefix("task/") {
            Self::Task(name.to_owned())
        } else {
            Self::Key(gate.to_owned())
        }
    }
}

impl fmt::Display for Target {
    /// `queue "mail"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} \"{}\"", self.kind(), self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_known_again_by_the_mark_of_its_gate() {
        for target in [
            Target::Queue("mail".to_owned()),
            Target::Task("greet".to_owned()),
            Target::Key("user/7".to_owned()),
        ] {
            let mark = format!("{GATE_MARK}{}", target.gate().unwrap());
            assert_eq!(Target::of_mark(&mark), target);
        }
        assert_eq!(Target::Schedule("s".to_owned()).gate(), None);
    }
}
