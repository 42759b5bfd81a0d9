//! Deciding the slots that are due.

use std::cmp::Reverse;
use std::sync::Arc;

use super::cursor::{Cursor, Overlapped};
use super::entry::Entry;
use super::{BATCH, Scheduler};
use crate::error::{Error, Result};
use crate::id::TaskId;
use crate::observe::{Lifecycle, Observers};
use crate::page::PageRequest;
use crate::payload::Payload;
use crate::schedule::{Overlap, Skipped, missed};
use crate::store::{
    Commit, Committed, Create, Effect, Guard, MarkExpect, NewEvent, Op, Refusal, StreamId,
    TaskFilter, TaskStateStoreExt,
};
use crate::task::TaskStatus;
use crate::timestamp::Timestamp;

/// What was decided about one schedule, and the commit that makes it so.
struct Decision {
    index: usize,
    fired: Vec<Timestamp>,
    skipped: Vec<Skipped>,
    cursor: Cursor,
    commit: Commit,
}

/// Decides one batch of the schedules that are due.
pub(super) async fn fire_due(scheduler: &mut Scheduler, now: Timestamp) -> Result<()> {
    let mut indexes = Vec::new();
    while indexes.len() < BATCH {
        match scheduler.due.peek() {
            Some(Reverse((at, index))) if *at <= now => indexes.push(*index),
            _ => break,
        }
        scheduler.due.pop();
    }
    let mut decisions = Vec::with_capacity(indexes.len());
    for (place, index) in indexes.iter().enumerate() {
        match decide(&scheduler.entries[*index], *index, now) {
            Ok(decision) => decisions.push(decision),
            Err(error) if scheduler.strict => {
                indexes[place..]
                    .iter()
                    .for_each(|index| scheduler.arm(*index));
                return Err(error);
            }
            Err(error) => {
                let name = &scheduler.entries[*index].def.name;
                tracing::error!(schedule = &**name, %error, "a schedule cannot fire; it stands down");
                scheduler.entries[*index].stood_down = true;
            }
        }
    }
    let commits = decisions
        .iter()
        .map(|decision| decision.commit.clone())
        .collect();
    let answers = match scheduler.store.commit(commits).await {
        Ok(answers) => answers,
        Err(error) => {
            // Nothing is lost: the cursors stand where they stood, or the compare-and-set finds out.
            decisions
                .iter()
                .for_each(|decision| scheduler.arm(decision.index));
            return Err(error);
        }
    };
    for (decision, committed) in decisions.into_iter().zip(answers) {
        let index = decision.index;
        let settled = settle(scheduler, decision, committed).await;
        scheduler.arm(index);
        settled?;
    }
    Ok(())
}

fn decide(entry: &Entry, index: usize, now: Timestamp) -> Result<Decision> {
    let def = &entry.def;
    let catch_up = missed(
        &entry.schedule,
        &def.policy,
        entry.cursor.anchor,
        entry.cursor.last,
        now,
    );
    let mut fired = catch_up.fire;
    let mut cursor = Cursor {
        last: catch_up.cursor,
        ..entry.cursor.clone()
    };
    if let Some(max) = def.policy.max_runs {
        fired.truncate(usize::try_from(max.saturating_sub(cursor.runs)).unwrap_or(usize::MAX));
    }
    let key = Cursor::key(&def.name);
    let mut commit =
        Commit::default().when(Guard::Mark(key.clone(), MarkExpect::Version(entry.version)));
    for slot in &fired {
        commit = commit.then(Op::Create(Box::new(Create {
            task: def.occurrence(*slot)?,
            lease_to: None,
        })));
    }
    cursor.runs = cursor.runs.saturating_add(fired.len() as u64);
    for skipped in &catch_up.skipped {
        commit = commit.then(note(&def.name, "skipped", skipped)?);
    }
    if let Some(overlapped) = cursor
        .overlapped
        .take_if(|overlapped| overlapped.to < entry.cursor.last)
    {
        commit = commit.then(note(&def.name, "overlapped", &overlapped)?);
    }
    commit = commit.then(Op::PutMark {
        key,
        value: cursor.payload(),
        ttl: None,
    });
    Ok(Decision {
        index,
        fired,
        skipped: catch_up.skipped,
        cursor,
        commit,
    })
}

fn note<T: serde::Serialize>(schedule: &str, kind: &str, data: &T) -> Result<Op> {
    let stream = StreamId::new(schedule, "decisions")?;
    Ok(Op::Append(
        stream,
        vec![NewEvent {
            kind: kind.to_owned(),
            key: None,
            data: Payload::of(data)?,
        }],
    ))
}

