//! Leases by their end.

use std::time::Duration;

use super::keys;
use super::rows::Pairs;
use super::table::{Moment, Source, Table};
use crate::clock::Steady;
use crate::error::Result;
use crate::id::{LeaseToken, TaskId, WorkerId};
use crate::store::Refusal;
use crate::task::{Lease, LeaseRef, TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// A lease that starts now.
pub(super) fn start(
    moment: Moment,
    worker: WorkerId,
    ttl: Duration,
    fence: u64,
    token: LeaseToken,
) -> Lease {
    Lease {
        worker,
        until: moment.now.saturating_add(ttl),
        fence,
        token,
        ends: end(moment, ttl),
    }
}

/// The same lease with its end moved.
pub(super) fn extend(moment: Moment, lease: &mut Lease, ttl: Duration) {
    lease.until = moment.now.saturating_add(ttl);
    lease.ends = end(moment, ttl);
}

/// On the steady clock; where no boot is known its wall time is all there is.
fn end(moment: Moment, ttl: Duration) -> Option<Steady> {
    (moment.steady.boot != Steady::NO_BOOT).then(|| Steady {
        boot: moment.steady.boot,
        at: moment.steady.at.saturating_add(ttl),
    })
}

/// Boot and end of the lease of a record, as its index orders them.
pub(crate) fn boot_and_end(record: &TaskStateRecord) -> Option<(u64, u64)> {
    let lease = record.lease.as_ref()?;
    Some(match lease.ends {
        Some(ends) => (ends.boot, micros(ends.at)),
        None => (Steady::NO_BOOT, wall(lease.ends_by_the_wall())),
    })
}

fn row(record: &TaskStateRecord) -> Option<Vec<u8>> {
    let (boot, end) = boot_and_end(record)?;
    Some(keys::lease(boot, end, &record.id))
}

/// A wall time as the index of leases orders it.
fn wall(at: Timestamp) -> u64 {
    micros(at.since(Timestamp::UNIX_EPOCH))
}

fn micros(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn put_row<T: Table + ?Sized>(table: &mut T, record: &TaskStateRecord) -> Result<()> {
    match row(record) {
        Some(key) => table.put(key, record.id.as_str().as_bytes().to_vec()),
        None => Ok(()),
    }
}

pub(super) fn delete_row<T: Table + ?Sized>(table: &mut T, record: &TaskStateRecord) -> Result<()> {
    match row(record) {
        Some(key) => table.delete(&key),
        None => Ok(()),
    }
}

/// Ids of records whose lease has ended.
pub(super) fn ended(table: &dyn Source, limit: usize) -> Result<Vec<TaskId>> {
    let rows = ended_rows(table, limit)?;
    // The key says it, whatever became of the row: a lease that is lost sight of is a task that never ends.
    let ids = rows
        .iter()
        .filter_map(|(key, _)| super::index::id_of(keys::lease_id(key)).ok());
    Ok(ids.collect())
}

/// Rows of leases that have ended: those of this boot that are over, those measured on the wall clock that are over, and
/// all of other boots. A process that does not know its boot finds live ones among the last: their records say so.
pub(super) fn ended_rows(table: &dyn Source, limit: usize) -> Result<Pairs> {
    let Moment { now, steady } = table.moment();
    let by_wall = keys::leases_until(Steady::NO_BOOT, wall(now));
    let others = keys::after(&by_wall.0);
    let mut ranges = vec![by_wall];
    if steady.boot == Steady::NO_BOOT {
        ranges.push((others, keys::after(keys::LEASES)));
    } else {
        let (from, until) = keys::leases_until(steady.boot, micros(steady.at));
        let behind = keys::after(&from);
        ranges.push((from.clone(), until));
        ranges.push((others, from));
        ranges.push((behind, keys::after(keys::LEASES)));
    }
    let mut rows = Pairs::new();
    for (from, until) in ranges {
        rows.extend(table.range(&from, &until, limit.saturating_sub(rows.len()), false)?);
    }
    Ok(rows)
}

/// When the next lease ends, by the store's wall clock.
pub(super) fn next_end(table: &dyn Source) -> Result<Option<Timestamp>> {
    let Moment { now, steady } = table.moment();
    let mut next = None;
    let first = table.first(keys::LEASES, &keys::after(keys::LEASES))?;
    let with_boot = keys::leases_until(Steady::NO_BOOT + 1, 0).0;
    let first_with_boot = table.first(&with_boot, &keys::after(keys::LEASES))?;
    let mine = keys::leases_until(steady.boot, 0).0;
    let first_of_mine = table.first(&mine, &keys::after(&mine))?;
    let last = table
        .range(keys::LEASES, &keys::after(keys::LEASES), 1, true)?
        .pop();
    for (key, _) in [first, first_with_boot, first_of_mine, last]
        .into_iter()
        .flatten()
    {
        let Some((boot, end)) = keys::split_lease(&key) else {
            continue;
        };
        let at = if boot == Steady::NO_BOOT {
            Timestamp::UNIX_EPOCH.saturating_add(Duration::from_micros(end))
        } else if steady.boot == Steady::NO_BOOT {
            // It may be live; its record would say. This happens once, when a process learns to do without a boot.
            now.saturating_add(Duration::from_secs(1))
        } else if boot == steady.boot {
            now.saturating_add(Duration::from_micros(end).saturating_sub(steady.at))
        } else {
            now
        };
        next = Some(next.map_or(at, |next: Timestamp| next.min(at)));
    }
    Ok(next)
}

/// Whether `shown` is the lease of the record; a refusal says why not.
pub(super) fn check_held(record: &TaskStateRecord, shown: LeaseRef) -> Result<(), Refusal> {
    match &record.lease {
        Some(lease) if record.status == TaskStatus::Running && lease.reference() == shown => Ok(()),
        None if record.fence == shown.fence && record.token == Some(shown.token) => {
            Err(Refusal::AlreadyDone(record.id.clone()))
        }
        _ => Err(Refusal::LeaseLost(record.id.clone())),
    }
}
