//! Upkeep, in small steps.

use super::table::Table;
use super::{index, keys, marks, reopen, unique};
use crate::error::{ErrorKind, Result};
use crate::store::{Maintain, Maintained};
use crate::task::TaskStateRecord;

/// Ended records read at a time.
const RETIRE_PAGE: usize = 256;

/// Ended records that one step looks at, of which some stay for their parent's sake.
const RETIRE_SCAN: usize = 2_000;

/// Pages of parked records that one step looks at, when there are not more gates than that.
const SWEEP_PAGES: usize = 32;

/// One step: retention, marks and keys whose time is over, gates that should be open.
pub(crate) fn maintain(table: &mut dyn Table, request: &Maintain) -> Result<Maintained> {
    let mut done = Maintained::default();
    let limit = request.limit.max(1);
    done.marks = marks::sweep(table, limit)? as u64;
    let keys_freed = unique::sweep(table, limit)?;
    let removed = retire(table, request, limit)?;
    done.removed = removed.0;
    done.unparked = sweep_gates(table, limit)?;
    done.unreadable = super::aside::look_again(table)?;
    done.more = removed.1 || done.marks as usize >= limit || keys_freed >= limit;
    Ok(done)
}

/// Removes ended records beyond the retention, the first that ended first; says how many and whether there are more.
///
/// Records that stay for their parent's sake must not hide those behind them. However many they are, a step looks at a
/// bounded number and the next one goes on behind it; a round that came to its end begins anew. One that has removed what it
/// may begins anew as well, as long as it need not go on: by then a parent may have ended.
fn retire(table: &mut dyn Table, request: &Maintain, limit: usize) -> Result<(u64, bool)> {
    let retention = request.retention;
    let now = table.moment().now;
    let mut surplus = match retention.count {
        Some(keep) => table.ended()?.saturating_sub(keep),
        None => 0,
    };
    let cutoff = retention.age.map(|age| now.saturating_sub(age));
    let (mut from, end) = (keys::FINISHED.to_vec(), keys::after(keys::FINISHED));
    let reached = table.get(keys::RETIRED_TO)?;
    let goes_on = reached.is_some();
    if let Some(reached) = reached.filter(|reached| reached.starts_with(keys::FINISHED)) {
        from = reached;
    }
    let (mut removed, mut examined) = (0, 0);
    while examined < RETIRE_SCAN {
        let rows = table.range(&from, &end, RETIRE_PAGE, false)?;
        let Some((last, _)) = rows.last() else {
            return begin_anew(table, removed, goes_on);
        };
        from = [last.as_slice(), &[0]].concat();
        examined += rows.len();
        for (key, value) in rows {
            let is_old =
                cutoff.is_some_and(|cutoff| keys::time_at(&key, 1).is_some_and(|at| at < cutoff));
            if !is_old && surplus == 0 {
                return begin_anew(table, removed, goes_on);
            }
            if removed >= limit as u64 {
                if goes_on {
                    table.put(keys::RETIRED_TO.to_vec(), key)?;
                }
                return Ok((removed, true));
            }
            let Some(id) = index::find(table, &value, keys::seq(&key), &index::ENDED)? else {
                table.delete(&key)?;
                continue;
            };
            let record = match table.record(&id) {
                Ok(Some(record)) => record,
                Ok(None) => {
                    table.delete(&key)?;
                    continue;
                }
                Err(error) => {
                    table.delete(&key)?;
                    super::claim::quarantine(table, &id, error)?;
                    continue;
                }
            };
            if is_awaited(table, &record)? {
                continue;
            }
            index::remove(table, &record)?;
            removed += 1;
            surplus = surplus.saturating_sub(1);
        }
    }
    table.put(keys::RETIRED_TO.to_vec(), from)?;
    Ok((removed, true))
}

/// The end of a round.
fn begin_anew(table: &mut dyn Table, removed: u64, goes_on: bool) -> Result<(u64, bool)> {
    if goes_on {
        table.delete(keys::RETIRED_TO)?;
    }
    Ok((removed, false))
}

/// Whether a parent that has not ended may still read the record.
fn is_awaited(table: &dyn Table, record: &TaskStateRecord) -> Result<bool> {
    let Some(parent) = &record.parent else {
        return Ok(false);
    };
    match table.record(parent) {
        Ok(parent) => Ok(parent.is_some_and(|parent| !parent.status.is_terminal())),
        Err(error) if error.kind() == ErrorKind::Corrupt => Ok(true),
        Err(error) => Err(error),
    }
}

/// Opens gates that should be open: a safety net, for what opens a gate opens it in the same write.
fn sweep_gates(table: &mut dyn Table, limit: usize) -> Result<u64> {
    reopen::forget_sweeps(table, limit)?;
    let all = table.range(
        keys::PARKED_GATES,
        &keys::after(keys::PARKED_GATES),
        limit,
        false,
    )?;
    // The fewer gates, the farther into each.
    let pages = (SWEEP_PAGES / all.len().max(1)).max(1);
    let mut opened = 0;
    for (_, value) in all {
        if let Ok(key) = std::str::from_utf8(&value) {
            opened += reopen::sweep(table, key, pages)? as u64;
        }
    }
    Ok(opened)
}
