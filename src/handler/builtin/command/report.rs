//! What a command that ended by itself means for its task.

use std::os::unix::process::ExitStatusExt;

use serde::Serialize;

use super::supervise::Exit;
use crate::handler::{Interruption, TaskContext};
use crate::payload::Payload;
use crate::task::{Ended, Outcome, TaskError};

/// How much of what the program said goes into an error.
const ERROR_TAIL: usize = 2 * 1024;

/// A part of an output that is shorter, in bytes, says nothing, and the mark of a cut would not fit into it.
const SHORTEST: usize = 32;

#[derive(Serialize)]
struct Report {
    /// The run that it is of, when that did not succeed: the task may have others.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    stdout: String,
    stderr: String,
    truncated: bool,
}

/// How the run ended. What it leaves becomes the result of a success, else the progress, and takes no more than the
/// limit of payloads.
pub(super) fn ended(exit: &Exit, context: &TaskContext) -> Ended {
    let limit = context.payload_limit();
    if exit.status.success() && !exit.stopped {
        let report = report(exit, None, limit).unwrap_or_else(Payload::null);
        return Ended::Returned(Outcome::Success(report));
    }
    if let Some(report) = report(exit, Some(context.attempt()), limit) {
        // It was made to fit, so it is taken.
        let _ = context.progress(report);
    }
    if exit.stopped {
        return context
            .interruption()
            .map_or(Ended::Released, Interruption::ended);
    }
    Ended::Returned(Outcome::Error(failure(exit)))
}

/// What the run leaves; `None` when the limit has no room for it, even without what the program said.
fn report(exit: &Exit, attempt: Option<u32>, limit: usize) -> Option<Payload> {
    let mut report = Report {
        attempt,
        exit_code: exit.status.code(),
        signal: exit.status.signal(),
        stdout: exit.stdout.text(),
        stderr: exit.stderr.text(),
        truncated: exit.stdout.is_truncated() || exit.stderr.is_truncated(),
    };
    loop {
        let payload = Payload::of(&report).unwrap_or_default();
        if payload.check_size("result", limit).is_ok() {
            return Some(payload);
        }
        if report.stdout.is_empty() && report.stderr.is_empty() {
            return None;
        }
        // Control characters take six bytes each in JSON. The work is done, so it must not fail for its output.
        report.truncated = true;
        for text in [&mut report.stdout, &mut report.stderr] {
            let half = text.len() / 2;
            *text = if half < SHORTEST {
                String::new()
            } else {
                crate::task::cut_text(std::mem::take(text), half)
            };
        }
    }
}

/// An error whose first line says enough to tell one cause from another.
fn failure(exit: &Exit) -> TaskError {
    let how = match (exit.status.code(), exit.status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}{}", signal_name(signal)),
        (None, None) => exit.status.to_string(),
    };
    let said = [exit.stderr.text(), exit.stdout.text()]
        .into_iter()
        .map(|text| text.trim_end().to_owned())
        .find(|text| !text.is_empty());
    TaskError::retry(match said {
        None => how,
        Some(said) if !said.contains('\n') && said.len() <= ERROR_TAIL => {
            format!("{how}: {said}")
        }
        Some(said) => {
            let last = tail(said.lines().next_back().unwrap_or_default(), 200);
            format!("{how}: {last}\n{}", tail(&said, ERROR_TAIL))
        }
    })
}

/// The end of a text: at most `limit` bytes, from the start of a character.
fn tail(text: &str, limit: usize) -> &str {
    let mut start = text.len().saturating_sub(limit);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        3 => " (SIGQUIT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        14 => " (SIGALRM)",
        15 => " (SIGTERM)",
        _ => "",
    }
}
