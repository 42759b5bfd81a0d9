//! What came of it.

use super::tally::Tally;

/// What came of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MigrationReport {
    /// What the source holds.
    pub from: Tally,
    /// What the target holds.
    pub to: Tally,
    /// Whether it went on where an earlier one had ended.
    pub resumed: bool,
    /// What is damaged in the source and was therefore not copied, a line each.
    pub unreadable: Vec<String>,
    /// Tasks that are not the same on both sides.
    pub differences: Differences,
}

impl MigrationReport {
    /// Whether the target holds all that the source holds, and nothing else. Then the target can be used. When both tallies
    /// are the same it can be used as well, and only what is [`unreadable`](Self::unreadable) is not there; else a further
    /// run goes on with it.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.unreadable.is_empty() && self.from == self.to
    }
}

/// The ids of tasks that are not the same on both sides, some of each sort.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Differences {
    /// In the source, and not in the target.
    pub missing: Vec<String>,
    /// In both, and not the same.
    pub differ: Vec<String>,
    /// In the target, and not in the source.
    pub extra: Vec<String>,
}