async fn settle(scheduler: &mut Scheduler, decision: Decision, committed: Committed) -> Result<()> {
    let entry = &mut scheduler.entries[decision.index];
    let effects = match committed {
        Ok(effects) => effects,
        Err(Refusal::Mark(key, _)) => {
            // Another node decided these slots.
            match scheduler.store.mark(&key).await? {
                Some(mark) => {
                    if let Some(cursor) = Cursor::read(&mark) {
                        entry.adopt(cursor, mark.version);
                    }
                }
                None => entry.stood_down = true,
            }
            return Ok(());
        }
        Err(refusal) => {
            let error = Error::from(refusal);
            tracing::error!(schedule = &*entry.def.name, %error, "a slot was refused by the store");
            return if scheduler.strict {
                Err(error)
            } else {
                skip_refused(scheduler, decision.index).await
            };
        }
    };
    entry.cursor = decision.cursor;
    if let Some(Effect::Marked(version)) = effects.last() {
        entry.version = *version;
    }
    let name = Arc::clone(&entry.def.name);
    let overlap = entry.def.policy.overlap;
    let observers = scheduler.observers.clone();
    for (slot, effect) in decision.fired.iter().zip(&effects) {
        match effect {
            Effect::Existing { id, .. } if *id != TaskId::occurrence(&name, *slot)? => {
                remember_overlap(entry, *slot, id);
                observers.notify(|| Lifecycle::SlotOverlapped {
                    schedule: Arc::clone(&name),
                    slot: *slot,
                    unfinished: id.clone(),
                });
            }
            Effect::Existing { id, .. } => fired(&observers, &name, *slot, id.clone()),
            _ => fired(&observers, &name, *slot, TaskId::occurrence(&name, *slot)?),
        }
    }
    for skipped in decision.skipped {
        observers.notify(|| Lifecycle::SlotsSkipped {
            schedule: Arc::clone(&name),
            skipped,
        });
    }
    match decision.fired.last() {
        Some(newest) if overlap == Overlap::Replace => {
            cancel_before(scheduler, &name, *newest).await
        }
        _ => Ok(()),
    }
}

fn fired(observers: &Observers, schedule: &Arc<str>, slot: Timestamp, id: TaskId) {
    observers.notify(|| Lifecycle::ScheduleFired {
        schedule: Arc::clone(schedule),
        slot,
        id,
    });
}

/// Remembers a slot that was skipped because the run before it is unfinished: one range for one such run.
fn remember_overlap(entry: &mut Entry, slot: Timestamp, behind: &TaskId) {
    entry.cursor.runs = entry.cursor.runs.saturating_sub(1);
    match &mut entry.cursor.overlapped {
        Some(range) if range.behind == behind.as_str() => {
            range.to = slot;
            range.count += 1;
        }
        range => {
            *range = Some(Overlapped {
                from: slot,
                to: slot,
                count: 1,
                behind: behind.to_string(),
            });
        }
    }
}

/// Moves past slots that the store will never accept, so that one bad slot does not stop the schedule.
async fn skip_refused(scheduler: &mut Scheduler, index: usize) -> Result<()> {
    let now = scheduler.clock.now();
    let entry = &mut scheduler.entries[index];
    let cursor = Cursor {
        last: now.max(entry.cursor.last),
        ..entry.cursor.clone()
    };
    let commit = super::start::put(&entry.def.name, &cursor, MarkExpect::Version(entry.version));
    if let Some(Effect::Marked(version)) = scheduler.store.apply(commit).await?.last() {
        entry.version = *version;
        entry.cursor = cursor;
    }
    Ok(())
}

/// Cancels the unfinished runs of a schedule that belong to slots before this one.
async fn cancel_before(scheduler: &Scheduler, name: &str, newest: Timestamp) -> Result<()> {
    let filter = TaskFilter {
        schedule: Some(name.to_owned()),
        ..TaskFilter::status([TaskStatus::Pending, TaskStatus::Running])
    };
    let open = scheduler
        .store
        .list(&filter, PageRequest::first(100))
        .await?;
    let cancels = open
        .items
        .into_iter()
        .filter(|item| item.record.slot.is_none_or(|slot| slot < newest))
        .map(|item| {
            Commit::of([Op::Cancel(
                item.record.id,
                format!("replaced by the run of {newest}"),
            )])
        })
        .collect();
    // A run that ended in the meantime refuses its cancel, which is as good.
    scheduler.store.commit(cancels).await.map(drop)
}
