//! [`collected`]: the tasks that `#[tlo::task]` declared.

use super::task::Task;

/// What `#[tlo::task]` leaves behind for [`collected`].
#[derive(Clone, Copy, Debug)]
pub struct Collected {
    /// Makes the task.
    pub task: fn() -> Task,
}

#[cfg(feature = "macros")]
inventory::collect!(Collected);

/// All tasks that `#[tlo::task]` declared in the crates that are linked into this program, ordered by name; empty
/// without the feature `macros`.
///
/// A trap: the linker leaves out a crate that nobody refers to, and its tasks with it. Refer to each such crate
/// (`use jobs as _;`), or register its tasks one by one, which always works.
#[must_use]
pub fn collected() -> Vec<Task> {
    #[cfg(feature = "macros")]
    let mut tasks: Vec<Task> = inventory::iter::<Collected>
        .into_iter()
        .map(|collected| (collected.task)())
        .collect();
    #[cfg(not(feature = "macros"))]
    let mut tasks: Vec<Task> = Vec::new();
    // The linker's order is nobody's choice.
    tasks.sort_by(|a, b| a.def.name.cmp(&b.def.name));
    tasks
}
