//! Writing the log anew, with the rows that count only, while others go on reading and writing.
//!
//! The rows are copied a piece at a time, so some are copied as they were and some as they are a moment later; all groups that
//! were committed since the beginning follow them. Groups say what a row is, not how it changes, so reading both in turn
//! gives the rows of the end. The new log takes the place of the old one in one step, when it is on the disk: whenever the
//! process dies, one of them is there and whole.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Bound;
use std::sync::atomic::Ordering;

use super::journal::Core;
use super::lines::{self, Group, Kind};
use super::log::copy;

/// A part of a snapshot, in bytes.
const PART: usize = 64 << 10;

/// What is left for the moment in which nobody writes, in bytes.
const LITTLE: u64 = 256 << 10;

/// Times that what was written meanwhile is copied before writers wait.
const ROUNDS: usize = 16;

/// Compacts the log. A failure is logged, and nothing is lost by it.
pub(super) fn run(core: &Core) {
    let before = core.log.lock().end;
    match compact(core) {
        Ok(Some(after)) => {
            core.not_before.store(0, Ordering::Relaxed);
            core.compactions.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(before, after, path = %core.place.log.display(), "the log was compacted");
        }
        Ok(None) => {}
        Err(error) => {
            core.not_before
                .store(before + before / 2, Ordering::Relaxed);
            let _ = std::fs::remove_file(core.place.next());
            tracing::warn!(%error, path = %core.place.log.display(), "the log could not be compacted; it is tried again when it has grown");
        }
    }
}

/// The size of the new log, or `None` when the store closes before it is done.
fn compact(core: &Core) -> io::Result<Option<u64>> {
    let (mut from, number, mut old) = {
        let log = core.log.lock();
        (log.end, log.number, log.reader(&core.place.log)?)
    };
    let mut next = core.place.begin_next()?;
    next.write_all(&lines::head(number))?;
    if !snapshot(core, &mut next)? {
        drop(next);
        std::fs::remove_file(core.place.next())?;
        return Ok(None);
    }
    for _ in 0..ROUNDS {
        let end = core.log.lock().end;
        copy(&mut old, &mut next, from, end)?;
        next.sync_data()?;
        let left = end - from;
        from = end;
        if left <= LITTLE {
            break;
        }
    }
    let mut log = core.log.lock();
    log.move_to(&core.place, next, from)?;
    Ok(Some(log.end))
}

/// Writes all rows, piece by piece; false when the store closes.
fn snapshot(core: &Core, next: &mut File) -> io::Result<bool> {
    let mut last: Option<Box<[u8]>> = None;
    for part in 1.. {
        if core.stopping.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let mut group = Group::default();
        let tree = core.tree.read();
        let begin = match &last {
            Some(last) => Bound::Excluded(&**last),
            None => Bound::Unbounded,
        };
        let mut until = None;
        for (key, value) in tree.range::<[u8], _>((begin, Bound::Unbounded)) {
            group.add(key, Some(value));
            if group.len() >= PART {
                until = Some(key.clone());
                break;
            }
        }
        drop(tree);
        if !group.is_empty() {
            next.write_all(&group.close(Kind::Snapshot, part))?;
        }
        if until.is_none() {
            break;
        }
        last = until;
    }
    next.sync_data()?;
    Ok(true)
}
