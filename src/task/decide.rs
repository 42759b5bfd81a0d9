//! What a task becomes when a run of it ends: one pure function for workers, reapers and stores.

use super::attempt::{AttemptEnd, ERROR_LIMIT, cut_text};
use super::due::Due;
use super::group::error_group;
use super::outcome::{Action, Outcome, TaskError};
use super::record::TaskStateRecord;
use super::status::TaskStatus;
use crate::payload::Payload;

/// How a run, or the wait for one, ended.
#[derive(Clone, Debug)]
pub enum Ended {
    /// The handler answered.
    Returned(Outcome),
    /// The handler panicked with this message.
    Panicked(String),
    /// The run took longer than its timeout.
    TimedOut,
    /// The args could not be read as the handler's type.
    Undecodable(String),
    /// The handler succeeded, but its result has no JSON form or is too large.
    Unserializable(String),
    /// The run was aborted because the task was cancelled.
    Aborted(String),
    /// The worker stops and hands the task back.
    Released,
    /// The lease ended without a word from the worker.
    Lost,
    /// It expired before it started, or before it was tried again.
    Expired,
}

/// What a store writes when a run ends. It is applied as it is; the meaning was decided here.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// `Pending` or a terminal status.
    pub status: TaskStatus,
    /// When a `Pending` task is due again.
    pub due: Due,
    /// How the attempt is entered in the history; `None` enters nothing.
    pub end: Option<AttemptEnd>,
    /// Whether the attempt gives its number back.
    pub give_back: bool,
    /// Whether the loss counter grows.
    pub lost: bool,
    /// The result of a success.
    pub result: Option<Payload>,
    /// What went wrong, cut to 16 KiB.
    pub error: Option<String>,
    /// The group of that error.
    pub error_group: Option<String>,
    /// The new phase, when an engine on top sets one.
    pub phase: Option<String>,
    /// The new engine state, when an engine on top sets one.
    pub state: Option<Payload>,
}

impl Settlement {
    fn new(status: TaskStatus, end: AttemptEnd) -> Self {
        Self {
            status,
            due: Due::Now,
            end: Some(end),
            give_back: false,
            lost: false,
            result: None,
            error: None,
            error_group: None,
            phase: None,
            state: None,
        }
    }

    /// A success with this result.
    #[must_use]
    pub fn success(result: Payload) -> Self {
        Self {
            result: Some(result),
            ..Self::new(TaskStatus::Succeeded, AttemptEnd::Succeeded)
        }
    }

    /// Back to wait without a failure; the attempt number is given back.
    #[must_use]
    pub fn snooze(due: Due) -> Self {
        Self {
            due,
            give_back: true,
            ..Self::new(TaskStatus::Pending, AttemptEnd::Snoozed)
        }
    }

    /// Handed back by a worker that stops; the attempt number is given back.
    #[must_use]
    pub fn release() -> Self {
        Self {
            give_back: true,
            ..Self::new(TaskStatus::Pending, AttemptEnd::Released)
        }
    }

    fn with_error(mut self, error: &str) -> Self {
        let error = if error.is_empty() {
            "no message"
        } else {
            error
        };
        self.error_group = Some(error_group(error));
        self.error = Some(cut_text(error.to_owned(), ERROR_LIMIT));
        self
    }

    fn failed(end: AttemptEnd, error: &str) -> Self {
        Self::new(TaskStatus::Failed, end).with_error(error)
    }

    fn cancelled(end: Option<AttemptEnd>, reason: &str) -> Self {
        let mut settlement =
            Self::new(TaskStatus::Cancelled, AttemptEnd::Cancelled).with_error(reason);
        settlement.end = end;
        settlement.error_group = None;
        settlement
    }
}

