//! [`Timeout`]: a run ends after the time its record allows.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::Layer;
use super::panic::QuietDrop;
use crate::handler::{Handler, Interruption, SharedHandler, TaskContext};
use crate::payload::Payload;
use crate::task::{Ended, Outcome};

/// How long a run may go on after it was told that its time is over.
const GRACE: Duration = Duration::from_millis(500);

/// Ends runs that take longer than the timeout in their record. A record without one costs nothing.
///
/// When the time is over the token is cancelled. A run that succeeds within the grace (or the longer one it asked for
/// with [`TaskContext::need_grace`]) has succeeded; any other end, and no end, is [`Ended::TimedOut`], and the run is
/// dropped. A function without `async` cannot be dropped: it goes on in
/// its pool, and nobody looks at what it returns.
#[derive(Clone, Copy, Debug)]
pub struct Timeout {
    grace: Duration,
}

impl Default for Timeout {
    /// Half a second of grace.
    fn default() -> Self {
        Self { grace: GRACE }
    }
}

impl Timeout {
    /// Another grace than half a second.
    #[must_use]
    pub const fn with_grace(grace: Duration) -> Self {
        Self { grace }
    }
}

impl Layer for Timeout {
    fn wrap(&self, inner: SharedHandler) -> SharedHandler {
        Arc::new(Timing {
            inner,
            grace: self.grace,
        })
    }
}

struct Timing {
    inner: SharedHandler,
    grace: Duration,
}

impl Handler for Timing {
    // Written without the macro: most runs have no timeout and then need no second future.
    fn run<'life, 'run>(
        &'life self,
        context: TaskContext,
        args: Payload,
    ) -> Pin<Box<dyn Future<Output = Ended> + Send + 'run>>
    where
        'life: 'run,
        Self: 'run,
    {
        let Some(timeout) = context.record().timeout else {
            return self.inner.run(context, args);
        };
        Box::pin(async move {
            let clock = Arc::clone(context.clock());
            // It is known from here on.
            let _ = context.deadline();
            let mut run = QuietDrop(Some(self.inner.run(context.clone(), args)));
            tokio::select! {
                biased;
                ended = &mut run => return ended,
                () = clock.sleep(timeout) => context.interrupt(Interruption::TimedOut),
            }
            let why = context.interruption().unwrap_or(Interruption::TimedOut);
            tokio::select! {
                biased;
                ended = &mut run => within_grace(ended, why),
                () = context.grace_is_over(self.grace) => {
                    context.leave_behind();
                    why.ended()
                }
            }
        })
    }
}

/// A run that still succeeds has succeeded, and one that was asked to end for another reason before ends for that one.
fn within_grace(ended: Ended, why: Interruption) -> Ended {
    let succeeded = matches!(
        ended,
        Ended::Returned(Outcome::Success(_)) | Ended::Unserializable(_)
    );
    if succeeded || why != Interruption::TimedOut {
        ended
    } else {
        Ended::TimedOut
    }
}
