//! Records that cannot be read are set aside: nothing meets them again and again, and their neighbours go on.
//!
//! The record itself stays as it is. Upkeep looks at what was set aside, and puts back what can be read again: a file
//! that was repaired, or a record of a newer build that this build has handed back to one that knows it.

use super::claim::quarantine;
use super::overlay::decode;
use super::table::{Source, Table};
use super::{gates, index, keys, reopen};
use crate::error::{ErrorKind, Result};
use crate::id::TaskId;
use crate::store::Hint;
use crate::task::TaskStatus;

/// Ended leases looked at in one claim.
const LEASES_AT_ONCE: usize = 64;

/// Records read at a time when all are.
const PAGE: usize = 256;

/// Records set aside that one step of upkeep tries to read.
const LOOK_AGAIN: usize = 1000;

/// Takes ended leases out of their index whose record cannot be read: nobody can take them back, and the store would ask
/// for it without end. The places that such a record holds in gates are given up, as with every lease that ends.
pub(super) fn leases(table: &mut dyn Table) -> Result<()> {
    for (row, _) in super::leases::ended_rows(table, LEASES_AT_ONCE)? {
        let Ok(id) = index::id_of(keys::lease_id(&row)) else {
            tracing::error!("a row of the index of leases holds no task id; it was removed");
            table.delete(&row)?;
            continue;
        };
        match table.record(&id) {
            Ok(Some(record)) if record.lease.is_some() => {}
            // The row leads nowhere.
            Ok(_) => table.delete(&row)?,
            Err(error) => {
                quarantine(table, &id, error)?;
                table.delete(&row)?;
                leave_gates(table, &id)?;
            }
        }
    }
    Ok(())
}

/// The record would say which gates it is in. Without it their holders are looked through; they are as many as what runs.
fn leave_gates(table: &mut dyn Table, id: &TaskId) -> Result<()> {
    let all = table.range(
        keys::HOLDERS,
        &keys::after(keys::HOLDERS),
        usize::MAX,
        false,
    )?;
    let mine: Vec<_> = all
        .into_iter()
        .filter(|(row, _)| keys::holder_id(row) == Some(id.as_str().as_bytes()))
        .collect();
    for (row, _) in &mine {
        table.delete(row)?;
    }
    for (_, gate) in &mine {
        if let Ok(gate) = std::str::from_utf8(gate) {
            reopen::give_place(table, gate)?;
            table.hint(Hint::Unknown);
        }
    }
    Ok(())
}

/// Puts back what can be read again; answers how many records stay aside, of those looked at.
pub(crate) fn look_again(table: &mut dyn Table) -> Result<u64> {
    let mut unreadable = 0;
    for (row, _) in table.range(keys::ASIDE, &keys::after(keys::ASIDE), LOOK_AGAIN, false)? {
        let Ok(id) = index::id_of(&row[1..]) else {
            table.delete(&row)?;
            continue;
        };
        match table.record(&id) {
            Ok(Some(record)) => {
                table.delete(&row)?;
                table.place_again(&record)?;
                if record.status == TaskStatus::Pending {
                    match &record.parked {
                        Some(parked) => gates::park_row(table, &parked.gate, &record)?,
                        None => table.hint(Hint::Ready(std::sync::Arc::clone(&record.queue))),
                    }
                }
                tracing::info!(%id, "a record that was set aside can be read again; it was put back");
            }
            Ok(None) => table.delete(&row)?,
            Err(error) if error.kind() == ErrorKind::Corrupt => unreadable += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(unreadable)
}

/// What is wrong with the records of one page, and where the next begins.
pub(crate) fn unreadable(
    source: &dyn Source,
    from: Option<&[u8]>,
) -> Result<(Vec<String>, Option<Vec<u8>>)> {
    let all = keys::record_prefix("");
    let rows = source.range(from.unwrap_or(&all), &keys::after(&all), PAGE, false)?;
    let next = match rows.last() {
        Some((last, _)) if rows.len() == PAGE => Some([last.as_slice(), &[0]].concat()),
        _ => None,
    };
    let mut wrong = Vec::new();
    for (key, value) in &rows {
        match index::id_of(&key[1..]).and_then(|id| decode(&id, value)) {
            Err(error) => wrong.push(error.to_string()),
            Ok(record) if !index::is_listed(source, &record)? => wrong.push(format!(
                "the record \"{}\" is not in the index of what is {}, or its row there is damaged: lists leave it out",
                record.id, record.status
            )),
            Ok(_) => {}
        }
    }
    Ok((wrong, next))
}
