//! From steps to calls: which task the n-th one of a sort is now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tlo::store::{
    Change, ClaimRequest, Commit, Create, GATE_MARK, Guard, Lanes, LeaseTo, MarkExpect, NewEvent,
    Op, Patch, StreamId, TaskFilter,
};
use tlo::task::{
    Ended, Gate, LeaseRef, NewTask, Outcome, Prefer, Settlement, TaskKind, Unique, decide,
};
use tlo::{LeaseToken, Payload, RetryPolicy, TaskError, TaskId, TaskStateRecord, WorkerId};

use crate::model::Model;
use crate::step::{
    Act, Changes, Claim, End, Extra, Filter, GATES, New, Owner, Pick, Piece, QUEUES, Rule, Shows,
    Sort,
};

pub(crate) fn name(n: u8) -> &'static str {
    ["a", "b", "other"][usize::from(n)]
}

pub(crate) fn queue(n: u8) -> &'static str {
    ["q0", "q1"][usize::from(n)]
}

fn gate(n: u8) -> String {
    match n {
        n if n < GATES => format!("g{n}"),
        n if n < GATES + QUEUES => format!("queue/{}", queue(n - GATES)),
        n => format!("task/{}", name(n - GATES - QUEUES)),
    }
}

fn schedule(n: u8) -> &'static str {
    // One is also the name of tasks: what is found by either must not mix.
    ["a", "s1"][usize::from(n)]
}

fn worker(n: u8) -> WorkerId {
    WorkerId::new(format!("w{n}")).unwrap()
}

/// Every mark that rules are put under.
pub(crate) fn rule_marks() -> Vec<String> {
    let all = GATES + QUEUES + crate::step::NAMES;
    (0..all)
        .map(|n| format!("{GATE_MARK}{}", gate(n)))
        .collect()
}

/// Turns steps into calls; the ids of new tasks count up.
#[derive(Debug, Default)]
pub(crate) struct Script {
    made: u32,
    written: u32,
}

impl Script {
    /// A commit; `first` says that nothing is written before it in the same call.
    pub(crate) fn commit(&mut self, model: &Model, piece: &Piece, first: bool) -> Commit {
        let guards = piece.guards.iter();
        let mut commit = Commit {
            guards: guards.map(|guard| extra(model, guard, first)).collect(),
            ops: Vec::new(),
        };
        for act in &piece.ops {
            let (guard, op) = self.op(model, act);
            commit.guards.extend(guard);
            commit.ops.push(op);
        }
        commit
    }

    /// Something to write that was not written before.
    fn payload(&mut self) -> Payload {
        self.written += 1;
        Payload::parse(format!("{{\"n\": {}}}", self.written)).unwrap()
    }

    fn op(&mut self, model: &Model, act: &Act) -> (Option<Guard>, Op) {
        let plain = |op| (None, op);
        match act {
            Act::Create(new) => plain(Op::Create(Box::new(self.create(model, new)))),
            Act::Settle(pick, shows, end) => {
                let id = chosen(model, *pick);
                let settlement = match model.task(&id) {
                    Some(record) => self.settlement(model, record, *end),
                    None => Settlement::release(),
                };
                (
                    shown(model, &id, *shows),
                    Op::Settle(id, Box::new(settlement)),
                )
            }
            Act::Extend(pick, shows, ttl) => {
                let id = chosen(model, *pick);
                let ttl = Duration::from_secs(*ttl);
                (shown(model, &id, *shows), Op::Extend(id, ttl))
            }
            Act::Patch(pick, shows, changes) => {
                let id = chosen(model, *pick);
                let patch = self.patch(model, changes);
                (shown(model, &id, *shows), Op::Patch(id, Box::new(patch)))
            }
            Act::Cancel(pick) => {
                self.written += 1;
                let why = format!("reason {}", self.written);
                plain(Op::Cancel(chosen(model, *pick), why))
            }
            Act::Revive(pick, when) => plain(Op::Revive(chosen(model, *pick), when.due(model.now))),
            Act::Wake(pick) => plain(Op::Wake(chosen(model, *pick))),
            Act::Delete(pick) => plain(Op::Delete(chosen(model, *pick))),
            Act::Append(owner, keys) => {
                let events = keys.iter().map(|key| NewEvent {
                    kind: "k".to_owned(),
                    key: key.map(|key| format!("key{key}")),
                    data: self.payload(),
                });
                let events = events.collect();
                plain(Op::Append(stream(model, *owner), events))
            }
            Act::Trim(owner, before) => plain(Op::Trim(stream(model, *owner), *before)),
            Act::PutMark(key, ttl) => plain(Op::PutMark {
                key: mark(*key).into(),
                value: self.payload(),
                ttl: ttl.map(Duration::from_secs),
            }),
            Act::DropMark(key) => plain(Op::DropMark(mark(*key).into())),
            Act::PutRule(rule) => plain(Op::PutMark {
                key: format!("{GATE_MARK}{}", gate(rule.gate)).into(),
                value: rule_text(rule),
                ttl: rule.ttl.map(Duration::from_secs),
            }),
            Act::DropRule(n) => plain(Op::DropMark(format!("{GATE_MARK}{}", gate(*n)).into())),
        }
    }

