//! The journal: what every process did and heard, a line each, in a file that outlives them all.
//!
//! A line is one `write` to a file that is only appended to, so lines of many processes do not mix. Nothing is synced:
//! processes are killed here, not the machine. A process that is killed while its line crosses from one page of memory to
//! the next leaves a part of it: that counts as a line that was not written, and every line begins on a new one.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tlo::{Clock, SystemClock, TaskId, TaskStatus};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Which process wrote it: each start has a number of its own. The test itself is 0.
    pub(crate) who: u32,
    /// When, in microseconds since the machine booted: all processes have the same clock.
    pub(crate) at: u64,
    pub(crate) what: Note,
}

/// What happened. Times are microseconds since boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Note {
    /// The process has begun to do what it is for.
    Up,
    /// These tasks of one name are about to be submitted, all in one write.
    Trying { ids: Vec<TaskId>, name: String },
    /// The submit was answered: this task was made, or was there.
    Acknowledged { id: TaskId },
    /// The submit failed: what it was for may be there or not.
    NotSubmitted { why: String },
    /// A claim was answered with this task.
    Claimed {
        id: TaskId,
        attempt: u32,
        fence: u64,
        /// When the store gave the lease, and when it ends unless it is extended.
        granted: u64,
        until: u64,
    },
    /// The lease was extended.
    Extended { id: TaskId, fence: u64, until: u64 },
    /// The handler was called.
    Started { id: TaskId, fence: u64 },
    /// The handler is about to answer; with an error when there is no value.
    Ended {
        id: TaskId,
        fence: u64,
        value: Option<u64>,
    },
    /// The store took the end of the run.
    Settled {
        id: TaskId,
        fence: u64,
        status: TaskStatus,
    },
    /// The store refused a write under a lease.
    Refused {
        id: TaskId,
        fence: u64,
        write: UnderLease,
        why: String,
    },
    /// The test is about to kill this process; by the wall clock, too.
    Killing { who: u32, wall: i64 },
    /// The test has stopped this process.
    Stopped { who: u32 },
    /// The test lets this process go on.
    Continuing { who: u32 },
    /// The process dies here, by its own hand.
    Reached { point: String },
}

/// A write under a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UnderLease {
    Settle,
    Extend,
    Progress,
}

/// Microseconds since the machine booted.
pub(crate) fn now() -> u64 {
    u64::try_from(SystemClock.steady().at.as_micros()).unwrap()
}

/// Microseconds of the wall clock.
pub(crate) fn wall() -> i64 {
    SystemClock.now().as_micros()
}

/// The journal, open for one process.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    who: u32,
}

impl Journal {
    pub(crate) fn open(path: &Path, who: u32) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Self {
            file: file.unwrap(),
            who,
        }
    }

    pub(crate) fn note(&self, what: Note) {
        let line = Line {
            who: self.who,
            at: now(),
            what,
        };
        let text = format!("\n{}\n", serde_json::to_string(&line).unwrap());
        (&self.file).write_all(text.as_bytes()).unwrap();
    }
}

/// Reads what was added since it last looked.
#[derive(Debug)]
pub(crate) struct JournalReader {
    file: File,
    /// The beginning of a line whose end is still to come.
    rest: Vec<u8>,
}

impl JournalReader {
    pub(crate) fn open(path: &Path) -> Self {
        Self {
            file: File::open(path).unwrap(),
            rest: Vec::new(),
        }
    }

    /// The lines that are whole by now.
    pub(crate) fn new_lines(&mut self) -> Vec<Line> {
        self.file.read_to_end(&mut self.rest).unwrap();
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n');
        let lines = self.rest.drain(..whole.map_or(0, |at| at + 1));
        let text = String::from_utf8(lines.collect()).unwrap();
        let lines = text.lines().filter(|line| !line.is_empty());
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}
