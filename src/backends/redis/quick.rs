//! The commits that nearly all are, in few arguments: plain tasks are made, and a run that its lease still holds
//! succeeds (`lua/quick_commit.lua`). What is anything else goes the general way.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::args::Args;
use super::encode::{Encoded, Form};
use super::record::Fixed;
use super::stored::{BIG, fresh, put_part};
use super::times::due;
use crate::id::TaskId;
use crate::payload::Payload;
use crate::store::{Commit, Create, Guard, Op};
use crate::task::{
    AttemptEnd, Due, LeaseRef, NewTask, OnConflict, Settlement, TaskDetails, TaskStatus,
};

/// The short form of a commit that has one.
pub(super) fn commit(commit: &Commit) -> Option<Encoded> {
    match (&commit.guards[..], &commit.ops[..]) {
        ([], [Op::Create(new)]) => Some(encoded(&new.task.id, create(new)?, Form::Create)),
        ([], [Op::Create(_), ..]) => creates(&commit.ops),
        ([Guard::Held(held, lease)], [Op::Settle(id, settlement)]) if held == id => {
            settle(id, *lease, settlement)
        }
        _ => None,
    }
}

fn encoded(id: &TaskId, args: Args, form: Form) -> Encoded {
    let mut ids = Args::default();
    ids.text(id.as_str());
    Encoded {
        ids,
        args,
        wrong: None,
        form,
    }
}

/// All or none: the script looks for each before it makes the first.
fn creates(ops: &[Op]) -> Option<Encoded> {
    let mut ids = Args::default();
    let mut args = Args::default();
    args.number(format_args!("*{}", ops.len()));
    let mut seen = HashSet::with_capacity_and_hasher(ops.len(), RandomState::default());
    for op in ops {
        let Op::Create(new) = op else {
            return None;
        };
        if !seen.insert(new.task.id.as_str()) {
            return None;
        }
        args.append(&create(new)?);
        ids.text(new.task.id.as_str());
    }
    Some(Encoded {
        ids,
        args,
        wrong: None,
        form: Form::Create,
    })
}

fn create(create: &Create) -> Option<Args> {
    let Create {
        task: new,
        lease_to,
    } = create;
    if lease_to.is_some() || !is_plain(new) || new.check().is_err() {
        return None;
    }
    let TaskDetails {
        version,
        phase,
        state,
        ..
    } = &*new.details;
    let fixed = Fixed::of(new).encode().ok()?;
    let state = state.as_ref().map(|state| state.as_str().as_bytes());
    let parts = [
        (b'i', Some(&fixed[..])),
        (b'a', Some(new.args.as_str().as_bytes())),
        (b's', state),
        (b'p', phase.as_ref().map(String::as_bytes)),
    ];
    let mut framed = Vec::with_capacity(fixed.len() + new.args.as_str().len() + 32);
    for (letter, text) in parts {
        let Some(text) = text else { continue };
        if text.len() > BIG {
            return None;
        }
        put_part(&mut framed, letter, text);
    }
    let version = version.as_deref().unwrap_or_default();
    let names = format!("{}\0{}\0{version}\0", new.queue, new.name);
    let how = match new.on_conflict {
        OnConflict::Fail => 'n',
        // Without a key nothing else is in its way than a task of its id, which stays.
        OnConflict::Existing | OnConflict::Replace | OnConflict::Debounce(_) => 'N',
    };
    let mut args = Args::default();
    args.number(format_args!(
        "{how}{:03}{}",
        255 - new.priority,
        due(new.due)
    ));
    args.text(&names);
    args.text(fresh(new.id.as_str(), &names, &framed)?);
    Some(args)
}

/// Nothing that a script must look at when it claims, settles or lists the task.
fn is_plain(new: &NewTask) -> bool {
    let details = &*new.details;
    let schedule = new.schedule.as_ref();
    details.gates.is_empty()
        && details.tags.is_empty()
        && details.parent.is_none()
        && new.unique.is_none()
        && new.expires.is_none()
        && schedule.is_none_or(|schedule| *schedule == new.name)
}

fn settle(id: &TaskId, lease: LeaseRef, settlement: &Settlement) -> Option<Encoded> {
    let is_plain = settlement.status == TaskStatus::Succeeded
        && settlement.end == Some(AttemptEnd::Succeeded)
        && settlement.due == Due::Now
        && !settlement.give_back
        && !settlement.lost
        && settlement.error.is_none()
        && settlement.error_group.is_none()
        && settlement.phase.is_none()
        && settlement.state.is_none();
    let result = settlement.result.as_ref().map(Payload::as_str);
    if !is_plain || result.is_some_and(|result| result.len() > BIG) {
        return None;
    }
    let mut how = vec![b'F'];
    if let Some(result) = result {
        put_part(&mut how, b'r', result.as_bytes());
    }
    let mut args = Args::default();
    args.text(how);
    let mut held = lease.fence.to_be_bytes().to_vec();
    held.extend_from_slice(format!("{:032x}", lease.token.as_u128()).as_bytes());
    args.text(held);
    Some(encoded(id, args, Form::Settle))
}