    fn create(&mut self, model: &Model, new: &New) -> Create {
        let id = match new.again {
            Some(pick) => chosen(model, pick),
            None => {
                self.made += 1;
                TaskId::new(format!("t{}", self.made)).unwrap()
            }
        };
        let mut task = NewTask::new(id, name(new.name), self.payload());
        task.version = new.version.map(version);
        task.queue = queue(new.queue).into();
        task.priority = new.priority;
        task.due = new.due.due(model.now);
        task.expires = new.expires.map(|when| when.due(model.now));
        task.unique = new.unique.map(|(key, scope)| {
            let (key, until) = (format!("u{key}").into(), None);
            Arc::new(Unique { key, scope, until })
        });
        task.on_conflict = new.on_conflict;
        task.gates = new
            .gates
            .iter()
            .map(|(key, limit)| Gate {
                key: gate(*key),
                limit: *limit,
            })
            .collect();
        (task.max_attempts, task.max_lost) = new.attempts;
        task.retry = RetryPolicy::fixed(Duration::from_secs(5));
        task.tags = new.tag.iter().map(|n| format!("tag{n}")).collect();
        if let Some(n) = new.schedule {
            task.kind = TaskKind::Occurrence;
            task.schedule = Some(schedule(n).into());
            task.slot = Some(model.now);
        }
        task.parent = new.parent.map(|pick| chosen(model, pick));
        let lease_to = new.lease_to.map(|n| LeaseTo {
            worker: worker(n),
            ttl: Duration::from_secs(20),
        });
        Create { task, lease_to }
    }

    fn settlement(&mut self, model: &Model, record: &TaskStateRecord, end: End) -> Settlement {
        self.written += 1;
        let why = format!("no {} of \"{}\"", self.written, record.name);
        let error = |error: TaskError| Ended::Returned(Outcome::Error(error));
        let ended = match end {
            End::Success => Ended::Returned(Outcome::Success(self.payload())),
            End::Retry => error(TaskError::retry(why)),
            End::RetryAfter(wait) => error(TaskError::retry_after(Duration::from_secs(wait), why)),
            End::Fail => error(TaskError::fail(why)),
            End::Cancel => error(TaskError::cancel(why)),
            End::Snooze(wait) => error(TaskError::snooze(Duration::from_secs(wait))),
            End::SnoozeUntil(ahead) => {
                let at = match crate::step::When::At(ahead).due(model.now) {
                    tlo::task::Due::At(at) => at,
                    _ => model.now,
                };
                error(TaskError::snooze_until(at))
            }
            End::Panic => Ended::Panicked(why),
            End::TimedOut => Ended::TimedOut,
            End::Undecodable => Ended::Undecodable(why),
            End::Unserializable => Ended::Unserializable(why),
            End::Aborted => Ended::Aborted(why),
            End::Released => Ended::Released,
            End::Lost => Ended::Lost,
            End::Turn(wait) => {
                let due = tlo::task::Due::In(Duration::from_secs(wait));
                let mut turn = Settlement::snooze(due);
                turn.phase = Some(format!("phase {wait}"));
                turn.state = Some(self.payload());
                return turn;
            }
            End::Senseless => {
                let mut senseless = Settlement::release();
                senseless.status = tlo::TaskStatus::Running;
                return senseless;
            }
        };
        decide(ended, record, 0.0)
    }

