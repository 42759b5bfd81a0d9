//! How far a worker has come in stopping.

/// How far stopping has come. It only goes down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Stop {
    /// Not at all.
    #[default]
    No,
    /// What is due is still claimed and run; the worker ends when nothing is.
    RunDue,
    /// Nothing new is claimed; what runs may finish.
    Drain,
    /// What runs is asked to stop.
    Cancel,
    /// What still runs is handed back and left behind.
    Release,
    /// The worker ends at once and hands nothing back.
    Abandon,
}