/// What becomes of `record`, whose run just `ended`; `unit` in `0.0..1.0` is the chance that jitter uses.
///
/// - Success and a failure for good are final; a failure is tried again while `attempt − lost` is below `max_attempts`.
/// - Snooze and release are no failures and give the attempt number back.
/// - A lost lease does not use up an attempt: it counts in `lost`, and at `max_lost` the task fails as "worker lost".
/// - A cancelled run that answers with a retry or a snooze is cancelled; one that succeeds anyway has succeeded.
#[must_use]
pub fn decide(ended: Ended, record: &TaskStateRecord, unit: f64) -> Settlement {
    match ended {
        Ended::Returned(Outcome::Success(result)) => Settlement::success(result),
        Ended::Returned(Outcome::Error(error)) => answered(&error, record, unit),
        Ended::Panicked(message) => try_again(
            AttemptEnd::Panicked,
            &format!("the handler panicked: {message}"),
            None,
            record,
            unit,
        ),
        Ended::TimedOut => {
            let after = record
                .timeout
                .map(crate::schedule::format_duration)
                .unwrap_or_default();
            try_again(
                AttemptEnd::TimedOut,
                &format!("timed out after {after}"),
                None,
                record,
                unit,
            )
        }
        Ended::Undecodable(message) => try_again(
            AttemptEnd::Failed,
            &format!("the args do not fit the handler: {message}"),
            None,
            record,
            unit,
        ),
        Ended::Unserializable(message) => Settlement::failed(
            AttemptEnd::Failed,
            &format!("the result could not be serialised: {message}"),
        ),
        Ended::Aborted(reason) => Settlement::cancelled(Some(AttemptEnd::Cancelled), &reason),
        Ended::Released if record.cancel_requested => Settlement::cancelled(
            Some(AttemptEnd::Cancelled),
            "cancelled while its worker stopped",
        ),
        Ended::Released => Settlement::release(),
        Ended::Lost => lost(record, unit),
        Ended::Expired => Settlement::cancelled(None, &expired(record)),
    }
}

/// A task that failed before says so: the time ran out for its next attempt, and its error is what explains that.
fn expired(record: &TaskStateRecord) -> String {
    match &record.error {
        Some(error) => format!(
            "expired before attempt {}; the one before: {error}",
            record.attempt.saturating_add(1)
        ),
        None => "expired before it started".to_owned(),
    }
}

fn answered(error: &TaskError, record: &TaskStateRecord, unit: f64) -> Settlement {
    match &error.action {
        Action::Fail => Settlement::failed(AttemptEnd::Failed, &error.message),
        Action::Cancel => Settlement::cancelled(Some(AttemptEnd::Cancelled), &error.message),
        Action::Snooze(_) if record.cancel_requested => {
            Settlement::cancelled(Some(AttemptEnd::Cancelled), "cancelled while it snoozed")
        }
        Action::Snooze(due) => Settlement::snooze(*due),
        Action::Retry { after } => {
            try_again(AttemptEnd::Failed, &error.message, *after, record, unit)
        }
    }
}

fn try_again(
    end: AttemptEnd,
    error: &str,
    after: Option<std::time::Duration>,
    record: &TaskStateRecord,
    unit: f64,
) -> Settlement {
    if record.cancel_requested {
        return Settlement::cancelled(Some(AttemptEnd::Cancelled), error);
    }
    let spent = record.spent().max(1);
    if spent >= record.max_attempts {
        return Settlement::failed(end, error);
    }
    let wait = after.unwrap_or_else(|| record.retry.delay(spent, unit));
    Settlement {
        due: Due::In(wait),
        ..Settlement::new(TaskStatus::Pending, end)
    }
    .with_error(error)
}