    fn patch(&mut self, model: &Model, changes: &Changes) -> Patch {
        Patch {
            due: changes.due.map(|when| when.due(model.now)),
            queue: changes.queue.map(|n| queue(n).to_owned()),
            priority: changes.priority,
            args: changes.args.then(|| self.payload()),
            progress: changes.progress.then(|| self.payload()),
            state: changes.state.then(|| self.payload()),
            phase: match changes.phase {
                Some(some) => Change::Set(some.then(|| "patched".to_owned())),
                None => Change::Keep,
            },
            prefer: match changes.prefer {
                Some(prefer) => Change::Set(prefer.map(|(n, ahead)| Prefer {
                    worker: worker(n),
                    until: match crate::step::When::At(ahead).due(model.now) {
                        tlo::task::Due::At(at) => at,
                        _ => model.now,
                    },
                })),
                None => Change::Keep,
            },
        }
    }
}

fn version(n: u8) -> Arc<str> {
    format!("v{n}").into()
}

fn mark(n: u8) -> String {
    // One starts like another, and one like the rules.
    ["m", "m/1", "gat"][usize::from(n)].to_owned()
}

fn rule_text(rule: &Rule) -> Payload {
    let mut fields = serde_json::Map::new();
    if let Some(max) = rule.max {
        fields.insert("max".to_owned(), max.into());
    }
    if let Some((n, per, burst)) = rule.rate {
        let rate = serde_json::json!({"n": n, "per": format!("{per}s"), "burst": burst});
        fields.insert("rate".to_owned(), rate);
    }
    if rule.paused {
        fields.insert("paused".to_owned(), true.into());
    }
    if let Some(depth) = rule.max_depth {
        fields.insert("max_depth".to_owned(), depth.into());
    }
    if rule.nonsense {
        fields.insert("nonsense".to_owned(), 1.into());
    }
    serde_json::Value::Object(fields).into()
}

/// The task that is meant now.
pub(crate) fn chosen(model: &Model, Pick(sort, n): Pick) -> TaskId {
    let is_of = |record: &&TaskStateRecord| match sort {
        Sort::Any => true,
        Sort::Pending => record.status == tlo::TaskStatus::Pending,
        Sort::Parked => record.parked.is_some(),
        Sort::Running => record.status == tlo::TaskStatus::Running,
        Sort::Ended => record.status.is_terminal(),
        Sort::Unknown => false,
    };
    let mut found: Vec<_> = model.tasks.iter().filter(is_of).collect();
    if found.is_empty() && sort != Sort::Unknown {
        found = model.tasks.iter().collect();
    }
    match found.len() {
        0 => TaskId::new("nobody").unwrap(),
        count => found[usize::from(n) % count].id.clone(),
    }
}

pub(crate) fn stream(model: &Model, owner: Owner) -> StreamId {
    match owner {
        Owner::Task(pick) => StreamId::new(chosen(model, pick).as_str(), "log").unwrap(),
        Owner::Sys => StreamId::new("sys", "audit").unwrap(),
    }
}

