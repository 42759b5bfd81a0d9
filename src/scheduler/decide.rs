//! What becomes of the slots of one schedule that are due: the commits that say so.

use std::sync::Arc;

use serde::Serialize;

use super::entry::Entry;
use crate::error::Result;
use crate::id::TaskId;
use crate::payload::Payload;
use crate::schedule::{CatchUp, Overlap, Skipped, missed_from};
use crate::store::{Commit, Create, Guard, NewEvent, Op, StreamId};
use crate::task::{Cursor, OnConflict, Overlapped};
use crate::timestamp::Timestamp;

/// Notes of a schedule that are kept: a schedule whose runs take longer than its period makes some for ever.
const NOTES_KEPT: u64 = 1_000;

/// What was decided about one schedule, and the commit that makes it so.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) index: usize,
    /// The slots that run, in the order of the creates that the commit begins with.
    pub(super) runs: Vec<Timestamp>,
    /// The slots that are skipped behind an unfinished run.
    pub(super) behind: Option<Overlapped>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) cursor: Cursor,
    /// The slot after the cursor, where it is known.
    pub(super) following: Option<Timestamp>,
    pub(super) commit: Commit,
}

impl Decision {
    /// The same, with these runs cancelled in the commit, because the run of `newest` takes their place.
    pub(super) fn cancelling(
        mut self,
        replaced: impl IntoIterator<Item = TaskId>,
        newest: Timestamp,
    ) -> Self {
        // Behind the creates, which the commit begins with, and before the cursor, which it ends with.
        let at = self.runs.len();
        let reason = format!("replaced by the run of {newest}");
        let cancels = replaced
            .into_iter()
            .map(|id| Op::Cancel(id, reason.clone()));
        self.commit.ops.splice(at..at, cancels);
        self
    }
}

/// A range of slots that the store refused to make.
#[derive(Serialize)]
struct Refused<'a> {
    from: Timestamp,
    to: Timestamp,
    why: &'a str,
}

/// The slots of a schedule that are due.
struct Due<'a> {
    entry: &'a Entry,
    index: usize,
    fire: Vec<Timestamp>,
    skipped: Vec<Skipped>,
    cursor: Cursor,
    following: Option<Timestamp>,
}

