//! Compares what the processes saw with what is in the file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tlo::task::AttemptEnd;
use tlo::{TaskId, TaskStateRecord, TaskStatus};

use crate::book::{Book, Held};
use crate::journal::UnderLease;
use crate::orders::{Answer, Args, SCHEDULES, value_of};

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrong {
    /// A submit was answered, and its task did not end, or is not there.
    Lost,
    /// A task failed although its handler never does for good.
    Failed,
    /// A task was given to somebody while the lease of another was live.
    Overlap,
    /// A result that is not what the run found whose lease was the last.
    FalseResult,
    /// The end of a run was taken although its lease was lost.
    StaleSettle,
    /// More than one end of a task was taken.
    TwoEnds,
    /// The history of a task has a run twice, or out of order.
    History,
    /// More runs than leases, more losses than allowed, or a task that may run once was started again.
    OverLimit,
    /// A slot was given to two tasks.
    DuplicateSlot,
    /// A slot was given to none.
    MissingSlot,
    /// Two tasks had a unique key at the same time.
    DuplicateKey,
    /// Two tasks were in an exclusive gate at the same time.
    GatePassed,
    /// Of tasks that were submitted in one write some are there.
    HalfBatch,
    /// A task that nobody submitted.
    Unknown,
    /// Something of a lease is left although no task runs.
    LeakedLease,
    LeakedGate,
    LeakedKey,
    /// A count of the store is not what is there.
    Miscounted,
    /// The store finds its file damaged.
    Damaged,
}

/// Something that must not be, and where it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) what: Wrong,
    pub(crate) seen: String,
}

impl Violation {
    pub(crate) fn new(what: Wrong, seen: impl std::fmt::Display) -> Self {
        let seen = seen.to_string();
        Self { what, seen }
    }
}

/// What is in the file after everything has ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filed {
    pub(crate) records: Vec<TaskStateRecord>,
    /// Ended tasks were removed on the way: then a run that came to an answer stands for the record of its task.
    pub(crate) is_thinned: bool,
}

/// All that is wrong.
pub(crate) fn check(book: &Book, filed: &Filed) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let by_id: BTreeMap<&TaskId, &TaskStateRecord> = filed
        .records
        .iter()
        .map(|record| (&record.id, record))
        .collect();
    submits(book, filed, &by_id, &mut wrong);
    for record in &filed.records {
        ended_well(book, record, &mut wrong);
        within_limits(book, record, &mut wrong);
    }
    for (id, leases) in &book.leases {
        leases_in_turn(id, leases, &mut wrong);
    }
    slots(filed, &mut wrong);
    keys(&filed.records, &mut wrong);
    gates(book, &by_id, &mut wrong);
    wrong
}

fn submits(
    book: &Book,
    filed: &Filed,
    by_id: &BTreeMap<&TaskId, &TaskStateRecord>,
    wrong: &mut Vec<Violation>,
) {
    let mut note = |what, seen: String| wrong.push(Violation::new(what, seen));
    for id in &book.acknowledged {
        match by_id.get(id) {
            Some(record) if record.status.is_terminal() => {}
            Some(record) => note(Wrong::Lost, format!("{id} is {}", record.status)),
            None if filed.is_thinned && has_ended(book, id) => {}
            None => note(Wrong::Lost, format!("{id} is not there")),
        }
    }
    for ids in &book.tried {
        let there =
            |id: &&TaskId| by_id.contains_key(id) || (filed.is_thinned && has_ended(book, id));
        let count = ids.iter().filter(there).count();
        if count != 0 && count != ids.len() {
            note(Wrong::HalfBatch, format!("{count} of {ids:?}"));
        }
    }
    let tried: BTreeSet<&TaskId> = book.tried.iter().flatten().collect();
    for record in &filed.records {
        if record.schedule.is_none() && !tried.contains(&record.id) {
            note(Wrong::Unknown, record.id.to_string());
        }
    }
}

/// Whether the journal says that the task came to an end. One that is started at most once also ends when its lease does.
fn has_ended(book: &Book, id: &TaskId) -> bool {
    let is_once = book.at_most_once.contains(id);
    let leases = book.leases.get(id);
    leases.is_some_and(|leases| leases.values().any(|held| is_once || held.ended.is_some()))
}

