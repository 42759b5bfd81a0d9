//! [`RunAs`]: the user that a command runs as.

use std::io;

use tokio::process::{Child, Command};

/// A user by numbers: what the process becomes before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The further groups. Only Linux can set them; elsewhere the process has none.
    pub groups: Vec<u32>,
}

impl RunAs {
    /// Starts the command as this user.
    ///
    /// On Linux the identity belongs to a thread, and a process inherits that of the thread which starts it. So a
    /// thread of its own becomes the user, starts the command and ends.
    ///
    /// # Errors
    /// When this process may not become that user, or the command cannot start.
    #[cfg(target_os = "linux")]
    pub(super) async fn spawn(&self, mut command: Command) -> io::Result<Child> {
        let user = self.clone();
        let runtime = tokio::runtime::Handle::current();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("tlo-run-as".to_owned())
            .spawn(move || {
                let _entered = runtime.enter();
                let started = user.become_on_this_thread().and_then(|()| command.spawn());
                // Nobody waits any more: the child is dropped, and with it the process.
                let _ = sender.send(started);
            })?;
        receiver
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the starting thread ended early")))
    }

    #[cfg(target_os = "linux")]
    fn become_on_this_thread(&self) -> io::Result<()> {
        use rustix::process::{Gid, Uid};
        use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
        // All ones mean "no change" to the kernel and are nobody's number.
        if self.uid == u32::MAX || self.gid == u32::MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        let (gid, uid) = (Gid::from_raw(self.gid), Uid::from_raw(self.uid));
        // The user comes last: it gives up the right to change the groups.
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        Ok(())
    }

    /// Starts the command as this user.
    ///
    /// # Errors
    /// When this process may not become that user, or the command cannot start.
    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unused_async, reason = "it waits for a thread on Linux")]
    pub(super) async fn spawn(&self, mut command: Command) -> io::Result<Child> {
        command.gid(self.gid).uid(self.uid).spawn()
    }
}
