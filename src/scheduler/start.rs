//! Taking up schedules: cursors, runs at start, runs at boot.

use std::collections::HashMap;
use std::sync::Arc;

use super::entry::Entry;
use super::fire::write_cursors;
use super::set_back::FAR_AHEAD;
use super::{BATCH, Scheduler};
use crate::error::{Error, Result};
use crate::id::TaskId;
use crate::observe::Lifecycle;
use crate::schedule::Schedule;
use crate::store::{Commit, Create, Guard, Mark, MarkExpect, Op, SharedStore};
use crate::task::{CURSOR_MARK, Cursor, Pattern, TaskDef};
use crate::timestamp::Timestamp;

/// Different patterns that are looked through for one to share; most schedules of a program are alike.
const PATTERNS: usize = 8;

/// Cursors read at a time.
const PAGE: usize = 1_000;

pub(super) async fn start(
    scheduler: &mut Scheduler,
    definitions: impl IntoIterator<Item = Arc<TaskDef>>,
) -> Result<()> {
    let mut known = cursors(&scheduler.store).await?;
    let now = scheduler.clock.now();
    let first = scheduler.entries.len();
    let mut opening = Vec::new();
    let mut at_boot = Vec::new();
    let mut patterns: Vec<Pattern> = Vec::new();
    let definitions = definitions.into_iter();
    scheduler.entries.reserve_exact(definitions.size_hint().0);
    for def in definitions {
        let names = std::iter::once(&def.name).chain(&def.aliases);
        for (name, version) in names.zip(def.version.iter().cycle()) {
            let known = (Arc::clone(name), Arc::clone(version));
            scheduler.versions.insert(known);
        }
        let Some(schedule) = &def.schedule else {
            continue;
        };
        let schedule = schedule.clone().seeded(&def.name)?;
        if schedule.is_reboot() {
            let cursor = known.get(&*def.name).and_then(read);
            if cursor.is_none_or(|cursor| cursor.paused.is_none()) {
                at_boot.push(def);
            }
            continue;
        }
        let mark = known.remove(&*def.name);
        let mut pattern = match def.pattern() {
            Ok(pattern) => pattern,
            Err(error) => {
                tell(scheduler, &def.name, error)?;
                continue;
            }
        };
        if !patterns.iter().any(|known| pattern.share_with(known)) && patterns.len() < PATTERNS {
            patterns.push(pattern.clone());
        }
        let (entry, is_stale) = take_up(def, schedule, pattern, mark.as_ref(), now);
        if is_stale {
            opening.push((scheduler.entries.len(), entry.cursor.clone()));
        }
        scheduler.entries.push(entry);
    }
    // Somebody wrote in between. A pause, say, is of the schedule as it was: this node writes it anew all the same. Whoever
    // wrote once more has the word.
    let mut again = Vec::new();
    for (index, mark) in write_cursors(scheduler, opening).await? {
        let entry = &mut scheduler.entries[index];
        let (def, schedule) = (Arc::clone(&entry.def), entry.schedule.clone());
        let (taken_up, is_stale) =
            take_up(def, schedule, entry.pattern.clone(), mark.as_ref(), now);
        *entry = taken_up;
        if is_stale {
            again.push((index, entry.cursor.clone()));
        }
    }
    for (index, mark) in write_cursors(scheduler, again).await? {
        scheduler.entries[index].adopt(mark.as_ref());
    }
    scheduler.find_leases();
    run_once(scheduler, first, &at_boot, now).await?;
    scheduler.arm_all();
    Ok(())
}

