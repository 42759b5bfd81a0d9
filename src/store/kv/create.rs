//! Making records.

use std::sync::Arc;
use std::time::Duration;

use super::commit::Stop;
use super::gates::{self, Known, Verdict};
use super::table::Table;
use super::{claim, index, reopen, unique};
use crate::id::TaskId;
use crate::payload::PAYLOAD_LIMIT;
use crate::store::{Create, Effect, LeaseTo, Refusal};
use crate::task::{Due, NewTask, OnConflict, TaskStateRecord, TaskStatus};

/// Makes a record, or answers with the one that is there.
pub(super) fn create(table: &mut dyn Table, create: Create) -> Result<Effect, Stop> {
    let Create {
        task: new,
        lease_to,
    } = create;
    new.check()?;
    new.args.check_size("args", PAYLOAD_LIMIT)?;
    if let Some(state) = &new.state {
        state.check_size("state", PAYLOAD_LIMIT)?;
    }
    if let Some(existing) = table.record(&new.id)? {
        return if new.on_conflict == OnConflict::Fail {
            Err(Refusal::Exists(new.id).into())
        } else {
            Ok(Effect::Existing {
                id: existing.id.clone(),
                status: existing.status,
            })
        };
    }
    if let Some(wanted) = &new.unique
        && let Some(owner) = unique::owner(table, &wanted.key)?
    {
        return conflict(table, &new, &wanted.key, owner);
    }
    check_depth(table, &new.queue)?;
    let now = table.moment().now;
    let seq = table.next_number()?;
    let mut record = TaskStateRecord::create(new, now, seq);
    let is_due = record.run_at <= now && record.expires_at.is_none_or(|at| at > now);
    if let Some(to) = lease_to.as_ref().filter(|_| is_due)
        && record.gates.is_empty()
        && !table.has_rules()?
    {
        return begun(table, record, to);
    }
    unique::take(table, &mut record)?;
    let record = index::insert(table, record)?;
    let leased = match &lease_to {
        Some(to) if is_due => lease_at_once(table, &record, to)?,
        _ => None,
    };
    Ok(Effect::Created { seq, leased })
}

/// Makes a record that no gate can hold up as one that runs: it never waits, so nobody needs to find it waiting.
fn begun(table: &mut dyn Table, mut record: TaskStateRecord, to: &LeaseTo) -> Result<Effect, Stop> {
    unique::take(table, &mut record)?;
    unique::release_at_claim(table, &record)?;
    claim::give_lease(table, &mut record, to.worker.clone(), to.ttl);
    // Two writes in one: its revision is the same on every store.
    record.revision += 1;
    let record = index::insert(table, record)?;
    Ok(Effect::Created {
        seq: record.seq,
        leased: Some(record),
    })
}

/// What to do when another task owns the key.
fn conflict(
    table: &mut dyn Table,
    new: &NewTask,
    key: &str,
    owner: TaskId,
) -> Result<Effect, Stop> {
    if new.on_conflict == OnConflict::Fail {
        // Whether the owner can be read does not matter.
        let key = key.into();
        return Err(Refusal::KeyTaken { key, owner }.into());
    }
    let existing = table.record(&owner)?;
    let status = existing
        .as_ref()
        .map_or(TaskStatus::Succeeded, |record| record.status);
    let due = match new.on_conflict {
        OnConflict::Fail | OnConflict::Existing => {
            return Ok(Effect::Existing { id: owner, status });
        }
        OnConflict::Replace => new.due,
        OnConflict::Debounce(wait) => Due::In(wait.max(Duration::ZERO)),
    };
    if let Some(waiting) = existing.filter(|record| record.status == TaskStatus::Pending) {
        let mut changed = TaskStateRecord::clone(&waiting);
        changed.args = new.args.clone();
        changed.priority = new.priority;
        let now = table.moment().now;
        changed.run_at = due.resolve(now);
        changed.expires_at = new.expires.map(|due| due.resolve(now));
        // The gates were rendered from the args: they go with them, and whoever waited behind an old one looks anew.
        changed.gates.clone_from(&new.gates);
        changed.parked = None;
        index::replace(table, &waiting, changed, false)?;
        // Whoever waits behind this one at a gate that it leaves.
        for gate in waiting
            .gates
            .iter()
            .filter(|gate| !new.gates.contains(gate))
        {
            reopen::reopen(table, &gate.key)?;
        }
    }
    Ok(Effect::Existing { id: owner, status })
}

/// Refuses one more task in a full queue: one that is made, moved there or revived. What a queue took once always
/// comes back to it: a retry, a snooze or a lost lease is never refused.
pub(super) fn check_depth(table: &dyn Table, queue: &str) -> Result<(), Stop> {
    if !table.has_rules()? {
        return Ok(());
    }
    let Some(max_depth) =
        gates::rule(table, &format!("queue/{queue}"))?.and_then(|rule| rule.max_depth)
    else {
        return Ok(());
    };
    if index::waiting_in(table, queue)? >= max_depth {
        return Err(Refusal::QueueFull {
            queue: queue.to_owned(),
            max_depth,
        }
        .into());
    }
    Ok(())
}

/// Leases a record that was just made, when all its gates are open.
fn lease_at_once(
    table: &mut dyn Table,
    record: &Arc<TaskStateRecord>,
    to: &LeaseTo,
) -> Result<Option<Arc<TaskStateRecord>>, Stop> {
    let (mut known, mut entering) = (Known::default(), Vec::new());
    // Who makes a task names it as it is: aliases are what a claim knows.
    let implied = gates::implied(record, None).map(|(key, _)| (key, None));
    let own = record
        .gates
        .iter()
        .map(|gate| (gate.key.clone(), Some(gate.limit)));
    for (key, limit) in implied.chain(own) {
        if limit.is_none() && known.rule(table, &key)?.is_none() {
            continue;
        }
        if matches!(known.check(table, &key, limit)?, Verdict::Closed { .. }) {
            return Ok(None);
        }
        gates::note_place(&mut entering, key);
    }
    table.leave(record)?;
    for key in &entering {
        known.enter(table, key, &record.id)?;
    }
    let leased = claim::lease(table, record, entering, to.worker.clone(), to.ttl)?;
    Ok(Some(leased))
}
