//! Firing the slots that are due.

use std::cmp::Reverse;
use std::sync::Arc;

use super::decide::{self, Decision};
use super::starts::Reserved;
use super::unblock::unblock;
use super::{BATCH, Scheduler};
use crate::client::unfinished_runs;
use crate::error::{Error, ErrorKind, Result};
use crate::id::TaskId;
use crate::observe::Lifecycle;
use crate::schedule::Overlap;
use crate::store::{Effect, Mark, MarkExpect, Op, Refusal, TaskStateStoreExt};
use crate::task::{Cursor, TaskStateRecord};
use crate::timestamp::Timestamp;

/// Commits that one slot takes, at most, before it is given up.
const ROUNDS: usize = 5;

/// Decides one batch of the schedules that are due; answers whether all their runs begin already.
pub(super) async fn fire_due(scheduler: &mut Scheduler, now: Timestamp) -> Result<bool> {
    let indexes = scheduler.due.take(now, scheduler.batch);
    let fired = decide_all(scheduler, &indexes, now).await;
    for index in indexes {
        scheduler.arm_again(index);
    }
    fired
}

async fn decide_all(scheduler: &mut Scheduler, indexes: &[usize], now: Timestamp) -> Result<bool> {
    let mut all_begin = true;
    let mut failed = None;
    let mut round = Vec::with_capacity(indexes.len());
    for index in indexes {
        if scheduler.entries[*index].is_paused() {
            if let Err(error) = look_whether_paused(scheduler, *index, now).await {
                failed = failed.or(Some(error));
            }
            continue;
        }
        let entry = &scheduler.entries[*index];
        if let Some(decision) = scheduler.ahead.take(entry, *index, now) {
            round.push(decision);
            continue;
        }
        match decide::first(entry, *index, now) {
            Ok(decision) if is_ready(scheduler, &decision) => round.push(decision),
            Ok(decision) => match prepared(scheduler, decision, now).await {
                Ok(decision) => round.push(decision),
                Err(error) if error.is_retryable() => failed = failed.or(Some(error)),
                Err(error) => stand_down(scheduler, *index, error)?,
            },
            Err(error) => stand_down(scheduler, *index, error)?,
        }
    }
    // Most are done with the first commit. One that finds an unfinished run takes a second, and a third when that run
    // ends in between.
    for _ in 0..ROUNDS {
        if round.is_empty() {
            break;
        }
        let mut reserved = reserve(scheduler, &mut round);
        let commits = round
            .iter_mut()
            .map(|decision| std::mem::take(&mut decision.commit));
        // When this fails nothing is lost: the cursors stand where they stood, or the compare-and-set finds out.
        let answers = scheduler.store.commit(commits.collect()).await?;
        // Whatever becomes of the other decisions, and before anybody asks the store about them: what is leased begins.
        for effects in answers.iter().flatten() {
            all_begin &= begin(&mut reserved, effects);
        }
        let mut refused = Vec::new();
        for (decision, answer) in round.into_iter().zip(answers) {
            let index = decision.index;
            match answer {
                Ok(effects) => {
                    if let Err(error) = apply(scheduler, decision, &effects) {
                        stand_down(scheduler, index, error)?;
                    }
                }
                Err(refusal) => refused.push((index, refusal)),
            }
        }
        drop(reserved);
        let mut next = Vec::new();
        for (index, refusal) in refused {
            match another_way(scheduler, index, now, refusal).await {
                Ok(again) => next.extend(again),
                Err(error) if error.is_retryable() => failed = failed.or(Some(error)),
                Err(error) => stand_down(scheduler, index, error)?,
            }
        }
        round = next;
    }
    for decision in round {
        give_up(scheduler, decision.index, now).await?;
    }
    failed.map_or(Ok(all_begin), Err)
}

/// Asks for the lease of each run that there is a place for, in the order of their queues and priorities. When queues take
/// turns and not all runs have a place, none is asked for: a claim knows whose turn it is.
fn reserve(scheduler: &Scheduler, round: &mut [Decision]) -> Option<Reserved> {
    let starts = scheduler.starts.as_ref()?;
    let runs = round.iter().map(|decision| decision.runs.len()).sum();
    let reserved = Reserved::take(starts, runs)?;
    let mut left = reserved.places();
    let mut order: Vec<_> = (0..round.len()).collect();
    if left < runs {
        let mut places = Vec::with_capacity(round.len());
        for decision in &*round {
            let def = &scheduler.entries[decision.index].def;
            // What was set aside goes back.
            places.push((starts.place_of(&def.queue)?, Reverse(def.priority)));
        }
        order.sort_by_key(|index| places[*index]);
    }
    for decision in order {
        let decision = &mut round[decision];
        let entry = &scheduler.entries[decision.index];
        let Some(lease) = &entry.lease else {
            continue;
        };
        let creates = decision.commit.ops.iter_mut().filter_map(|op| match op {
            Op::Create(create) => Some(create),
            _ => None,
        });
        let mut creates: Vec<_> = creates.collect();
        if entry.def.policy.overlap == Overlap::Replace {
            // The others end in the commit that makes them.
            creates.drain(..creates.len().saturating_sub(1));
        }
        for create in creates.into_iter().take(left) {
            create.lease_to = Some(lease.clone());
            left -= 1;
        }
    }
    Some(reserved)
}

