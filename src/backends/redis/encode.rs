//! Commits as the arguments of their script. What needs no look at the store is checked here, once and for the whole
//! commit, before anything is sent.

use std::time::Duration;

use super::args::Args;
use super::import;
use super::quick;
use super::record::Fixed;
use super::times::{code, due, micros};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{IdSource, check_name};
use crate::payload::{PAYLOAD_LIMIT, Payload};
use crate::store::import::check_mark;
use crate::store::{
    Change, Commit, Create, GATE_MARK, Guard, Import, LeaseTo, MarkExpect, Op, Patch, Refusal,
};
use crate::task::{
    ERROR_LIMIT, GateRule, NewTask, OnConflict, Settlement, TaskDetails, Unique, UniqueScope,
    cut_text,
};

/// The arguments of one commit; or why it is refused whatever the store holds.
///
/// A guard that fails is told before an input that is wrong, so a commit with both is sent as far as it is right: see
/// [`Encoded`].
pub(super) fn commit(commit: &Commit, ids: &IdSource) -> Encoded {
    if let Some(quick) = quick::commit(commit) {
        return quick;
    }
    let mut body = Args::default();
    let mut named = Args::default();
    for guard in &commit.guards {
        encode_guard(&mut body, guard);
        match guard {
            Guard::Length(..) | Guard::Mark(..) => {}
            Guard::Absent(id)
            | Guard::Open(id)
            | Guard::Held(id, _)
            | Guard::Expired(id, _)
            | Guard::Revision(id, _) => named.text(id.as_str()),
        }
    }
    let mut wrong = None;
    let mut ops = 0;
    for op in &commit.ops {
        let before = body.mark();
        match try_encode(&mut body, op, ids) {
            Ok(()) => ops += 1,
            Err(error) => {
                body.truncate(before);
                // Operations before it may be refused first; this one is refused in any case.
                body.text("!");
                ops += 1;
                wrong = Some(refusal(&error));
                break;
            }
        }
        match op {
            Op::Create(new) => named.text(new.task.id.as_str()),
            Op::Settle(id, _)
            | Op::Extend(id, _)
            | Op::Patch(id, _)
            | Op::Cancel(id, _)
            | Op::Revive(id, _)
            | Op::Wake(id)
            | Op::Delete(id) => named.text(id.as_str()),
            Op::Import(import) => {
                if let Import::Record(new) = &**import {
                    named.text(new.id.as_str());
                }
            }
            Op::Append(..) | Op::Trim(..) | Op::PutMark { .. } | Op::DropMark(_) => {}
        }
    }
    let mut args = Args::default();
    args.number(body.len() + 3);
    args.number(named.len());
    args.number(commit.guards.len());
    args.number(ops);
    args.append(&body);
    Encoded {
        ids: named,
        args,
        wrong,
        form: Form::General,
    }
}

/// A commit on its way.
#[derive(Debug)]
pub(super) struct Encoded {
    /// Ids of the records that it reads.
    pub(super) ids: Args,
    pub(super) args: Args,
    /// What the script refuses at the operation `!`, when it comes that far.
    pub(super) wrong: Option<Refusal>,
    pub(super) form: Form,
}

/// How a commit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// All its guards and operations.
    General,
    /// The short form of plain tasks that are made.
    Create,
    /// The short form of a run that its lease holds and that succeeds.
    Settle,
}

fn encode_guard(args: &mut Args, guard: &Guard) {
    match guard {
        Guard::Absent(id) => {
            args.text("A");
            args.text(id.as_str());
        }
        Guard::Open(id) => {
            args.text("O");
            args.text(id.as_str());
        }
        Guard::Held(id, shown) => {
            args.text("H");
            args.text(id.as_str());
            args.number(shown.fence);
            args.number(format_args!("{:032x}", shown.token.as_u128()));
        }
        Guard::Expired(id, fence) => {
            args.text("E");
            args.text(id.as_str());
            args.number(fence);
        }
        Guard::Revision(id, revision) => {
            args.text("R");
            args.text(id.as_str());
            args.number(revision);
        }
        Guard::Length(stream, length) => {
            args.text("L");
            args.text(&stream.owner);
            args.text(&stream.name);
            args.number(length);
        }
        Guard::Mark(key, expected) => {
            args.text("M");
            args.text(&**key);
            args.optional(match expected {
                MarkExpect::Absent => None,
                MarkExpect::Version(version) => Some(version.to_string()),
            });
        }
    }
}