/// An entry with its stored cursor, or with one that is to be written.
fn take_up(
    def: Arc<TaskDef>,
    schedule: Schedule,
    pattern: Pattern,
    mark: Option<&Mark>,
    now: Timestamp,
) -> (Entry, bool) {
    let hash = schedule.spec_hash();
    let expected = mark.map_or(MarkExpect::Absent, |mark| MarkExpect::Version(mark.version));
    let stored = mark.and_then(read);
    let paused = stored.as_ref().and_then(|cursor| cursor.paused.clone());
    let (cursor, is_stale) = match stored.filter(|cursor| cursor.hash == hash) {
        Some(cursor) if cursor.last > now.saturating_add(FAR_AHEAD) => {
            tracing::warn!(schedule = &*def.name, ahead = %cursor.last, "a schedule was decided far into the future, by a clock that was wrong; it goes on from now");
            let anchor = cursor.anchor.min(now);
            let last = now;
            (
                Cursor {
                    anchor,
                    last,
                    ..cursor
                },
                true,
            )
        }
        Some(cursor) => (cursor, false),
        // A schedule that somebody paused stays so when it is written anew.
        None => {
            let first = Cursor::first(hash, now);
            (Cursor { paused, ..first }, true)
        }
    };
    let entry = Entry {
        key: Cursor::key(&def.name),
        noted: 0,
        def,
        schedule,
        pattern,
        lease: None,
        cursor,
        following: None,
        expected,
        looked: None,
        stood_down: false,
    };
    (entry, is_stale)
}

/// Creates what runs once: per boot of the machine, or per cluster and period. A period begins with the slot before now,
/// or with the cursor that all nodes share when that is later, so nodes that start together make one run.
async fn run_once(
    scheduler: &Scheduler,
    first: usize,
    at_boot: &[Arc<TaskDef>],
    now: Timestamp,
) -> Result<()> {
    let boot = scheduler.clock.steady().boot;
    let boots = at_boot
        .iter()
        .map(|def| (def, format!("{}@boot:{boot:016x}", def.name)));
    let starts = scheduler.entries[first..]
        .iter()
        .filter(|entry| entry.def.policy.run_at_start && !entry.stood_down && !entry.is_paused())
        .map(|entry| {
            let Cursor { anchor, last, .. } = entry.cursor;
            let slot = entry.schedule.previous(anchor, now);
            let period = slot.map_or(last, |slot| slot.max(last));
            (&entry.def, format!("{}@start:{period}", entry.def.name))
        });
    let mut names = Vec::new();
    let mut commits = Vec::new();
    for (def, id) in boots.chain(starts) {
        match create(def, id) {
            Ok(commit) => {
                names.push(&def.name);
                commits.push(commit);
            }
            Err(error) => tell(scheduler, &def.name, error)?,
        }
    }
    for (names, commits) in names.chunks(BATCH).zip(commits.chunks(BATCH)) {
        let answers = scheduler.store.commit(commits.to_vec()).await?;
        for (name, answer) in names.iter().zip(answers) {
            if let Err(refusal) = answer {
                tell(scheduler, name, refusal.into())?;
            }
        }
    }
    Ok(())
}

/// One schedule that cannot be taken up, or run at start, does not keep the others from running, unless the mode is
/// strict.
fn tell(scheduler: &Scheduler, name: &Arc<str>, error: Error) -> Result<()> {
    if scheduler.strict {
        return Err(error);
    }
    tracing::error!(schedule = &**name, %error, "a schedule could not be taken up, or its run at start was refused");
    scheduler.observers.notify(|| Lifecycle::ScheduleFailed {
        schedule: Arc::clone(name),
        error: error.to_string(),
    });
    Ok(())
}

/// The cursor of a mark, if it can be read.
pub(super) fn read(mark: &Mark) -> Option<Cursor> {
    Cursor::read(&mark.key, &mark.value)
}

/// All cursors of the store, by schedule.
pub(super) async fn cursors(store: &SharedStore) -> Result<HashMap<String, Mark>> {
    let mut found = HashMap::new();
    let mut after: Option<Arc<str>> = None;
    loop {
        let page = store.marks(CURSOR_MARK, after.as_deref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|mark| mark.key.clone());
        found.extend(
            page.into_iter()
                .map(|mark| (mark.key[CURSOR_MARK.len()..].to_owned(), mark)),
        );
        if is_last {
            return Ok(found);
        }
    }
}

pub(super) fn put(key: &Arc<str>, cursor: &Cursor, expected: MarkExpect) -> Commit {
    let key = Arc::clone(key);
    Commit::of([Op::PutMark {
        key: key.clone(),
        value: cursor.payload(),
        ttl: None,
    }])
    .when(Guard::Mark(key, expected))
}

fn create(def: &TaskDef, id: String) -> Result<Commit> {
    let task = def.scheduled(TaskId::new(id)?)?;
    Ok(Commit::of([Op::Create(Box::new(Create {
        task,
        lease_to: None,
    }))]))
}