/// The result is that of the run with the last lease, which found the right one.
fn ended_well(book: &Book, record: &TaskStateRecord, wrong: &mut Vec<Violation>) {
    let id = &record.id;
    let mut note = |what, seen: String| wrong.push(Violation::new(what, format!("{id}: {seen}")));
    let leases = book.leases.get(id);
    match record.status {
        TaskStatus::Succeeded => {
            let answer = record
                .result
                .as_ref()
                .and_then(|r| r.decode::<Answer>().ok());
            let expected = record
                .args
                .decode::<Args>()
                .ok()
                .map(|args| value_of(args.n));
            let Some(answer) = answer else {
                return note(Wrong::FalseResult, format!("{:?}", record.result));
            };
            if answer.fence != record.fence {
                let fence = record.fence;
                note(
                    Wrong::StaleSettle,
                    format!("{answer:?} under fence {fence}"),
                );
            }
            let run = leases.and_then(|leases| leases.get(&answer.fence));
            let found = run.and_then(|held| held.ended?.1);
            if found != Some(answer.value) || expected != Some(answer.value) {
                let seen = format!("{answer:?}, the run found {found:?}, right is {expected:?}");
                note(Wrong::FalseResult, seen);
            }
        }
        TaskStatus::Failed => {
            let lost_too_often = record.lost >= record.max_lost.max(1);
            if !lost_too_often {
                note(Wrong::Failed, format!("{:?}", record.error));
            }
        }
        _ => {}
    }
    let runs = leases.into_iter().flatten();
    for (fence, held) in runs {
        let is_lost = record
            .attempts
            .iter()
            .any(|attempt| attempt.attempt == held.attempt && attempt.outcome == AttemptEnd::Lost);
        if is_lost && held.settled.is_some() {
            note(
                Wrong::StaleSettle,
                format!("fence {fence} was lost and settled"),
            );
        }
    }
}

fn within_limits(book: &Book, record: &TaskStateRecord, wrong: &mut Vec<Violation>) {
    let id = &record.id;
    let mut note = |what, seen: String| wrong.push(Violation::new(what, format!("{id}: {seen}")));
    let leases = book.leases.get(id);
    let started = leases.map_or(0, |leases| {
        leases
            .values()
            .filter(|held| held.started.is_some())
            .count()
    });
    let allowed = if record.max_lost == 0 {
        1
    } else {
        record.leases
    };
    if started as u64 > allowed {
        note(
            Wrong::OverLimit,
            format!("{started} starts, {allowed} allowed"),
        );
    }
    if record.lost > record.max_lost.max(1)
        || record.attempt > u32::try_from(record.leases).unwrap()
    {
        let (lost, attempt, leases) = (record.lost, record.attempt, record.leases);
        note(
            Wrong::OverLimit,
            format!("{lost} lost, attempt {attempt}, {leases} leases"),
        );
    }
    let numbers: Vec<u32> = record
        .attempts
        .iter()
        .map(|attempt| attempt.attempt)
        .collect();
    if numbers.windows(2).any(|pair| pair[0] >= pair[1]) {
        note(Wrong::History, format!("runs {numbers:?}"));
    }
}

/// Each lease of a task begins when the one before it is over, and what settles is the last.
fn leases_in_turn(id: &TaskId, leases: &BTreeMap<u64, Held>, wrong: &mut Vec<Violation>) {
    let mut note = |what, seen: String| wrong.push(Violation::new(what, format!("{id}: {seen}")));
    let held: Vec<_> = leases.iter().collect();
    for pair in held.windows(2) {
        let ((first, before), (second, after)) = (pair[0], pair[1]);
        let free = before.free_from(false);
        if after.granted < free {
            let early = free - after.granted;
            let seen = format!("fence {second} was given {early} µs before {first} was over");
            note(Wrong::Overlap, seen);
        }
        if before.settled.is_some_and(TaskStatus::is_terminal) {
            note(
                Wrong::StaleSettle,
                format!("fence {first} ended it before {second}"),
            );
        }
        if before.settled.is_some() && before.refused.contains(&UnderLease::Settle) {
            note(
                Wrong::TwoEnds,
                format!("fence {first} was settled and refused"),
            );
        }
    }
    let ends = leases
        .values()
        .filter(|held| held.settled.is_some_and(TaskStatus::is_terminal));
    if ends.count() > 1 {
        note(Wrong::TwoEnds, "more than one end was taken".to_owned());
    }
}

