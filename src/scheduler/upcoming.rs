//! What schedules are about to do, read without touching them.

use std::sync::Arc;

use super::start::{cursors, read};
use crate::error::Result;
use crate::store::SharedStore;
use crate::task::{Cursor, Pause, TaskDef};
use crate::timestamp::Timestamp;

/// The next slot of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upcoming {
    /// The recurring task.
    pub schedule: Arc<str>,
    /// The next slot after now; `None` when the schedule has ended, or runs once per boot.
    pub next: Option<Timestamp>,
    /// The first slot that nobody was there to start, if there is one: the misfire policy decides about it.
    pub missed: Option<Timestamp>,
    /// Who paused it, when it is paused: then nothing fires, whatever `next` says.
    pub paused: Option<Pause>,
}

/// The next slot of each of these definitions that has a schedule, the soonest first. Writes nothing; a schedule that
/// no runner has taken up yet counts from `now`.
///
/// # Errors
/// Those of the store, and a schedule that cannot be seeded with its name.
pub async fn upcoming(
    store: &SharedStore,
    now: Timestamp,
    definitions: impl IntoIterator<Item = &TaskDef>,
) -> Result<Vec<Upcoming>> {
    let known = cursors(store).await?;
    let mut found = Vec::new();
    for def in definitions {
        let Some(schedule) = &def.schedule else {
            continue;
        };
        let schedule = schedule.clone().seeded(&def.name)?;
        let stored = known.get(&*def.name).and_then(read);
        let paused = stored.as_ref().and_then(|cursor| cursor.paused.clone());
        let cursor = stored
            .filter(|cursor| cursor.hash == schedule.spec_hash())
            .unwrap_or_else(|| Cursor::first(schedule.spec_hash(), now));
        let is_used_up = def.policy.max_runs.is_some_and(|max| cursor.runs >= max);
        let after = |last| {
            let next = schedule.next(cursor.anchor, last);
            next.filter(|_| !is_used_up && !schedule.is_reboot())
        };
        found.push(Upcoming {
            schedule: Arc::clone(&def.name),
            next: after(cursor.last.max(now)),
            missed: after(cursor.last).filter(|slot| *slot <= now && paused.is_none()),
            paused: paused.map(|paused| *paused),
        });
    }
    found.sort_by(|a, b| {
        (a.next.is_none(), a.next, &a.schedule).cmp(&(b.next.is_none(), b.next, &b.schedule))
    });
    Ok(found)
}
