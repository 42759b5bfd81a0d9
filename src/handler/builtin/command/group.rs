//! [`Group`]: the process group of a command, and how it is ended.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use crate::clock::Clock;

/// How often a group that was asked to end is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A process group. Dropping it while it is watched kills it, so that it cannot outlive the runtime unseen.
#[derive(Debug)]
pub(super) struct Group {
    leader: Pid,
    watched: bool,
}

impl Group {
    pub(super) const fn of(leader: Pid) -> Self {
        Self {
            leader,
            watched: true,
        }
    }

    /// Ends the watch: the leader ended by itself and what is left of the group goes on, or all of it was killed.
    pub(super) fn leave(mut self) {
        self.watched = false;
    }

    /// Asks all its processes to end; stopped ones are continued to hear it.
    pub(super) fn ask_to_end(&self) {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
    }

    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// A group that is gone already is no failure. The number cannot be somebody else's while a process of the group
    /// is left; when none is left, the kernel would have to hand out every other number first.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.leader, signal);
    }

    /// Waits until no process of the group is left.
    pub(super) async fn gone(&self, clock: &dyn Clock) {
        while test_kill_process_group(self.leader).is_ok() {
            clock.sleep(LOOK).await;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.watched {
            self.kill();
        }
    }
}
