//! [`Group`]: the process group of a command, and how it is ended.

use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid,
};

use crate::clock::Clock;

/// How soon a group that was asked to end is looked at again; each look waits longer than the one before.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_millis(200);

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

    /// Waits until no process of the group runs. Its leader must have been waited for.
    pub(super) async fn gone(&self, clock: &dyn Clock) {
        let leader = self.leader;
        let mut pause = FIRST_LOOK;
        // Looking reads a file for each process of the machine.
        while tokio::task::spawn_blocking(move || runs(leader))
            .await
            .unwrap_or(false)
        {
            clock.sleep(pause).await;
            pause = (pause * 2).min(LAST_LOOK);
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

/// Whether a process of this group runs.
fn runs(leader: Pid) -> bool {
    // Where this process is the first of a container, it inherits orphans, and nobody else waits for them.
    while let Ok(Some(_)) = waitpgid(leader, WaitOptions::NOHANG) {}
    test_kill_process_group(leader).is_ok() && has_living_member(leader)
}

/// Whether a member of the group is more than an entry that its parent, process 1, has not come to remove.
#[cfg(target_os = "linux")]
fn has_living_member(leader: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return true;
    };
    processes
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .any(|stat| is_living_member(&stat, leader))
}

/// Reads `pid (name) state parent group …`; the name may itself contain spaces and parentheses.
#[cfg(target_os = "linux")]
fn is_living_member(stat: &str, leader: Pid) -> bool {
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return false;
    };
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next().unwrap_or_default();
    let group = fields.nth(1).and_then(|group| group.parse().ok());
    group == Some(leader.as_raw_nonzero().get()) && !matches!(state, "Z" | "X")
}

#[cfg(not(target_os = "linux"))]
fn has_living_member(_leader: Pid) -> bool {
    true
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_living_members_count() {
        let leader = Pid::from_raw(70).unwrap();
        for (stat, living) in [
            ("71 (sleep) S 1 70 70 0 -1", true),
            ("71 (a) b (c) ) S 1 70 70 0 -1", true),
            ("71 (sleep) Z 1 70 70 0 -1", false),
            ("71 (sleep) S 70 7 70 0 -1", false),
            ("", false),
        ] {
            assert_eq!(is_living_member(stat, leader), living, "{stat}");
        }
    }
}
