//! Upkeep, in small steps.

use super::table::Table;
use super::{gates, index, keys, marks, unique};
use crate::error::Result;
use crate::store::{CountBy, Maintain, Maintained, TaskFilter};
use crate::task::TaskStatus;

const ENDED: [TaskStatus; 3] = [
    TaskStatus::Succeeded,
    TaskStatus::Failed,
    TaskStatus::Cancelled,
];

/// One step: retention, marks and keys whose time is over, gates that should be open.
pub(crate) fn maintain(table: &mut dyn Table, request: &Maintain) -> Result<Maintained> {
    let mut done = Maintained::default();
    let limit = request.limit.max(1);
    done.marks = marks::sweep(table, limit)? as u64;
    let keys_freed = unique::sweep(table, limit)?;
    let removed = retire(table, request, limit)?;
    done.removed = removed.0;
    done.unparked = sweep_gates(table, limit)?;
    done.more = removed.1 || done.marks as usize >= limit || keys_freed >= limit;
    Ok(done)
}

/// Removes ended records beyond the retention, the first that ended first; says how many and whether there are more.
fn retire(table: &mut dyn Table, request: &Maintain, limit: usize) -> Result<(u64, bool)> {
    let retention = request.retention;
    let now = table.moment().now;
    let mut surplus = match retention.count {
        Some(keep) => super::read::count(
            table_source(table),
            &TaskFilter::status(ENDED),
            CountBy::All,
            0,
        )?
        .total()
        .saturating_sub(keep),
        None => 0,
    };
    let cutoff = retention.age.map(|age| now.saturating_sub(age));
    let rows = table.range(keys::FINISHED, &keys::after(keys::FINISHED), limit, false)?;
    let full_page = rows.len() == limit;
    let mut removed = 0;
    for (key, value) in rows {
        let is_old =
            cutoff.is_some_and(|cutoff| keys::time_at(&key, 1).is_some_and(|at| at < cutoff));
        if !is_old && surplus == 0 {
            return Ok((removed, false));
        }
        let id = index::id_of(&value)?;
        let Some(record) = table.record(&id)? else {
            table.delete(&key)?;
            continue;
        };
        // A parent that has not ended still reads its children.
        if let Some(parent) = &record.parent
            && table
                .record(parent)?
                .is_some_and(|parent| !parent.status.is_terminal())
        {
            continue;
        }
        index::remove(table, &record)?;
        removed += 1;
        surplus = surplus.saturating_sub(1);
    }
    Ok((removed, full_page && removed > 0))
}

fn table_source(table: &dyn Table) -> &dyn super::table::Source {
    table
}

/// Opens gates that should be open: a safety net, for what opens a gate opens it in the same write.
fn sweep_gates(table: &mut dyn Table, limit: usize) -> Result<u64> {
    let mut opened = 0;
    for (_, value) in table.range(
        keys::PARKED_GATES,
        &keys::after(keys::PARKED_GATES),
        limit,
        false,
    )? {
        if let Ok(key) = std::str::from_utf8(&value) {
            opened += gates::reopen(table, key)? as u64;
        }
    }
    Ok(opened)
}