/// The guard that a writer with this right puts before its operation.
fn shown(model: &Model, id: &TaskId, shows: Shows) -> Option<Guard> {
    let record = model.task(id);
    let fence = record.map_or(1, |record| record.fence);
    let token = record.and_then(|record| match &record.lease {
        Some(lease) => Some(lease.token),
        None => record.token,
    });
    let other = LeaseToken::from_u128(7);
    let token = token.unwrap_or(other);
    match shows {
        Shows::Lease => Some(Guard::Held(id.clone(), LeaseRef { fence, token })),
        Shows::Forged => Some(Guard::Held(
            id.clone(),
            LeaseRef {
                fence,
                token: other,
            },
        )),
        Shows::OldLease => {
            let mut old = model.leases.iter().filter(|(owner, _)| owner == id);
            let lease = old.next().map_or(
                LeaseRef {
                    fence,
                    token: other,
                },
                |(_, lease)| *lease,
            );
            Some(Guard::Held(id.clone(), lease))
        }
        Shows::Ended => Some(Guard::Expired(id.clone(), fence)),
        Shows::EndedOther => Some(Guard::Expired(id.clone(), fence + 1)),
        Shows::Nothing => None,
    }
}

fn extra(model: &Model, extra: &Extra, first: bool) -> Guard {
    match extra {
        Extra::Absent(pick) => Guard::Absent(chosen(model, *pick)),
        Extra::Open(pick) => Guard::Open(chosen(model, *pick)),
        Extra::Revision(pick, now) => {
            let id = chosen(model, *pick);
            // How often a task was parked and brought back by what is written before is not foreseen.
            let known = model
                .task(&id)
                .filter(|record| first || record.gates.is_empty());
            let revision = known.map_or(1, |record| record.revision);
            Guard::Revision(id, revision - u64::from(!now || known.is_none()))
        }
        Extra::Length(owner, now) => {
            let stream = stream(model, *owner);
            let length = model.length(&stream);
            Guard::Length(stream, length + u64::from(!now))
        }
        Extra::Mark(key, expected) => {
            let key = mark(*key);
            let version = model.mark(&key).map(|mark| mark.version);
            let expected = match (expected, version) {
                (None, _) | (Some(_), None) => MarkExpect::Absent,
                (Some(true), Some(version)) => MarkExpect::Version(version),
                (Some(false), Some(version)) => MarkExpect::Version(version - 1),
            };
            Guard::Mark(key.into(), expected)
        }
    }
}

pub(crate) fn request(claim: &Claim) -> ClaimRequest {
    let mut names: std::collections::BTreeSet<_> = claim
        .names
        .iter()
        .map(|(n, wanted)| (Arc::from(name(*n)), wanted.map(version)))
        .collect();
    if claim.crowd {
        names.extend((0..40).map(|n| (Arc::from(format!("other{n}")), None)));
    }
    let aliases = claim
        .alias
        .iter()
        .map(|(from, to)| (Arc::from(name(*from)), Arc::from(name(*to))));
    ClaimRequest {
        worker: worker(claim.worker),
        lanes: Lanes {
            queues: claim.queues.iter().map(|n| Arc::from(queue(*n))).collect(),
            names: Arc::new(names),
            aliases: Arc::new(aliases.collect::<BTreeMap<_, _>>()),
        },
        limit: claim.limit,
        ttl: Duration::from_secs(claim.ttl),
    }
}

pub(crate) fn filter(model: &Model, filter: &Filter) -> TaskFilter {
    let at = |ahead: i64| match crate::step::When::At(ahead).due(model.now) {
        tlo::task::Due::At(at) => at,
        _ => model.now,
    };
    let group = model
        .tasks
        .iter()
        .rev()
        .find_map(|record| record.error_group.clone());
    TaskFilter {
        status: filter.status.clone(),
        kind: None,
        name: filter.name.map(|n| name(n).to_owned()),
        queue: filter.queue.map(|n| queue(n).to_owned()),
        tag: filter.tag.map(|n| format!("tag{n}")),
        parent: filter.parent.map(|pick| chosen(model, pick)),
        schedule: filter.schedule.map(|n| schedule(n).to_owned()),
        error_group: group.filter(|_| filter.group),
        worker: filter.worker.map(worker),
        lease_expired: filter.expired,
        created_from: filter.window.map(|(from, _)| at(from)),
        created_before: filter.window.map(|(_, before)| at(before)),
        id_prefix: filter.id_prefix.map(|n| format!("t{n}")),
    }
}
