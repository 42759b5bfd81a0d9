//! Putting in what another store had.

use std::sync::Arc;

use super::event::{Event, StreamId};
use super::holdings::KeyOwner;
use super::mark::{GATE_MARK, Mark};
use crate::error::{Error, Result};
use crate::id::check_name;
use crate::payload::{PAYLOAD_LIMIT, Payload};
use crate::task::{
    ATTEMPTS_KEPT, GateRule, NewTask, SCHEMA_VERSION, TaskStateRecord, TaskStatus, UniqueScope,
};

/// Something that another store had, to be put in as it was there. Putting the same in twice changes nothing, and what is
/// there already and differs stays: the commit is refused.
#[derive(Clone, Debug)]
pub enum Import {
    /// A whole record. It gets the next creation sequence of this store, and its lease, if it has one, ends by the wall
    /// clock of this store. Whether it owns its unique key is told apart, as [`Import::Key`].
    Record(Box<TaskStateRecord>),
    /// Events of a stream, with their numbers and times. They must follow on those that are there.
    Events {
        /// The stream.
        stream: StreamId,
        /// The number that the stream begins with, when there is none yet: those before it were trimmed.
        first: u64,
        /// The events, in the order of their numbers.
        events: Vec<Event>,
    },
    /// A mark, with its times. Its version is one of this store.
    Mark(Mark),
    /// The owner of a unique key.
    Key(KeyOwner),
}

fn bad(record: &TaskStateRecord, why: &str) -> Error {
    Error::invalid(
        "import",
        format!("the record \"{}\" cannot be as it is: {why}", record.id),
    )
}

/// The record as the first fields of a new task, which is how its names and limits are checked.
pub(crate) fn as_new(record: &TaskStateRecord) -> NewTask {
    let mut new = NewTask::new(
        record.id.clone(),
        Arc::clone(&record.name),
        record.args.clone(),
    );
    new.queue.clone_from(&record.queue);
    new.kind = record.kind;
    new.priority = record.priority;
    new.unique.clone_from(&record.unique);
    new.schedule.clone_from(&record.schedule);
    new.slot = record.slot;
    new.details.clone_from(&record.details);
    new
}

/// Checks a record as every store does before it takes it, and makes it one that belongs to no machine and no store.
pub(crate) fn checked(mut record: TaskStateRecord) -> Result<TaskStateRecord> {
    as_new(&record).check()?;
    let payloads = [&record.progress, &record.result, &record.details.state];
    for payload in payloads.into_iter().flatten().chain([&record.args]) {
        payload.check_size("import", PAYLOAD_LIMIT)?;
    }
    let runs = record.status == TaskStatus::Running;
    if record.schema_version > SCHEMA_VERSION {
        return Err(bad(&record, "it was written by a newer version of TLO"));
    }
    if record.lease.is_some() != runs {
        return Err(bad(
            &record,
            "a task has a lease when it runs, and only then",
        ));
    }
    if let Some(lease) = &record.lease
        && (lease.fence != record.fence || record.token.is_some())
    {
        return Err(bad(&record, "its lease is not its latest"));
    }
    if record.status.is_terminal() != record.finished_at.is_some() {
        return Err(bad(
            &record,
            "a task that has ended says when, and no other",
        ));
    }
    if !runs && !record.holds.is_empty() {
        return Err(bad(&record, "it holds places in gates and does not run"));
    }
    if record.parked.is_some() && record.status != TaskStatus::Pending {
        return Err(bad(&record, "it is parked and does not wait"));
    }
    if record.attempts.len() > ATTEMPTS_KEPT + 1 {
        return Err(bad(&record, "its history is too long"));
    }
    if record.max_attempts == 0 || record.revision == 0 {
        return Err(bad(&record, "max_attempts and revision begin at 1"));
    }
    let ends = record.unique.as_ref().is_some_and(|unique| {
        unique.until.is_some() && !matches!(unique.scope, UniqueScope::For(_))
    });
    if ends {
        return Err(bad(
            &record,
            "only a key that is kept for a time has an end",
        ));
    }
    record.seq = 0;
    // Steady clocks are those of the machine that the other store was on.
    if let Some(lease) = &mut record.lease {
        lease.ends = None;
    }
    Ok(record)
}

/// Whether they say the same, whichever stores they are in. Where a task is parked follows from the gates of its store.
pub(crate) fn is_same(one: &TaskStateRecord, other: &TaskStateRecord) -> bool {
    anywhere(one.clone()) == anywhere(other.clone())
}

/// A record without what is its store's own.
pub(crate) fn anywhere(mut record: TaskStateRecord) -> TaskStateRecord {
    record.seq = 0;
    record.parked = None;
    if let Some(lease) = &mut record.lease {
        lease.ends = None;
    }
    record
}

/// Checks events that are to be put in.
pub(crate) fn check_events(stream: &StreamId, first: u64, events: &[Event]) -> Result<()> {
    check_name("the owner of a stream", &stream.owner)?;
    check_name("a stream", &stream.name)?;
    if first == 0 {
        return Err(Error::invalid(
            "import",
            format!("the first event of \"{stream}\" has the number 0; numbers begin at 1"),
        ));
    }
    events
        .iter()
        .try_for_each(|event| event.data.check_size("event", PAYLOAD_LIMIT))
}

/// Checks a mark, whether it is set or put in; gives the rule that it holds, when it is one of a gate.
pub(crate) fn check_mark(key: &str, value: &Payload) -> Result<Option<GateRule>> {
    check_name("a mark", key)?;
    value.check_size("mark", PAYLOAD_LIMIT)?;
    let gate = key.strip_prefix(GATE_MARK);
    gate.map(|gate| GateRule::read(gate, value)).transpose()
}

/// Checks the owner of a key.
pub(crate) fn check_key(owner: &KeyOwner) -> Result<()> {
    check_name("a unique key", &owner.key)
}