/// As the store refuses it.
fn refusal(error: &Error) -> Refusal {
    match error.kind() {
        ErrorKind::TooLarge => Refusal::TooLarge(error.to_string()),
        _ => Refusal::Invalid(error.to_string()),
    }
}

fn try_encode(args: &mut Args, op: &Op, ids: &IdSource) -> Result<()> {
    match op {
        Op::Create(new) => return create(args, new, ids),
        Op::Settle(id, settlement) => {
            args.text("S");
            args.text(id.as_str());
            return settle(args, settlement);
        }
        Op::Extend(id, ttl) => {
            args.text("X");
            args.text(id.as_str());
            args.text(micros(*ttl));
        }
        Op::Patch(id, change) => {
            args.text("P");
            args.text(id.as_str());
            return patch(args, change);
        }
        Op::Cancel(id, reason) => {
            args.text("c");
            args.text(id.as_str());
            args.text(cut_text(reason.clone(), ERROR_LIMIT));
        }
        Op::Revive(id, at) => {
            args.text("V");
            args.text(id.as_str());
            args.text(due(*at));
        }
        Op::Wake(id) => {
            args.text("W");
            args.text(id.as_str());
        }
        Op::Delete(id) => {
            args.text("D");
            args.text(id.as_str());
        }
        Op::Append(stream, events) => {
            check_name("the owner of a stream", &stream.owner)?;
            check_name("a stream", &stream.name)?;
            args.text("a");
            args.text(&stream.owner);
            args.text(&stream.name);
            args.number(events.len());
            for event in events {
                event.data.check_size("event", PAYLOAD_LIMIT)?;
                args.optional(event.key.as_deref());
                args.number(event_body(&event.kind, &event.data));
            }
        }
        Op::Trim(stream, before) => {
            args.text("t");
            args.text(&stream.owner);
            args.text(&stream.name);
            args.number(before);
        }
        Op::PutMark { key, value, ttl } => {
            let rule = check_mark(key, value)?;
            args.text("m");
            mark(args, key, value, *ttl, rule);
        }
        Op::DropMark(key) => {
            args.text("d");
            args.text(&**key);
        }
        Op::Import(new) => return import::encode(args, new),
    }
    Ok(())
}

fn create(args: &mut Args, create: &Create, ids: &IdSource) -> Result<()> {
    let Create {
        task: new,
        lease_to,
    } = create;
    new.check()?;
    new.args.check_size("args", PAYLOAD_LIMIT)?;
    if let Some(state) = &new.state {
        state.check_size("state", PAYLOAD_LIMIT)?;
    }
    let TaskDetails {
        version,
        phase,
        gates,
        parent,
        state,
        ..
    } = &*new.details;
    args.text("C");
    args.text(new.id.as_str());
    let (on_conflict, wait) = match new.on_conflict {
        OnConflict::Existing => ("E", Duration::ZERO),
        OnConflict::Fail => ("F", Duration::ZERO),
        OnConflict::Replace => ("R", Duration::ZERO),
        OnConflict::Debounce(wait) => ("D", wait),
    };
    args.text(on_conflict);
    args.text(micros(wait));
    args.text(&*new.name);
    args.text(version.as_deref().unwrap_or_default());
    args.text(&*new.queue);
    args.number(new.priority);
    args.text(due(new.due));
    args.optional(new.expires.map(due));
    args.number(gates.len());
    for gate in gates {
        args.text(&gate.key);
        args.number(gate.limit);
    }
    words(args, new);
    args.text(parent.as_ref().map_or("", |parent| parent.as_str()));
    unique(args, new.unique.as_deref());
    args.text(Fixed::of(new).encode()?);
    args.text(new.args.as_str());
    args.optional(state.as_ref().map(Payload::as_str));
    args.optional(phase.as_deref());
    match lease_to {
        Some(LeaseTo { worker, ttl }) => {
            args.text(worker.as_str());
            args.text(micros(*ttl));
            args.number(format_args!("{:032x}", ids.token().as_u128()));
        }
        None => {
            args.text("");
            args.text("0");
            args.text("");
        }
    }
    Ok(())
}

