//! Watching a command to its end, also when nobody waits for it any more.

use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::capture::Capture;
use super::group::Group;
use super::spawn::Process;
use crate::clock::Clock;
use crate::handler::TaskContext;

/// How long output is still read after the process ended: what it left in the background may hold the pipes open.
const LINGER: Duration = Duration::from_millis(200);

pub(super) struct Limits {
    pub(super) output_cap: usize,
    pub(super) grace: Duration,
}

/// How a command ended.
pub(super) struct Exit {
    /// Whether it was asked to; else it ended by itself.
    pub(super) stopped: bool,
    pub(super) status: ExitStatus,
    pub(super) stdout: Capture,
    pub(super) stderr: Capture,
}

/// A command that is being watched. Dropping this stops the command; the watching goes on until it has ended.
pub(super) struct Supervised {
    watching: JoinHandle<io::Result<Exit>>,
    _stop: DropGuard,
}

impl Supervised {
    pub(super) async fn ended(self) -> io::Result<Exit> {
        self.watching.await.map_err(io::Error::other)?
    }
}

/// Starts watching on a task of its own: the run of the handler may be dropped, the process must not be forgotten.
pub(super) fn start(
    process: Process,
    input: Option<String>,
    limits: Limits,
    context: &TaskContext,
) -> Supervised {
    let stop = context.cancellation().child_token();
    let guard = stop.clone().drop_guard();
    let clock = Arc::clone(context.clock());
    Supervised {
        watching: tokio::spawn(watch(process, input, limits, stop, clock)),
        _stop: guard,
    }
}

async fn watch(
    process: Process,
    input: Option<String>,
    limits: Limits,
    stop: CancellationToken,
    clock: Arc<dyn Clock>,
) -> io::Result<Exit> {
    let Process { mut child, group } = process;
    let mut stdout = Capture::new(limits.output_cap);
    let mut stderr = Capture::new(limits.output_cap);
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (status, stopped) = {
        let mut talk = std::pin::pin!(async {
            tokio::join!(
                feed(pipes.0, input),
                stdout.read_all(pipes.1),
                stderr.read_all(pipes.2)
            );
        });
        let mut talking = true;
        let mut wait = std::pin::pin!(wait_or_stop(&mut child, &group, &stop, &limits, &*clock));
        let ended = loop {
            tokio::select! {
                () = &mut talk, if talking => talking = false,
                ended = &mut wait => break ended?,
            }
        };
        if talking {
            tokio::select! {
                () = &mut talk => {}
                () = clock.sleep(LINGER) => {}
            }
        }
        ended
    };
    group.leave();
    Ok(Exit {
        stopped,
        status,
        stdout,
        stderr,
    })
}

/// Waits for the process; when it is to stop, ends its whole group. Answers also whether it was stopped.
async fn wait_or_stop(
    child: &mut Child,
    group: &Group,
    stop: &CancellationToken,
    limits: &Limits,
    clock: &dyn Clock,
) -> io::Result<(ExitStatus, bool)> {
    tokio::select! {
        biased;
        status = child.wait() => return status.map(|status| (status, false)),
        () = stop.cancelled() => group.ask_to_end(),
    }
    tokio::select! {
        biased;
        () = async { let _ = child.wait().await; group.gone(clock).await; } => {}
        () = clock.sleep(limits.grace) => group.kill(),
    }
    let status = child.wait().await?;
    // What was killed needs a moment to go. What hangs in the kernel does not hold up the task.
    tokio::select! {
        () = group.gone(clock) => {}
        () = clock.sleep(LINGER) => {}
    }
    Ok((status, true))
}

/// Writes the input and closes the pipe. A program that does not read it all is no failure.
async fn feed(pipe: Option<ChildStdin>, input: Option<String>) {
    if let (Some(mut pipe), Some(input)) = (pipe, input) {
        let _ = pipe.write_all(input.as_bytes()).await;
        let _ = pipe.shutdown().await;
    }
}
