//! Stopping a runner from elsewhere.

use tokio::sync::watch;

use crate::settings::StopBehavior;

/// What a runner is asked for. It only goes down this list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Run,
    /// With the behaviour of the settings when none is given.
    Stop(Option<StopBehavior>),
    Force,
}

/// Stops a runner. Cloning is cheap; dropping it does nothing.
#[derive(Clone, Debug)]
pub struct RunnerHandle(watch::Sender<Request>);

impl RunnerHandle {
    pub(super) fn new(requests: watch::Sender<Request>) -> Self {
        Self(requests)
    }

    /// Stops as the settings say. Calling it again hands back at once what still runs.
    pub fn stop(&self) {
        self.ask(Request::Stop(None));
    }

    /// Stops in this way. Calling it again hands back at once what still runs.
    pub fn stop_with(&self, behavior: StopBehavior) {
        self.ask(Request::Stop(Some(behavior)));
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow() != Request::Run
    }

    fn ask(&self, request: Request) {
        self.0.send_modify(|now| {
            *now = if *now == Request::Run {
                request
            } else {
                Request::Force
            }
        });
    }
}

/// Waits for the first request to stop.
pub(super) async fn asked_to_stop(requests: &mut watch::Receiver<Request>) -> Option<StopBehavior> {
    match requests
        .wait_for(|request| *request != Request::Run)
        .await
        .map(|request| *request)
    {
        Ok(Request::Stop(behavior)) => behavior,
        Ok(Request::Force) => Some(StopBehavior::Cancel),
        // The runner itself keeps a sender, so this never ends by itself.
        Ok(Request::Run) | Err(_) => std::future::pending().await,
    }
}

/// Waits for a second request.
pub(super) async fn forced(requests: &mut watch::Receiver<Request>) {
    if requests
        .wait_for(|request| *request == Request::Force)
        .await
        .is_err()
    {
        std::future::pending::<()>().await;
    }
}
