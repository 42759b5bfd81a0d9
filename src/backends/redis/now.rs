//! Whose time it is: the server's, unless a test moves the clock.

use std::sync::Arc;

use super::args::Args;
use crate::clock::Clock;

/// The first argument of every script.
#[derive(Clone, Debug)]
pub(super) struct Now(Option<Arc<dyn Clock>>);

impl Now {
    /// The time of the server for the clock of the machine; else that of the clock.
    pub(super) fn of(clock: Arc<dyn Clock>) -> Self {
        Self((!clock.is_of_the_machine()).then_some(clock))
    }

    /// Arguments that begin with the time; nothing stands for the server's.
    pub(super) fn args(&self) -> Args {
        let mut args = Args::default();
        match &self.0 {
            Some(clock) => args.number(clock.now().as_micros()),
            None => args.text(""),
        }
        args
    }
}