/// Begins the runs that were leased; answers whether all that were made are.
fn begin(reserved: &mut Option<Reserved>, effects: &[Effect]) -> bool {
    let mut all_begin = true;
    for effect in effects {
        match (effect, &mut *reserved) {
            (
                Effect::Created {
                    leased: Some(run), ..
                },
                Some(reserved),
            ) => {
                reserved.leased(Arc::clone(run));
            }
            (Effect::Created { .. }, _) => all_begin = false,
            _ => {}
        }
    }
    all_begin
}

/// A paused schedule writes nothing at its slots: it looks whether it goes on. Who resumes it moves its cursor past the
/// slots of the pause.
async fn look_whether_paused(
    scheduler: &mut Scheduler,
    index: usize,
    now: Timestamp,
) -> Result<()> {
    let mark = scheduler.store.mark(&scheduler.entries[index].key).await;
    let entry = &mut scheduler.entries[index];
    entry.looked = Some(now);
    entry.adopt(mark?.as_ref());
    Ok(())
}

/// Something else owns the key of the schedule and is no unfinished run, or each run that was to be replaced ended just
/// then: these slots are passed over, and it is noted.
async fn give_up(scheduler: &mut Scheduler, index: usize, now: Timestamp) -> Result<()> {
    let entry = &scheduler.entries[index];
    let why = match entry.def.policy.overlap {
        Overlap::Replace => "the runs to replace changed with every try".to_owned(),
        _ => format!(
            "the unique key \"schedule/{}\" is owned by a task that has ended",
            entry.def.name
        ),
    };
    let name = Arc::clone(&entry.def.name);
    let mut passed = decide::move_on(entry, index, now, Some(&why))?;
    let error = Error::new(ErrorKind::Conflict, "fire schedule", why);
    if scheduler.strict {
        return Err(error);
    }
    failed(scheduler, name, &error);
    let effects = scheduler
        .store
        .apply(std::mem::take(&mut passed.commit))
        .await?;
    apply(scheduler, passed, &effects)
}

/// A schedule that cannot fire. Others go on, unless the mode is strict.
fn stand_down(scheduler: &mut Scheduler, index: usize, error: Error) -> Result<()> {
    if scheduler.strict {
        return Err(error);
    }
    let entry = &mut scheduler.entries[index];
    entry.stood_down = true;
    let name = Arc::clone(&entry.def.name);
    tracing::error!(schedule = &*name, %error, "a schedule cannot fire; it stands down");
    failed(scheduler, name, &error);
    Ok(())
}

fn failed(scheduler: &Scheduler, schedule: Arc<str>, error: &Error) {
    scheduler.observers.notify(|| Lifecycle::ScheduleFailed {
        schedule,
        error: error.to_string(),
    });
}

/// What to try after a refusal; `None` when the slots are no longer this node's to decide, or wait for the next round.
async fn another_way(
    scheduler: &mut Scheduler,
    index: usize,
    now: Timestamp,
    refusal: Refusal,
) -> Result<Option<Decision>> {
    let entry = &scheduler.entries[index];
    let again = match refusal {
        Refusal::Mark(key, _) => {
            // Another node decided these slots.
            let mark = scheduler.store.mark(&key).await?;
            scheduler.entries[index].adopt(mark.as_ref());
            return Ok(None);
        }
        Refusal::KeyTaken { owner, .. } => decide::pass(entry, index, now, &owner),
        // The run that was unfinished has ended.
        Refusal::Status { .. } | Refusal::NotFound(_) => decide::run(entry, index, now),
        // The clock was set back: this slot had its run before.
        Refusal::Exists(_) => decide::move_on(entry, index, now, None),
        refusal => {
            let error = Error::from(refusal);
            if scheduler.strict {
                return Err(error);
            }
            let name = Arc::clone(&entry.def.name);
            tracing::error!(schedule = &*name, %error, "a slot was refused by the store; the schedule goes on with the next");
            failed(scheduler, name, &error);
            decide::move_on(entry, index, now, Some(&error.to_string()))
        }
    };
    match again {
        Ok(decision) => prepared(scheduler, decision, now).await.map(Some),
        Err(error) => Err(error),
    }
}

