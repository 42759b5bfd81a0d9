//! What another store had, as the arguments of its operation.

use super::args::Args;
use super::encode::{mark, unique, words};
use super::record::{Fixed, history_text};
use super::times::code;
use crate::error::Result;
use crate::payload::Payload;
use crate::store::import::{as_new, check_events, check_key, check_mark, checked};
use crate::store::{Event, Import, StreamId};
use crate::task::TaskStateRecord;
use crate::timestamp::Timestamp;

pub(super) fn encode(args: &mut Args, import: &Import) -> Result<()> {
    match import {
        Import::Record(new) => return record(args, &checked(TaskStateRecord::clone(new))?),
        Import::Events {
            stream,
            first,
            events: new,
        } => {
            check_events(stream, *first, new)?;
            events(args, stream, *first, new);
        }
        Import::Mark(new) => {
            let rule = check_mark(&new.key, &new.value)?;
            args.text("M");
            args.text(code(new.set_at));
            time(args, new.until);
            mark(args, &new.key, &new.value, None, rule);
        }
        Import::Key(new) => {
            check_key(new)?;
            args.text("K");
            args.text(&*new.key);
            args.text(new.owner.as_str());
            time(args, new.until);
        }
    }
    Ok(())
}

fn time(args: &mut Args, time: Option<Timestamp>) {
    args.text(time.map(code).unwrap_or_default());
}

fn events(args: &mut Args, stream: &StreamId, first: u64, events: &[Event]) {
    args.text("J");
    args.text(&stream.owner);
    args.text(&stream.name);
    args.number(first);
    args.number(events.len());
    for event in events {
        args.number(event.number);
        args.optional(event.key.as_deref());
        args.text(code(event.at));
        args.number(super::encode::event_body(&event.kind, &event.data));
    }
}

fn record(args: &mut Args, record: &TaskStateRecord) -> Result<()> {
    let new = as_new(record);
    args.text("I");
    args.text(record.id.as_str());
    args.number(record.status as u8);
    args.text(&*record.name);
    args.text(record.version.as_deref().unwrap_or_default());
    args.text(&*record.queue);
    args.number(record.priority);
    args.text(code(record.run_at));
    args.number(record.revision);
    args.number(record.attempt);
    args.number(record.fence);
    args.number(record.leases);
    args.number(record.lost);
    args.number(record.forgiven);
    args.flag(record.cancel_requested);
    args.flag(record.woken);
    time(args, record.expires_at);
    args.text(code(record.created_at));
    time(args, record.started_at);
    time(args, record.finished_at);
    let lease = record.lease.as_ref();
    args.text(lease.map_or("", |lease| lease.worker.as_str()));
    time(args, lease.map(|lease| lease.until));
    for token in [lease.map(|lease| lease.token), record.token] {
        let text = token.map(|token| format!("{:032x}", token.as_u128()));
        args.text(text.unwrap_or_default());
    }
    args.number(record.gates.len());
    for gate in &record.gates {
        args.text(&gate.key);
        args.number(gate.limit);
    }
    args.number(record.holds.len());
    for gate in &record.holds {
        args.text(gate);
    }
    let parked = record.parked.as_deref();
    args.text(parked.map_or("", |parked| &parked.gate));
    time(args, parked.map(|parked| parked.since));
    time(args, parked.and_then(|parked| parked.opens_at));
    unique(args, record.unique.as_deref());
    let until = record.unique.as_ref().and_then(|unique| unique.until);
    time(args, until);
    let prefer = record.prefer.as_deref();
    args.text(prefer.map_or("", |prefer| prefer.worker.as_str()));
    time(args, prefer.map(|prefer| prefer.until));
    words(args, &new);
    args.text(record.parent.as_ref().map_or("", |parent| parent.as_str()));
    args.flag(record.error.is_some());
    args.flag(record.result.is_some());
    args.number(record.attempts.len());
    parts(args, record, &Fixed::of(&new).encode()?);
    Ok(())
}

/// The parts of a record that it has, by their letters.
fn parts(args: &mut Args, record: &TaskStateRecord, fixed: &[u8]) {
    fn bytes(payload: Option<&Payload>) -> Option<&[u8]> {
        payload.map(|payload| payload.as_str().as_bytes())
    }
    let history = history_text(&record.attempts);
    let parked = record.parked.as_deref();
    let parts: Vec<_> = [
        ("i", Some(fixed)),
        ("a", bytes(Some(&record.args))),
        ("s", bytes(record.state.as_ref())),
        ("p", record.phase.as_deref().map(str::as_bytes)),
        ("o", bytes(record.progress.as_ref())),
        ("r", bytes(record.result.as_ref())),
        ("e", record.error.as_deref().map(str::as_bytes)),
        ("g", record.error_group.as_deref().map(str::as_bytes)),
        ("h", (!history.is_empty()).then_some(history.as_bytes())),
        ("w", parked.map(|parked| parked.reason.as_bytes())),
    ]
    .into_iter()
    .filter_map(|(letter, text)| Some((letter, text?)))
    .collect();
    args.number(parts.len());
    for (letter, text) in parts {
        args.text(letter);
        args.text(text);
    }
}