/// What a record is found by besides its name.
pub(super) fn words(args: &mut Args, new: &NewTask) {
    let schedule = new
        .schedule
        .as_ref()
        .filter(|schedule| **schedule != new.name);
    let words: Vec<String> = schedule
        .map(|schedule| format!("n:{schedule}"))
        .into_iter()
        .chain(new.tags.iter().map(|tag| format!("t:{tag}")))
        .chain(new.parent.as_ref().map(|parent| format!("p:{parent}")))
        .collect();
    args.number(words.len());
    for word in words {
        args.text(word);
    }
}

pub(super) fn unique(args: &mut Args, unique: Option<&Unique>) {
    let Some(unique) = unique else {
        args.text("");
        args.text("0");
        args.text("0");
        return;
    };
    args.text(&*unique.key);
    let (scope, time) = match unique.scope {
        UniqueScope::WhileQueued => ("0", Duration::ZERO),
        UniqueScope::WhileUnfinished => ("1", Duration::ZERO),
        UniqueScope::For(time) => ("2", time),
        UniqueScope::Forever => ("3", Duration::ZERO),
    };
    args.text(scope);
    args.text(micros(time));
}

fn settle(args: &mut Args, settlement: &Settlement) -> Result<()> {
    for payload in [&settlement.result, &settlement.state]
        .into_iter()
        .flatten()
    {
        payload.check_size("settle", PAYLOAD_LIMIT)?;
    }
    args.number(settlement.status as u8);
    args.text(due(settlement.due));
    args.flag(settlement.give_back);
    args.flag(settlement.lost);
    args.optional(settlement.end.map(super::record::outcome_text));
    let error = settlement.error.clone();
    args.optional(error.map(|error| cut_text(error, ERROR_LIMIT)));
    args.optional(settlement.error_group.as_deref());
    args.optional(settlement.phase.as_deref());
    args.optional(settlement.state.as_ref().map(Payload::as_str));
    args.optional(settlement.result.as_ref().map(Payload::as_str));
    Ok(())
}

fn patch(args: &mut Args, change: &Patch) -> Result<()> {
    for payload in [&change.args, &change.progress, &change.state]
        .into_iter()
        .flatten()
    {
        payload.check_size("patch", PAYLOAD_LIMIT)?;
    }
    if let Some(queue) = &change.queue {
        check_name("a queue name", queue)?;
    }
    args.optional(change.due.map(due));
    args.optional(change.queue.as_deref());
    args.optional(change.priority.map(|priority| priority.to_string()));
    args.optional(change.args.as_ref().map(Payload::as_str));
    args.optional(change.progress.as_ref().map(Payload::as_str));
    args.optional(change.state.as_ref().map(Payload::as_str));
    match &change.phase {
        Change::Keep => args.text(""),
        Change::Set(None) => args.text("-"),
        Change::Set(Some(phase)) => args.optional(Some(phase)),
    }
    match &change.prefer {
        Change::Keep => {
            args.text("");
            args.text("");
        }
        Change::Set(None) => {
            args.text("-");
            args.text("");
        }
        Change::Set(Some(prefer)) => {
            args.optional(Some(prefer.worker.as_str()));
            args.text(code(prefer.until));
        }
    }
    Ok(())
}

/// An event without its time and its key.
pub(super) fn event_body(kind: &str, data: &Payload) -> impl std::fmt::Display {
    format!("{:08}{kind}{}", kind.len(), data.as_str())
}

/// A mark, and the rule that it holds when it is one of a gate.
pub(super) fn mark(
    args: &mut Args,
    key: &str,
    value: &Payload,
    ttl: Option<Duration>,
    rule: Option<GateRule>,
) {
    args.text(key);
    args.text(value.as_str());
    args.optional(ttl.map(micros));
    args.optional(key.strip_prefix(GATE_MARK));
    let Some(rule) = rule else { return };
    args.optional(rule.max.map(|max| max.to_string()));
    args.optional(rule.rate.map(|rate| rate.n.to_string()));
    let per = rule.rate.map(|rate| rate.per).unwrap_or_default();
    args.text(crate::schedule::format_duration(per));
    args.text(rule.rate.map_or("0".to_owned(), |rate| {
        rate.interval().as_micros().to_string()
    }));
    args.number(rule.rate.map_or(0, crate::task::Rate::capacity));
    args.flag(rule.paused);
    args.optional(rule.reason.as_deref());
    args.optional(rule.by.as_deref());
    args.optional(rule.max_depth.map(|most| most.to_string()));
}