/// Takes over what the store accepted, and tells of it.
fn apply(scheduler: &mut Scheduler, decision: Decision, effects: &[Effect]) -> Result<()> {
    let entry = &mut scheduler.entries[decision.index];
    entry.move_to(decision.cursor, decision.following);
    if let Some(Effect::Marked(version)) = effects.last() {
        entry.expected = MarkExpect::Version(*version);
    }
    for effect in effects {
        if let Effect::Appended(numbers) = effect {
            entry.noted = numbers.last().copied().unwrap_or(entry.noted);
        }
    }
    let name = Arc::clone(&entry.def.name);
    let observers = &scheduler.observers;
    for (slot, effect) in decision.runs.iter().zip(effects) {
        if matches!(effect, Effect::Created { .. }) && !observers.is_empty() {
            let id = TaskId::occurrence(&name, *slot)?;
            observers.notify(|| Lifecycle::ScheduleFired {
                schedule: Arc::clone(&name),
                slot: *slot,
                id,
            });
        }
    }
    if let Some(range) = decision.behind {
        let unfinished = TaskId::new(&range.behind)?;
        observers.notify(|| Lifecycle::SlotOverlapped {
            schedule: Arc::clone(&name),
            slot: range.to,
            unfinished,
        });
    }
    for skipped in decision.skipped {
        observers.notify(|| Lifecycle::SlotsSkipped {
            schedule: Arc::clone(&name),
            skipped,
        });
    }
    Ok(())
}

/// Whether a decision needs to know nothing more of the store: it is not about unfinished runs.
pub(super) fn is_ready(scheduler: &Scheduler, decision: &Decision) -> bool {
    let overlap = scheduler.entries[decision.index].def.policy.overlap;
    decision.behind.is_none() && overlap != Overlap::Replace
}

/// What a decision about unfinished runs needs to know of the store.
async fn prepared(scheduler: &Scheduler, decision: Decision, now: Timestamp) -> Result<Decision> {
    let decision = unblock(scheduler, decision, now).await?;
    replacing(scheduler, decision).await
}

/// With [`Overlap::Replace`] the runs that the newest one replaces are cancelled in the commit that makes it: a process that
/// dies in between leaves neither without the other. When one of them ends first, the commit is refused and made anew.
async fn replacing(scheduler: &Scheduler, decision: Decision) -> Result<Decision> {
    let def = &scheduler.entries[decision.index].def;
    let Some(newest) = decision.runs.last().copied() else {
        return Ok(decision);
    };
    if def.policy.overlap != Overlap::Replace {
        return Ok(decision);
    }
    let is_before = |record: &TaskStateRecord| record.slot.is_none_or(|slot| slot < newest);
    let mut replaced = unfinished_runs(&scheduler.store, &def.name, is_before).await?;
    // Of several slots at once only the newest is to run; the others are made, so that they are seen, and end at once.
    for slot in &decision.runs[..decision.runs.len() - 1] {
        let id = TaskId::occurrence(&def.name, *slot)?;
        let is_known = match scheduler.store.get(std::slice::from_ref(&id)).await {
            Err(error) if error.kind() == ErrorKind::Corrupt => true,
            known => known?.iter().any(Option::is_some),
        };
        if !is_known {
            replaced.insert(id);
        }
    }
    Ok(decision.cancelling(replaced, newest))
}

/// Writes cursors; answers with the marks of those that changed since they were read.
pub(super) async fn write_cursors(
    scheduler: &mut Scheduler,
    cursors: Vec<(usize, Cursor)>,
) -> Result<Vec<(usize, Option<Mark>)>> {
    let mut changed = Vec::new();
    for batch in cursors.chunks(BATCH) {
        let commits = batch.iter().map(|(index, cursor)| {
            let entry = &scheduler.entries[*index];
            super::start::put(&entry.key, cursor, entry.expected)
        });
        let answers = scheduler.store.commit(commits.collect()).await?;
        for ((index, cursor), answer) in batch.iter().zip(answers) {
            match answer {
                Ok(effects) => {
                    let entry = &mut scheduler.entries[*index];
                    entry.move_to(cursor.clone(), None);
                    if let Some(Effect::Marked(version)) = effects.last() {
                        entry.expected = MarkExpect::Version(*version);
                    }
                }
                Err(Refusal::Mark(key, _)) => {
                    changed.push((*index, scheduler.store.mark(&key).await?));
                }
                Err(refusal) => stand_down(scheduler, *index, refusal.into())?,
            }
        }
    }
    Ok(changed)
}