impl<'a> Due<'a> {
    fn new(entry: &'a Entry, index: usize, now: Timestamp) -> Self {
        let policy = &entry.def.policy;
        let (due, following) = missed_from(
            &entry.schedule,
            policy,
            entry.cursor.anchor,
            (entry.cursor.last, entry.slot_after_cursor()),
            now,
        );
        let CatchUp {
            mut fire,
            skipped,
            cursor,
            ..
        } = due;
        if let Some(max) = policy.max_runs {
            let left = max.saturating_sub(entry.cursor.runs);
            fire.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        let cursor = Cursor {
            last: cursor,
            ..entry.cursor.clone()
        };
        Self {
            entry,
            index,
            fire,
            skipped,
            cursor,
            following,
        }
    }

    /// Closes a commit: what is noted, and the cursor.
    fn decision(
        self,
        runs: Vec<Timestamp>,
        behind: Option<Overlapped>,
        mut commit: Commit,
        over: Option<Overlapped>,
    ) -> Result<Decision> {
        let name = &self.entry.def.name;
        let key = Arc::clone(&self.entry.key);
        commit
            .guards
            .push(Guard::Mark(key.clone(), self.entry.expected));
        for skipped in &self.skipped {
            commit = commit.then(note(name, "skipped", skipped)?);
        }
        if let Some(over) = over {
            commit = commit.then(note(name, "overlapped", &over)?);
        }
        if self.entry.noted > NOTES_KEPT {
            let before = self.entry.noted - NOTES_KEPT;
            commit = commit.then(Op::Trim(decisions(name)?, before));
        }
        let commit = commit.then(Op::PutMark {
            key,
            value: self.cursor.payload(),
            ttl: None,
        });
        Ok(Decision {
            index: self.index,
            runs,
            behind,
            skipped: self.skipped,
            cursor: self.cursor,
            following: self.following,
            commit,
        })
    }
}

/// The first thing to try: run the slots, or, while the last one was skipped behind an unfinished run, skip them too.
pub(super) fn first(entry: &Entry, index: usize, now: Timestamp) -> Result<Decision> {
    match entry.cursor.is_behind() {
        Some(behind) if entry.def.policy.overlap == Overlap::Skip => {
            let behind = TaskId::new(behind)?;
            pass(entry, index, now, &behind)
        }
        _ => run(entry, index, now),
    }
}

/// Runs the slots. With [`Overlap::Skip`] only the oldest: the others come while it is unfinished.
pub(super) fn run(entry: &Entry, index: usize, now: Timestamp) -> Result<Decision> {
    let mut due = Due::new(entry, index, now);
    let def = &entry.def;
    let mut runs = std::mem::take(&mut due.fire);
    let mut behind = None;
    let mut commit = Commit {
        guards: Vec::with_capacity(1),
        ops: Vec::with_capacity(runs.len() + 1),
    };
    // The range that ends here is entered with the slot that runs again.
    let over = due.cursor.overlapped.take().map(|over| *over);
    let only_one = def.policy.overlap == Overlap::Skip;
    if only_one && runs.len() > 1 {
        let rest = runs.split_off(1);
        behind = Overlapped::of(&rest, TaskId::occurrence(&def.name, runs[0])?.as_str());
        due.cursor.overlapped = behind.clone().map(Box::new);
    }
    for slot in &runs {
        let mut task = def.occurrence_of(&entry.pattern, *slot)?;
        if only_one {
            task.on_conflict = OnConflict::Fail;
        }
        commit = commit.then(Op::Create(Box::new(Create {
            task,
            lease_to: None,
        })));
    }
    let count = u64::try_from(runs.len()).unwrap_or(u64::MAX);
    due.cursor.runs = due.cursor.runs.saturating_add(count);
    due.decision(runs, behind, commit, over)
}

/// Skips the slots because this run is unfinished, which the commit makes sure of.
pub(super) fn pass(
    entry: &Entry,
    index: usize,
    now: Timestamp,
    unfinished: &TaskId,
) -> Result<Decision> {
    let mut due = Due::new(entry, index, now);
    let slots = std::mem::take(&mut due.fire);
    let behind = Overlapped::of(&slots, unfinished.as_str());
    let mut over = None;
    if let Some(new) = behind.clone() {
        match &mut due.cursor.overlapped {
            Some(range) if range.behind == new.behind => {
                range.to = new.to;
                range.count = range.count.saturating_add(new.count);
            }
            other => over = other.replace(Box::new(new)).map(|over| *over),
        }
    }
    let commit = Commit::default().when(Guard::Open(unfinished.clone()));
    due.decision(Vec::new(), behind, commit, over)
}

/// Moves past slots that exist already, or that the store refuses for good; the latter is noted.
pub(super) fn move_on(
    entry: &Entry,
    index: usize,
    now: Timestamp,
    refused: Option<&str>,
) -> Result<Decision> {
    let mut due = Due::new(entry, index, now);
    let slots = std::mem::take(&mut due.fire);
    let mut commit = Commit::default();
    if let (Some(why), [from, ..], Some(to)) = (refused, slots.as_slice(), slots.last()) {
        let (from, to) = (*from, *to);
        commit = commit.then(note(
            &entry.def.name,
            "refused",
            &Refused { from, to, why },
        )?);
    }
    due.decision(Vec::new(), None, commit, None)
}

fn decisions(schedule: &str) -> Result<StreamId> {
    StreamId::new(schedule, "decisions")
}

fn note<T: Serialize>(schedule: &str, kind: &str, data: &T) -> Result<Op> {
    Ok(Op::Append(
        decisions(schedule)?,
        vec![NewEvent {
            kind: kind.to_owned(),
            key: None,
            data: Payload::of(data)?,
        }],
    ))
}
