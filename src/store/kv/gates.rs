//! Gates: who holds a place, who is parked, and what opens again.

use std::collections::HashMap;
use std::time::Duration;

use super::keys::{self, Word};
use super::marks;
use super::reopen::{give_place, reopen};
use super::table::{Source, Table};
use crate::error::Result;
use crate::id::TaskId;
use crate::store::{GATE_MARK, Hint};
use crate::task::{GateRule, Rate, TaskStateRecord};
use crate::timestamp::Timestamp;

/// Whether a gate lets a task through now.
pub(super) enum Verdict {
    Open,
    Closed {
        reason: String,
        /// When it opens by itself.
        opens_at: Option<Timestamp>,
    },
}

/// Gates as a claim knows them: their rules are read once, and so are their holders, whom only the claim itself adds to.
#[derive(Default)]
pub(super) struct Known {
    rules: HashMap<String, Option<GateRule>>,
    /// With how many were asked for: there are no more when it is fewer than that.
    held: HashMap<String, (u32, u32)>,
}

impl Known {
    pub(super) fn rule(&mut self, table: &mut dyn Table, key: &str) -> Result<Option<GateRule>> {
        if let Some(rule) = self.rules.get(key) {
            return Ok(rule.clone());
        }
        let rule = rule(table, key)?;
        if let Some(rate) = rule.as_ref().and_then(|rule| rule.rate) {
            trim_bucket(table, key, rate)?;
        }
        self.rules.insert(key.to_owned(), rule.clone());
        Ok(rule)
    }

    /// How many hold a place, as far as it matters to a limit.
    pub(super) fn held(&mut self, table: &dyn Source, key: &str, limit: u32) -> Result<u32> {
        if let Some((held, asked)) = self.held.get(key)
            && (held < asked || limit <= *asked)
        {
            return Ok(limit.min(*held));
        }
        let held = holders(table, keys::gate_word(key), limit)?;
        self.held.insert(key.to_owned(), (held, limit));
        Ok(held)
    }

    /// Whether the gate lets one more through; `limit` is what the task itself asks for, if anything.
    pub(super) fn check(
        &mut self,
        table: &mut dyn Table,
        key: &str,
        limit: Option<u32>,
    ) -> Result<Verdict> {
        let rule = self.rule(table, key)?;
        if let Some(rule) = rule.as_ref().filter(|rule| rule.paused) {
            let why = rule.reason.as_deref().unwrap_or("no reason given");
            let by = rule.by.as_ref().map(|by| format!(" by {by}"));
            return Ok(Verdict::Closed {
                reason: format!("paused{}: {why}", by.unwrap_or_default()),
                opens_at: None,
            });
        }
        if let Some(max) = rule.as_ref().and_then(|rule| rule.max).or(limit) {
            let held = self.held(table, key, max)?;
            if held >= max {
                return Ok(Verdict::Closed {
                    reason: format!("{held} of {max} places are taken"),
                    opens_at: None,
                });
            }
        }
        if let Some(rate) = rule.and_then(|rule| rule.rate) {
            let now = table.moment().now;
            let opens_at = next_token(table, keys::gate_word(key), rate)?;
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
    pub(super) fn enter(&mut self, table: &mut dyn Table, key: &str, id: &TaskId) -> Result<()> {
        let rule = self.rule(table, key)?;
        if let Some((held, _)) = self.held.get_mut(key) {
            *held = held.saturating_add(1);
        }
        enter(table, key, id, rule.as_ref())
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

/// Notes that a record takes a place in a gate: one, however many ways lead to it. A task can give itself the gate of its
/// own name.
pub(super) fn note_place(places: &mut Vec<String>, key: String) {
    if !places.contains(&key) {
        places.push(key);
    }
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
        give_place(table, key)?;
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
pub(super) fn next_token(table: &dyn Source, gate: Word, rate: Rate) -> Result<Timestamp> {
    token_after(table, gate, rate, 0)
}

/// When the next start is allowed once so many more have started now.
pub(super) fn token_after(
    table: &dyn Source,
    gate: Word,
    rate: Rate,
    starts: usize,
) -> Result<Timestamp> {
    let now = table.moment().now;
    let empty_at = bucket(table, gate)?.map_or(now, |at| at.max(now));
    let starts = u32::try_from(starts).unwrap_or(u32::MAX).saturating_add(1);
    Ok(empty_at
        .saturating_add(rate.interval().saturating_mul(starts))
        .saturating_sub(full(rate)))
}

/// How many starts are allowed at once now.
pub(super) fn tokens(table: &mut dyn Table, key: &str, rate: Rate) -> Result<usize> {
    trim_bucket(table, key, rate)?;
    let (gate, now) = (keys::gate_word(key), table.moment().now);
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
pub(super) fn own_limit(record: &TaskStateRecord, key: &str) -> Option<u32> {
    let own = record.gates.iter().find(|gate| gate.key == key);
    own.map(|gate| gate.limit)
}

/// Whether one that finds this gate closed may have others behind it that find it open.
pub(super) fn lets_others_through(table: &dyn Source, key: &str) -> Result<bool> {
    let limit = table.get(&keys::parked_limit(keys::gate_word(key)))?;
    Ok(limit.is_some_and(|limit| limit.is_empty()))
}

/// The limit that all go by who wait behind a gate; `None` when they have different ones, or it is not known.
pub(super) fn limit_of_all(table: &dyn Source, gate: Word) -> Result<Option<u32>> {
    let limit = table.get(&keys::parked_limit(gate))?;
    Ok(limit
        .and_then(|limit| limit.try_into().ok())
        .map(u32::from_be_bytes))
}

/// Wakes a gate at an instant.
pub(super) fn set_timer(table: &mut dyn Table, key: &str, at: Timestamp) -> Result<()> {
    table.put(
        keys::gate_timer(at, keys::gate_word(key)),
        key.as_bytes().to_vec(),
    )
}

/// When the next gate opens by itself.
pub(super) fn next_timer(table: &dyn Source) -> Result<Option<Timestamp>> {
    let first = table.first(keys::GATE_TIMERS, &keys::after(keys::GATE_TIMERS))?;
    Ok(first.and_then(|(key, _)| keys::time_at(&key, 1)))
}
