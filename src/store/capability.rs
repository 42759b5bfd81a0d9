//! What a store promises.

use std::time::Duration;

use serde::Serialize;

/// What survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Nothing: it lives in the process.
    None,
    /// The death of the process; a power failure may take the latest writes.
    Process,
    /// A power failure.
    Power,
}

/// What a store is and promises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Capability {
    /// The plugin name, such as `sqlite`.
    pub name: &'static str,
    /// What survives.
    pub durability: Durability,
    /// Whether several processes may use it at once.
    pub shared: bool,
    /// Whether hints arrive from other processes; if not, they must poll.
    pub pushes: bool,
    /// How long finished records are kept by default.
    pub retention: super::Retention,
    /// How often a worker should look when no hint comes.
    pub poll: Duration,
    /// One sentence for people: where it is and what it promises.
    pub promise: String,
    /// More for `tlo doctor`: what was read back from the engine, by label, when it was opened or at the latest upkeep.
    /// Asking for a capability must not wait for a disk.
    pub facts: Vec<(&'static str, String)>,
}
