//! Taking up schedules: cursors, runs at start, runs at boot.

use std::collections::HashMap;
use std::sync::Arc;

use super::cursor::{Cursor, PREFIX};
use super::entry::Entry;
use super::{BATCH, Scheduler};
use crate::error::{Error, Result};
use crate::id::TaskId;
use crate::store::{
    Commit, Create, Effect, Guard, Mark, MarkExpect, Op, Refusal, SharedStore, TaskStateStoreExt,
};
use crate::task::TaskDef;

/// Cursors read at a time.
const PAGE: usize = 1_000;

pub(super) async fn start(
    scheduler: &mut Scheduler,
    definitions: impl IntoIterator<Item = Arc<TaskDef>>,
) -> Result<()> {
    let mut known = cursors(&scheduler.store).await?;
    let now = scheduler.clock.now();
    let boot = scheduler.clock.steady().boot;
    let mut entries = Vec::new();
    let mut opening = Vec::new();
    let mut at_start = Vec::new();
    for def in definitions {
        let Some(schedule) = &def.schedule else {
            continue;
        };
        let schedule = schedule.clone().seeded(&def.name)?;
        if schedule.is_reboot() {
            at_start.push(create(&def, format!("{}@boot:{boot:016x}", def.name))?);
            continue;
        }
        let hash = schedule.spec_hash();
        let mark = known.remove(&*def.name);
        let stored = mark.as_ref().and_then(Cursor::read);
        let (cursor, version) = match (stored, &mark) {
            (Some(cursor), Some(mark)) if cursor.hash == hash => (cursor, mark.version),
            (_, mark) => {
                let cursor = Cursor::first(hash, now);
                let expected = mark
                    .as_ref()
                    .map_or(MarkExpect::Absent, |mark| MarkExpect::Version(mark.version));
                opening.push((entries.len(), put(&def.name, &cursor, expected)));
                (cursor, 0)
            }
        };
        if def.policy.run_at_start {
            at_start.push(create(&def, format!("{}@start:{}", def.name, cursor.last))?);
        }
        entries.push(Entry {
            def,
            schedule,
            cursor,
            version,
            stood_down: false,
        });
    }
    open(scheduler, &mut entries, opening).await?;
    for batch in at_start.chunks(BATCH) {
        for committed in scheduler.store.commit(batch.to_vec()).await? {
            committed.map_err(Error::from)?;
        }
    }
    let first = scheduler.entries.len();
    scheduler.entries.extend(entries);
    for index in first..scheduler.entries.len() {
        scheduler.arm(index);
    }
    Ok(())
}

/// All cursors of the store, by schedule.
pub(super) async fn cursors(store: &SharedStore) -> Result<HashMap<String, Mark>> {
    let mut found = HashMap::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.marks(PREFIX, after.as_deref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        after = page.last().map(|mark| mark.key.clone());
        found.extend(
            page.into_iter()
                .map(|mark| (mark.key[PREFIX.len()..].to_owned(), mark)),
        );
        if is_last {
            return Ok(found);
        }
    }
}

/// Writes the cursors of schedules that are new or changed. Who comes second takes over what the first wrote.
async fn open(
    scheduler: &Scheduler,
    entries: &mut [Entry],
    opening: Vec<(usize, Commit)>,
) -> Result<()> {
    for batch in opening.chunks(BATCH) {
        let commits = batch.iter().map(|(_, commit)| commit.clone()).collect();
        let answers = scheduler.store.commit(commits).await?;
        for ((index, _), committed) in batch.iter().zip(answers) {
            let entry = &mut entries[*index];
            match committed {
                Ok(effects) => {
                    if let Some(Effect::Marked(version)) = effects.first() {
                        entry.version = *version;
                    }
                }
                Err(Refusal::Mark(key, _)) => {
                    let mark = scheduler.store.mark(&key).await?;
                    if let Some((cursor, version)) =
                        mark.and_then(|mark| Some((Cursor::read(&mark)?, mark.version)))
                    {
                        entry.adopt(cursor, version);
                    }
                }
                Err(refusal) => return Err(refusal.into()),
            }
        }
    }
    Ok(())
}

pub(super) fn put(name: &str, cursor: &Cursor, expected: MarkExpect) -> Commit {
    let key = Cursor::key(name);
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
