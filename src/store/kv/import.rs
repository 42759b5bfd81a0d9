//! Putting in what another store had.

use super::commit::Stop;
use super::table::Table;
use super::{gates, index, marks, streams, unique};
use crate::store::import::{check_events, check_key, check_mark, checked, is_same};
use crate::store::{Effect, Import, Refusal};
use crate::task::TaskStateRecord;

pub(super) fn import(table: &mut dyn Table, import: Import) -> Result<Effect, Stop> {
    match import {
        Import::Record(new) => record(table, checked(*new)?),
        Import::Events {
            stream,
            first,
            events,
        } => {
            check_events(&stream, first, &events)?;
            match streams::import(table, &stream, first, &events)? {
                Ok(numbers) => Ok(Effect::Appended(numbers)),
                Err(length) => Err(Refusal::Length(stream, length).into()),
            }
        }
        Import::Mark(mark) => {
            check_mark(&mark.key, &mark.value)?;
            let key = std::sync::Arc::clone(&mark.key);
            match marks::import(table, mark)? {
                Ok(version) => Ok(Effect::Marked(version)),
                Err(version) => Err(Refusal::Mark(key, Some(version)).into()),
            }
        }
        Import::Key(new) => {
            check_key(&new)?;
            match unique::import(table, &new)? {
                None => Ok(Effect::Done),
                Some(owner) => Err(Refusal::KeyTaken {
                    key: new.key,
                    owner,
                }
                .into()),
            }
        }
    }
}

fn record(table: &mut dyn Table, mut record: TaskStateRecord) -> Result<Effect, Stop> {
    if let Some(there) = table.record(&record.id)? {
        if !is_same(&there, &record) {
            return Err(Refusal::Exists(record.id).into());
        }
        return Ok(Effect::Existing {
            id: record.id,
            status: there.status,
        });
    }
    // Only what is due waits behind a gate.
    if record.run_at > table.moment().now {
        record.parked = None;
    }
    record.seq = table.next_number()?;
    for gate in &record.holds {
        // It took its place, and what a rate allows, in the other store.
        gates::enter(table, gate, &record.id, None)?;
    }
    let record = index::insert(table, record)?;
    if let Some(parked) = &record.parked {
        gates::park_row(table, &parked.gate, &record)?;
        // Whether that gate is open here is looked at soon; who held it there may never leave it here.
        let now = table.moment().now;
        gates::set_timer(table, &parked.gate, now)?;
    }
    Ok(Effect::Created {
        seq: record.seq,
        leased: None,
    })
}