/// Each slot from the first to the last has one task.
fn slots(filed: &Filed, wrong: &mut Vec<Violation>) {
    for (name, period) in SCHEDULES {
        let mut slots: Vec<i64> = filed
            .records
            .iter()
            .filter(|record| record.schedule.as_deref() == Some(name))
            .filter_map(|record| Some(record.slot?.as_micros()))
            .collect();
        slots.sort_unstable();
        let period = i64::try_from(period.as_micros()).unwrap();
        for pair in slots.windows(2) {
            let gap = pair[1] - pair[0];
            let what = match gap {
                _ if gap == period => continue,
                0 => Wrong::DuplicateSlot,
                _ if gap % period != 0 => Wrong::DuplicateSlot,
                _ if filed.is_thinned => continue,
                _ => Wrong::MissingSlot,
            };
            let seen = format!("{name}: {gap} µs from {} to {}", pair[0], pair[1]);
            wrong.push(Violation::new(what, seen));
        }
    }
}

/// Of the owners of a key, each came when the one before it had ended.
fn keys(records: &[TaskStateRecord], wrong: &mut Vec<Violation>) {
    let mut owners: BTreeMap<&str, Vec<&TaskStateRecord>> = BTreeMap::new();
    for record in records {
        if let Some(unique) = &record.unique {
            owners.entry(&unique.key).or_default().push(record);
        }
    }
    for (key, mut owners) in owners {
        owners.sort_by_key(|record| record.seq);
        for pair in owners.windows(2) {
            let is_free = pair[0]
                .finished_at
                .is_some_and(|end| end <= pair[1].created_at);
            if !is_free {
                let seen = format!("{key}: {} and {}", pair[0].id, pair[1].id);
                wrong.push(Violation::new(Wrong::DuplicateKey, seen));
            }
        }
    }
}

/// Of the leases of tasks in one exclusive gate, each was given when the one before it was over.
fn gates(book: &Book, by_id: &BTreeMap<&TaskId, &TaskStateRecord>, wrong: &mut Vec<Violation>) {
    let mut inside: BTreeMap<&str, Vec<(&TaskId, &Held, u64)>> = BTreeMap::new();
    for (id, leases) in &book.leases {
        let Some(record) = by_id.get(id) else {
            continue;
        };
        let last = leases.keys().last();
        for gate in record.gates.iter().filter(|gate| gate.limit == 1) {
            let held = leases.iter().map(|(fence, held)| {
                let is_last = last == Some(fence) && *fence == record.fence;
                (id, held, held.free_from(is_last))
            });
            inside.entry(&gate.key).or_default().extend(held);
        }
    }
    for (key, mut inside) in inside {
        inside.sort_by_key(|(_, held, _)| held.granted);
        for pair in inside.windows(2) {
            let ((first, _, free), (second, after, _)) = (pair[0], pair[1]);
            if first != second && after.granted < free {
                let early = free - after.granted;
                let seen = format!("{key}: {second} came {early} µs before {first} was out");
                wrong.push(Violation::new(Wrong::GatePassed, seen));
            }
        }
    }
}

/// How long it took, after each kill, until the tasks that the process ran were taken back. What was stopped before is left
/// out: its leases had begun to run out earlier.
pub(crate) fn recoveries(book: &Book, records: &[TaskStateRecord]) -> Vec<Duration> {
    let killed: BTreeMap<u32, i64> = book
        .kills
        .iter()
        .filter(|kill| !book.stopped.contains(&kill.who))
        .map(|kill| (kill.who, kill.wall))
        .collect();
    let mut took = Vec::new();
    for record in records {
        let leases = book.leases.get(&record.id).into_iter().flatten();
        for (_, held) in leases.filter(|(_, held)| held.settled.is_none()) {
            let Some(killed) = killed.get(&held.who) else {
                continue;
            };
            let lost = record.attempts.iter().find(|attempt| {
                attempt.attempt == held.attempt && attempt.outcome == AttemptEnd::Lost
            });
            if let Some(lost) = lost {
                let micros = lost.finished_at.as_micros() - killed;
                took.push(Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
            }
        }
    }
    took.sort_unstable();
    took
}