fn lost(record: &TaskStateRecord, unit: f64) -> Settlement {
    let losses = record.lost.saturating_add(1);
    let worker = record
        .lease
        .as_ref()
        .map_or("its worker", |lease| lease.worker.as_str());
    let settlement = if record.cancel_requested {
        Settlement::cancelled(Some(AttemptEnd::Lost), "cancelled; its worker was lost")
    } else if losses >= record.max_lost.max(1) {
        Settlement::failed(
            AttemptEnd::Lost,
            &format!("worker lost {losses} times, last {worker}"),
        )
    } else {
        // The first loss is tried at once; a task that takes its workers down waits longer each time.
        let wait = if losses == 1 {
            std::time::Duration::ZERO
        } else {
            record.retry.delay(losses - 1, unit)
        };
        Settlement {
            due: Due::In(wait),
            ..Settlement::new(TaskStatus::Pending, AttemptEnd::Lost)
        }
        .with_error(&format!("worker lost: {worker}"))
    };
    Settlement {
        lost: true,
        ..settlement
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TaskId;
    use crate::task::NewTask;
    use crate::timestamp::Timestamp;
    use proptest::prelude::*;
    use std::time::Duration;

    fn running(attempt: u32, lost: u32, max_attempts: u32) -> TaskStateRecord {
        let mut new = NewTask::new(TaskId::new("t").unwrap(), "t", Payload::null());
        new.max_attempts = max_attempts;
        let mut record = TaskStateRecord::create(new, Timestamp::UNIX_EPOCH, 1);
        record.status = TaskStatus::Running;
        record.attempt = attempt;
        record.lost = lost;
        record
    }

    fn fails(record: &TaskStateRecord) -> Settlement {
        decide(
            Ended::Returned(Outcome::Error(TaskError::retry("no luck"))),
            record,
            0.0,
        )
    }

    #[test]
    fn what_expires_between_attempts_keeps_the_error_of_the_last() {
        let fresh = decide(Ended::Expired, &running(0, 0, 3), 0.0);
        assert_eq!(fresh.error.as_deref(), Some("expired before it started"));
        let mut tried = running(2, 0, 3);
        tried.error = Some("no route to the database".to_owned());
        let settlement = decide(Ended::Expired, &tried, 0.0);
        assert_eq!(settlement.status, TaskStatus::Cancelled);
        assert_eq!(
            settlement.error.as_deref(),
            Some("expired before attempt 3; the one before: no route to the database")
        );
    }

    #[test]
    fn attempts_are_total_attempts() {
        assert_eq!(fails(&running(1, 0, 3)).status, TaskStatus::Pending);
        assert_eq!(
            fails(&running(2, 0, 3)).due,
            Due::In(Duration::from_secs(8))
        );
        assert_eq!(fails(&running(3, 0, 3)).status, TaskStatus::Failed);
        assert_eq!(fails(&running(1, 0, 1)).status, TaskStatus::Failed);
    }

    #[test]
    fn a_lost_worker_does_not_eat_the_budget() {
        assert_eq!(fails(&running(3, 2, 3)).status, TaskStatus::Pending);
        let lost = decide(Ended::Lost, &running(1, 0, 1), 0.0);
        assert_eq!((lost.status, lost.lost), (TaskStatus::Pending, true));
        let poison = decide(Ended::Lost, &running(5, 4, 1), 0.0);
        assert_eq!(poison.status, TaskStatus::Failed);
        assert!(poison.error.unwrap().contains("worker lost"));
    }

    #[test]
    fn at_most_once_means_one_loss_is_the_end() {
        let mut record = running(1, 0, 5);
        record.max_lost = 0;
        assert_eq!(decide(Ended::Lost, &record, 0.0).status, TaskStatus::Failed);
    }

    #[test]
    fn a_cancelled_run_that_succeeds_has_succeeded() {
        let mut record = running(1, 0, 5);
        record.cancel_requested = true;
        let done = decide(
            Ended::Returned(Outcome::Success(Payload::null())),
            &record,
            0.0,
        );
        assert_eq!(done.status, TaskStatus::Succeeded);
        assert_eq!(fails(&record).status, TaskStatus::Cancelled);
        assert_eq!(
            decide(Ended::Released, &record, 0.0).status,
            TaskStatus::Cancelled
        );
        assert_eq!(
            decide(Ended::Lost, &record, 0.0).status,
            TaskStatus::Cancelled
        );
    }

    #[test]
    fn a_result_without_a_json_form_fails_for_good() {
        assert_eq!(
            decide(Ended::Unserializable("map".into()), &running(1, 0, 5), 0.0).status,
            TaskStatus::Failed
        );
    }

    proptest! {
        #[test]
        fn every_end_gives_a_status_that_follows_running(
            attempt in 1_u32.., lost in 0_u32..9, max in 1_u32..9, unit in 0.0..1.0_f64, which in 0_usize..9, cancel: bool,
        ) {
            let mut record = running(attempt, lost, max);
            record.cancel_requested = cancel;
            let ended = [
                Ended::Returned(Outcome::Success(Payload::null())),
                Ended::Returned(Outcome::Error(TaskError::retry(""))),
                Ended::Returned(Outcome::Error(TaskError::snooze(Duration::MAX))),
                Ended::Panicked(String::new()),
                Ended::TimedOut,
                Ended::Undecodable(String::new()),
                Ended::Unserializable(String::new()),
                Ended::Released,
                Ended::Lost,
            ][which].clone();
            let settlement = decide(ended, &record, unit);
            prop_assert!(settlement.status != TaskStatus::Running);
            prop_assert_eq!(settlement.result.is_some(), settlement.status == TaskStatus::Succeeded);
            if settlement.status == TaskStatus::Failed {
                prop_assert!(settlement.error.is_some() && settlement.error_group.is_some());
            }
        }
    }
}
