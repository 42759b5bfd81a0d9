//! The history of a task's runs.

use serde::{Deserialize, Serialize};

use crate::id::WorkerId;
use crate::timestamp::Timestamp;

/// A record keeps its first attempt and this many of the last.
pub const ATTEMPTS_KEPT: usize = 20;

/// Error texts are cut to this many bytes.
pub const ERROR_LIMIT: usize = 16 * 1024;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// With a result.
    Succeeded,
    /// With an error.
    Failed,
    /// By a panic of the handler.
    Panicked,
    /// It ran longer than its timeout.
    TimedOut,
    /// It asked to run later; the attempt number was given back.
    Snoozed,
    /// The worker stopped and handed it back; the attempt number was given back.
    Released,
    /// It was cancelled.
    Cancelled,
    /// Its lease ended without a word from the worker.
    Lost,
}

/// One run of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number, from 1. A run that gave its number back has the same one as the run after it.
    pub attempt: u32,
    /// Who ran it.
    pub worker: WorkerId,
    /// When it was claimed.
    pub started_at: Timestamp,
    /// When its end was recorded.
    pub finished_at: Timestamp,
    /// How it ended.
    pub outcome: AttemptEnd,
    /// What it said, cut to 16 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Cuts a text to at most `limit` bytes, at a character, and says so at its end.
#[must_use]
pub fn cut_text(mut text: String, limit: usize) -> String {
    const MARK: &str = "… (cut)";
    if text.len() > limit {
        let mut end = limit.saturating_sub(MARK.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(MARK);
    }
    text
}

/// Adds a run to a history that keeps the first and the last [`ATTEMPTS_KEPT`].
pub(crate) fn push_attempt(attempts: &mut Vec<Attempt>, attempt: Attempt) {
    if attempts.len() > ATTEMPTS_KEPT {
        attempts.remove(1);
    }
    if attempts.is_empty() {
        // Most tasks have one.
        attempts.reserve_exact(1);
    }
    attempts.push(attempt);
}
