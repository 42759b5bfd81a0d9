//! Gates: who holds a place, who is parked, and what opens again.

use std::collections::HashMap;
use std::time::Duration;

use super::keys::{self, Word};
use super::table::{Source, Table};
use super::{index, marks};
use crate::error::Result;
use crate::id::TaskId;
use crate::store::{GATE_MARK, Hint};
use crate::task::{GateRule, Rate, TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// How many parked records one opening looks at, as long as it brings one of them back.
const REOPEN_LIMIT: usize = 64;

/// How many times as many it looks at when it brings none back: with limits of their own, those in front may all be
/// narrower than one behind them.
const REOPEN_PAGES: usize = 8;

/// Whether a gate lets a task through now.
pub(super) enum Verdict {
    Open,
    Closed {
        reason: String,
        /// When it opens by itself.
        opens_at: Option<Timestamp>,
    },
}

/// The rules of gates, each read once in a claim.
#[derive(Default)]
pub(super) struct Rules(HashMap<String, Option<GateRule>>);

impl Rules {
    pub(super) fn of(&mut self, table: &mut dyn Table, key: &str) -> Result<Option<GateRule>> {
        if let Some(rule) = self.0.get(key) {
            return Ok(rule.clone());
        }
        let rule = rule(table, key)?;
        if let Some(rate) = rule.as_ref().and_then(|rule| rule.rate) {
            trim_bucket(table, key, rate)?;
        }
        self.0.insert(key.to_owned(), rule.clone());
        Ok(rule)
    }
}

/// What an operator set for a gate.
pub(super) fn rule(table: &dyn Source, key: &str) -> Result<Option<GateRule>> {
    match marks::get(table, &format!("{GATE_MARK}{key}"))? {
        // A rule that cannot be read must not close a gate for ever, nor stop the queue: it counts as absent.
        Some(mark) => Ok(mark
            .value
            .decode()
            .inspect_err(
                |error| tracing::warn!(gate = key, %error, "the rule of a gate cannot be read"),
            )
            .ok()),
        None => Ok(None),
    }
}

/// The gates that every record has by its queue and its name, with whether it is that of the queue. `stands_for` is the
/// name of a task whose older name the record has: what is ruled of the task holds for it too.
pub(super) fn implied(
    record: &TaskStateRecord,
    stands_for: Option<&str>,
) -> impl Iterator<Item = (String, bool)> {
    let keys = [
        Some((format!("queue/{}", record.queue), true)),
        Some((format!("task/{}", record.name), false)),
        stands_for.map(|name| (format!("task/{name}"), false)),
    ];
    keys.into_iter().flatten()
}

/// Whether the gate lets one more through; `limit` is what the task itself asks for, if anything.
pub(super) fn check(
    table: &dyn Source,
    key: &str,
    limit: Option<u32>,
    rule: Option<&GateRule>,
) -> Result<Verdict> {
    let gate = keys::gate_word(key);
    if let Some(rule) = rule.filter(|rule| rule.paused) {
        let why = rule.reason.as_deref().unwrap_or("no reason given");
        let by = rule.by.as_ref().map(|by| format!(" by {by}"));
        return Ok(Verdict::Closed {
            reason: format!("paused{}: {why}", by.unwrap_or_default()),
            opens_at: None,
        });
    }
    if let Some(max) = rule.and_then(|rule| rule.max).or(limit) {
        let held = holders(table, gate, max)?;
        if held >= max {
            return Ok(Verdict::Closed {
                reason: format!("{held} of {max} places are taken"),
                opens_at: None,
            });
        }
    }
    if let Some(rate) = rule.and_then(|rule| rule.rate) {
        let now = table.moment().now;
        let opens_at = next_token(table, gate, rate)?;
        if opens_at > now {
            let per = crate::schedule::format_duration(rate.per);
            return Ok(Verdict::Closed {
                reason: format!("rate of {} per {per} is used up", rate.n),
                opens_at: Some(opens_at),
            });
        }
    }
    Ok(Verdict::Open)
}

/// Takes a place in a gate that was checked.
pub(super) fn enter(
    table: &mut dyn Table,
    key: &str,
    id: &TaskId,
    rule: Option<&GateRule>,
) -> Result<()> {
    let gate = keys::gate_word(key);
    table.put(keys::holder(gate, id), key.as_bytes().to_vec())?;
    if let Some(rate) = rule.and_then(|rule| rule.rate) {
        // The bucket is one number: the time at which it would be empty (the generic cell rate algorithm).
        let now = table.moment().now;
        let empty_at = bucket(table, gate)?
            .map_or(now, |at| at.max(now))
            .saturating_add(rate.interval());
        put_bucket(table, gate, empty_at)?;
    }
    Ok(())
}

/// Gives up all places of a record whose lease ended.
pub(super) fn exit(table: &mut dyn Table, record: &TaskStateRecord) -> Result<()> {
    for key in &record.holds {
        table.delete(&keys::holder(keys::gate_word(key), &record.id))?;
    }
    for key in &record.holds {
        reopen(table, key)?;
        // Behind the gate of a queue or a name nothing is parked: who waits there is told to look again.
        if key.starts_with("queue/") {
            table.hint(Hint::Ready(std::sync::Arc::clone(&record.queue)));
        } else if key.starts_with("task/") {
            table.hint(Hint::Unknown);
        }
    }
    Ok(())
}

pub(super) fn holders(table: &dyn Source, gate: Word, at_most: u32) -> Result<u32> {
    let prefix = keys::holders(gate);
    let limit = usize::try_from(at_most).unwrap_or(usize::MAX);
    let held = table
        .range(&prefix, &keys::after(&prefix), limit, false)?
        .len();
    Ok(u32::try_from(held).unwrap_or(u32::MAX))
}

fn bucket(table: &dyn Source, gate: Word) -> Result<Option<Timestamp>> {
    let bytes = table.get(&keys::bucket(gate))?;
    Ok(bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map(|bytes| Timestamp::from_micros(i64::from_be_bytes(bytes))))
}

/// The time worth of starts that a rate allows at once.
fn full(rate: Rate) -> Duration {
    rate.interval().saturating_mul(rate.capacity())
}

/// Never is more used up than there is: a rule that allowed less, or a wall clock that was set back, would keep the gate
/// shut for longer than this rate ever does.
fn trim_bucket(table: &mut dyn Table, key: &str, rate: Rate) -> Result<()> {
    let gate = keys::gate_word(key);
    let most = table.moment().now.saturating_add(full(rate));
    if bucket(table, gate)?.is_some_and(|empty_at| empty_at > most) {
        put_bucket(table, gate, most)?;
    }
    Ok(())
}

fn put_bucket(table: &mut dyn Table, gate: Word, empty_at: Timestamp) -> Result<()> {
    let value = empty_at.as_micros().to_be_bytes().to_vec();
    table.put(keys::bucket(gate), value)
}

/// A rule was set, changed or dropped: its gate may be open now.
pub(super) fn rule_changed(table: &mut dyn Table, key: &str) -> Result<()> {
    if let Some(rate) = rule(table, key)?.and_then(|rule| rule.rate) {
        trim_bucket(table, key, rate)?;
    }
    reopen(table, key)?;
    table.hint(Hint::Unknown);
    Ok(())
}

/// When the next start is allowed.
fn next_token(table: &dyn Source, gate: Word, rate: Rate) -> Result<Timestamp> {
    let now = table.moment().now;
    let empty_at = bucket(table, gate)?.map_or(now, |at| at.max(now));
    Ok(empty_at
        .saturating_add(rate.interval())
        .saturating_sub(full(rate)))
}

/// How many starts are allowed at once now.
fn tokens(table: &dyn Source, gate: Word, rate: Rate) -> Result<usize> {
    let now = table.moment().now;
    let used = bucket(table, gate)?.map_or(Duration::ZERO, |at| at.since(now));
    let free = full(rate).saturating_sub(used).as_micros() / rate.interval().as_micros().max(1);
    Ok(usize::try_from(free).unwrap_or(usize::MAX))
}

pub(super) fn park_row(table: &mut dyn Table, key: &str, record: &TaskStateRecord) -> Result<()> {
    let gate = keys::gate_word(key);
    let own = own_limit(record, key).unwrap_or(u32::MAX).to_be_bytes();
    match table.get(&keys::parked_limit(gate))? {
        None if table.get(&keys::parked_gate(gate))?.is_none() => {
            table.put(keys::parked_limit(gate), own.to_vec())?;
        }
        Some(limit) if limit.is_empty() || limit == own => {}
        // Others wait here with another limit, or were parked before limits were written down.
        _ => table.put(keys::parked_limit(gate), Vec::new())?,
    }
    table.put(keys::parked_gate(gate), key.as_bytes().to_vec())?;
    table.put(
        keys::parked(gate, keys::Order::of(record)),
        record.id.as_str().as_bytes().to_vec(),
    )
}

pub(super) fn unpark_row(table: &mut dyn Table, key: &str, record: &TaskStateRecord) -> Result<()> {
    let gate = keys::gate_word(key);
    table.delete(&keys::parked(gate, keys::Order::of(record)))?;
    let prefix = keys::parked_all(gate);
    if table.first(&prefix, &keys::after(&prefix))?.is_none() {
        table.delete(&keys::parked_gate(gate))?;
        table.delete(&keys::parked_limit(gate))?;
    }
    Ok(())
}

/// The limit that a task itself gives one of its gates.
fn own_limit(record: &TaskStateRecord, key: &str) -> Option<u32> {
    let own = record.gates.iter().find(|gate| gate.key == key);
    own.map(|gate| gate.limit)
}

/// Whether one that finds this gate closed may have others behind it that find it open.
pub(super) fn lets_others_through(table: &dyn Source, key: &str) -> Result<bool> {
    let limit = table.get(&keys::parked_limit(keys::gate_word(key)))?;
    Ok(limit.is_some_and(|limit| limit.is_empty()))
}

/// Wakes a gate at an instant.
pub(super) fn set_timer(table: &mut dyn Table, key: &str, at: Timestamp) -> Result<()> {
    table.put(
        keys::gate_timer(at, keys::gate_word(key)),
        key.as_bytes().to_vec(),
    )
}

/// Opens the gates whose time has come.
pub(super) fn run_timers(table: &mut dyn Table) -> Result<()> {
    let due = keys::due(keys::GATE_TIMERS, table.moment().now);
    for (row, value) in table.range(keys::GATE_TIMERS, &due, REOPEN_LIMIT, false)? {
        table.delete(&row)?;
        if let Ok(key) = std::str::from_utf8(&value) {
            reopen(table, key)?;
        }
    }
    Ok(())
}

/// When the next gate opens by itself.
pub(super) fn next_timer(table: &dyn Source) -> Result<Option<Timestamp>> {
    let first = table.first(keys::GATE_TIMERS, &keys::after(keys::GATE_TIMERS))?;
    Ok(first.and_then(|(key, _)| keys::time_at(&key, 1)))
}

/// Brings back the best of the records parked behind a gate, as many as it lets through now. Answers how many.
pub(super) fn reopen(table: &mut dyn Table, key: &str) -> Result<usize> {
    let mut next = None;
    for _ in 0..REOPEN_PAGES {
        let looked = look(table, key, next)?;
        next = looked.next;
        if looked.opened > 0 || next.is_none() {
            return Ok(looked.opened);
        }
    }
    Ok(0)
}

/// As [`reopen`], from where the last sweep of this gate came to: what no opening reaches behind a long backlog is
/// reached by the sweeps, a bounded part at a time, and then they begin anew.
pub(crate) fn sweep(table: &mut dyn Table, key: &str, pages: usize) -> Result<usize> {
    let reached = keys::swept_to(keys::gate_word(key));
    let mut next = table.get(&reached)?;
    let goes_on = next.is_some();
    let mut opened = 0;
    for _ in 0..pages {
        let looked = look(table, key, next)?;
        opened += looked.opened;
        next = looked.next;
        if next.is_none() {
            break;
        }
    }
    match next {
        Some(next) => table.put(reached, next)?,
        None if goes_on => table.delete(&reached)?,
        None => {}
    }
    Ok(opened)
}

/// Forgets how far the sweeps came in gates that have no parked record any more.
pub(crate) fn forget_sweeps(table: &mut dyn Table, limit: usize) -> Result<()> {
    for (row, _) in table.range(keys::SWEPT, &keys::after(keys::SWEPT), limit, false)? {
        if table.get(&keys::parked_gate_of(&row))?.is_none() {
            table.delete(&row)?;
        }
    }
    Ok(())
}

/// What a look at parked records found.
#[derive(Default)]
struct Looked {
    opened: usize,
    /// Where the next look begins, when there may be more that it lets through.
    next: Option<Vec<u8>>,
}

/// Looks at one page of the records parked behind a gate, from a row on, and brings back what it lets through now.
fn look(table: &mut dyn Table, key: &str, from: Option<Vec<u8>>) -> Result<Looked> {
    let gate = keys::gate_word(key);
    if table.get(&keys::parked_gate(gate))?.is_none() {
        return Ok(Looked::default());
    }
    let rule = rule(table, key)?;
    if rule.as_ref().is_some_and(|rule| rule.paused) {
        return Ok(Looked::default());
    }
    let mut room = REOPEN_LIMIT;
    if let Some(rate) = rule.as_ref().and_then(|rule| rule.rate) {
        trim_bucket(table, key, rate)?;
        room = room.min(tokens(table, gate, rate)?);
        if room == 0 {
            let at = next_token(table, gate, rate)?;
            set_timer(table, key, at)?;
            return Ok(Looked::default());
        }
    }
    let max = rule.as_ref().and_then(|rule| rule.max);
    let mut held = holders(table, gate, max.unwrap_or(u32::MAX))?;
    let prefix = keys::parked_all(gate);
    let from = from
        .filter(|from| from.starts_with(&prefix))
        .unwrap_or_else(|| prefix.clone());
    let rows = table.range(&from, &keys::after(&prefix), REOPEN_LIMIT, false)?;
    let full_page = rows.len() == REOPEN_LIMIT;
    let mut next = rows
        .last()
        .filter(|_| full_page)
        .map(|(last, _)| [last.as_slice(), &[0]].concat());
    let mut opened = 0;
    for (row, value) in rows {
        let Some(id) = index::find(table, &value, keys::seq(&row), &[TaskStatus::Pending])? else {
            table.delete(&row)?;
            continue;
        };
        let record = match table.record(&id) {
            Ok(Some(record))
                if record
                    .parked
                    .as_ref()
                    .is_some_and(|parked| parked.gate == key) =>
            {
                record
            }
            Ok(_) => {
                table.delete(&row)?;
                continue;
            }
            Err(error) => {
                table.delete(&row)?;
                super::claim::quarantine(table, &id, error)?;
                continue;
            }
        };
        let own = own_limit(&record, key);
        if held >= max.or(own).unwrap_or(u32::MAX) {
            // With a limit of its own on each task, another one may still pass.
            if max.is_some() {
                next = None;
                break;
            }
            continue;
        }
        let mut back = TaskStateRecord::clone(&record);
        back.parked = None;
        index::replace(table, &record, back, false)?;
        held += 1;
        opened += 1;
        if opened >= room {
            next = None;
            break;
        }
    }
    if opened == REOPEN_LIMIT && full_page {
        // More may pass: go on at the next claim instead of walking a long backlog in this write.
        let now = table.moment().now;
        set_timer(table, key, now)?;
    } else if let Some(rate) = rule.and_then(|rule| rule.rate).filter(|_| opened >= room) {
        // Those that just left will use up the tokens; the next one comes an interval later.
        let at = table.moment().now.saturating_add(rate.interval());
        set_timer(table, key, at)?;
    }
    Ok(Looked { opened, next })
}
