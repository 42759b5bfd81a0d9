//! Bringing back what waits behind a gate.

use std::sync::Arc;

use super::gates::{self, Known, Verdict};
use super::table::Table;
use super::{index, keys};
use crate::error::Result;
use crate::store::Hint;
use crate::task::{Parked, Rate, TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// How many parked records one opening looks at, as long as it brings one of them back.
const REOPEN_LIMIT: usize = 64;

/// How many times as many it looks at when it brings none back: with limits of their own, those in front may all be
/// narrower than one behind them.
const REOPEN_PAGES: usize = 8;

/// What a claim may do about records that wait behind gates.
pub(super) struct Turns {
    /// How many more it may bring back or send on, of all gates; the next claim goes on.
    left: usize,
}

impl Default for Turns {
    fn default() -> Self {
        Self { left: REOPEN_LIMIT }
    }
}

/// Opens the gates whose time has come.
pub(super) fn run_timers(
    table: &mut dyn Table,
    known: &mut Known,
    turns: &mut Turns,
) -> Result<()> {
    let due = keys::due(keys::GATE_TIMERS, table.moment().now);
    for (row, value) in table.range(keys::GATE_TIMERS, &due, REOPEN_LIMIT, false)? {
        if turns.left == 0 {
            break;
        }
        table.delete(&row)?;
        if let Ok(key) = std::str::from_utf8(&value) {
            pass_on(table, key, known, turns)?;
        }
    }
    Ok(())
}

/// Brings back the best of the records parked behind a gate, as many as it lets through now. Answers how many.
pub(super) fn reopen(table: &mut dyn Table, key: &str) -> Result<usize> {
    open(table, key, usize::MAX, None)
}

/// As [`reopen`], for a place that somebody left: one comes back for it, and one for a place whose own came back before and
/// cannot run, as in a queue that is paused. When many leave in one write, each of them would else bring back a page.
pub(super) fn give_place(table: &mut dyn Table, key: &str) -> Result<()> {
    open(table, key, 2, None).map(drop)
}

/// As [`reopen`], in a claim: one that finds another of its gates closed is sent on behind that one at once. Brought back it
/// would get there in the claim that meets it: a claim for each one of a long backlog.
pub(super) fn pass_on(
    table: &mut dyn Table,
    key: &str,
    known: &mut Known,
    turns: &mut Turns,
) -> Result<usize> {
    open(table, key, usize::MAX, Some((known, turns)))
}

/// What a claim knows, and what it may still do.
type InClaim<'a> = (&'a mut Known, &'a mut Turns);

fn open(
    table: &mut dyn Table,
    key: &str,
    places: usize,
    mut claim: Option<InClaim<'_>>,
) -> Result<usize> {
    let (mut next, mut opened, mut sent_on) = (None, 0, 0);
    for _ in 0..REOPEN_PAGES {
        let looked = look(table, key, next, places, &mut claim)?;
        (next, opened) = (looked.next, looked.opened);
        sent_on += looked.sent_on;
        if opened > 0 || next.is_none() {
            break;
        }
    }
    if sent_on > 0 && next.is_some() {
        // Those that went have left their turns to some behind them.
        go_on_at_once(table, key)?;
    }
    Ok(opened)
}

/// As [`reopen`], from where the last sweep of this gate came to: what no opening reaches behind a long backlog is
/// reached by the sweeps, a bounded part at a time, and then they begin anew.
pub(crate) fn sweep(table: &mut dyn Table, key: &str, pages: usize) -> Result<usize> {
    let reached = keys::swept_to(keys::gate_word(key));
    let mut next = table.get(&reached)?;
    let goes_on = next.is_some();
    let mut opened = 0;
    for _ in 0..pages {
        let looked = look(table, key, next, usize::MAX, &mut None)?;
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

/// The next claim goes on, whoever makes it.
fn go_on_at_once(table: &mut dyn Table, key: &str) -> Result<()> {
    let now = table.moment().now;
    gates::set_timer(table, key, now)?;
    table.hint(Hint::Unknown);
    Ok(())
}

/// What a look at parked records found.
#[derive(Default)]
struct Looked {
    opened: usize,
    /// How many were sent on behind another gate of theirs.
    sent_on: usize,
    /// Where the next look begins, when there may be more that it lets through.
    next: Option<Vec<u8>>,
}

/// How far a gate is open.
struct Opening {
    rate: Option<Rate>,
    /// Starts that its rate allows now.
    tokens: usize,
    /// The limit of its rule, which goes before those that tasks carry.
    max: Option<u32>,
    /// The limit that all go by who wait behind it, when that is one.
    limit: Option<u32>,
    held: u32,
}

impl Opening {
    /// `None` when the gate lets nobody through who waits behind it.
    fn of(
        table: &mut dyn Table,
        key: &str,
        claim: &mut Option<InClaim<'_>>,
    ) -> Result<Option<Self>> {
        let gate = keys::gate_word(key);
        if table.get(&keys::parked_gate(gate))?.is_none() {
            return Ok(None);
        }
        let rule = gates::rule(table, key)?;
        if rule.as_ref().is_some_and(|rule| rule.paused) {
            return Ok(None);
        }
        let rate = rule.as_ref().and_then(|rule| rule.rate);
        let mut tokens = usize::MAX;
        if let Some(rate) = rate {
            tokens = gates::tokens(table, key, rate)?;
            if tokens == 0 {
                let at = gates::next_token(table, gate, rate)?;
                gates::set_timer(table, key, at)?;
                return Ok(None);
            }
        }
        let max = rule.as_ref().and_then(|rule| rule.max);
        let limit = match max {
            Some(max) => Some(max),
            None => gates::limit_of_all(table, gate)?,
        };
        let most = limit.unwrap_or(u32::MAX);
        let held = match claim {
            Some((known, _)) => known.held(table, key, most)?,
            None => gates::holders(table, gate, most)?,
        };
        let opening = Self {
            rate,
            tokens,
            max,
            limit,
            held,
        };
        Ok((!opening.is_full()).then_some(opening))
    }

    fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.held >= limit)
    }

    fn lets_through(&self, record: &TaskStateRecord, key: &str) -> bool {
        let limit = self.max.or_else(|| gates::own_limit(record, key));
        limit.is_none_or(|limit| self.held < limit)
    }
}

/// Looks at one page of the records parked behind a gate, from a row on, and brings back what it lets through now.
fn look(
    table: &mut dyn Table,
    key: &str,
    from: Option<Vec<u8>>,
    places: usize,
    claim: &mut Option<InClaim<'_>>,
) -> Result<Looked> {
    let mut looked = Looked::default();
    let Some(mut opening) = Opening::of(table, key, claim)? else {
        return Ok(looked);
    };
    let room = claim.as_ref().map_or(REOPEN_LIMIT, |(_, turns)| turns.left);
    if room == 0 {
        go_on_at_once(table, key)?;
        return Ok(looked);
    }
    // Where nobody is in, nobody's leave brings the next ones back, should those that come now not be able to run.
    let places = if opening.held == 0 {
        usize::MAX
    } else {
        places
    };
    let prefix = keys::parked_all(keys::gate_word(key));
    let from = from
        .filter(|from| from.starts_with(&prefix))
        .unwrap_or_else(|| prefix.clone());
    let rows = table.range(&from, &keys::after(&prefix), REOPEN_LIMIT, false)?;
    let full_page = rows.len() == REOPEN_LIMIT;
    for (at, (row, value)) in rows.iter().enumerate() {
        let Some(record) = parked_record(table, key, row, value)? else {
            continue;
        };
        if !opening.lets_through(&record, key) {
            // With a limit of its own on each task, another one may still pass.
            continue;
        }
        let closed = match claim {
            Some((known, turns)) => {
                turns.left -= 1;
                closed_besides(table, &record, key, known)?
            }
            None => None,
        };
        if let Some((other, reason, opens_at)) = closed {
            if looked.sent_on == 0 {
                // Those behind it likely go the same way.
                let ids = rows[at..]
                    .iter()
                    .filter_map(|(_, id)| index::id_of(id).ok());
                table.read_ahead(&mut ids.take(room))?;
            }
            park(table, &record, other, reason, opens_at, false)?;
            looked.sent_on += 1;
        } else {
            let mut back = TaskStateRecord::clone(&record);
            back.parked = None;
            index::replace(table, &record, back, false)?;
            opening.held += 1;
            looked.opened += 1;
        }
        if let Some(rate) = opening.rate.filter(|_| looked.opened >= opening.tokens) {
            // Those that just left will use up the tokens; what is filled of the next one by now is not lost.
            let at = gates::token_after(table, keys::gate_word(key), rate, looked.opened)?;
            gates::set_timer(table, key, at)?;
            return Ok(looked);
        }
        if opening.is_full() || looked.opened >= places {
            return Ok(looked);
        }
        if looked.opened + looked.sent_on >= room {
            if full_page || at + 1 < rows.len() {
                // More may pass: go on at the next claim instead of walking a long backlog in this write.
                go_on_at_once(table, key)?;
            }
            return Ok(looked);
        }
    }
    looked.next = rows
        .last()
        .filter(|_| full_page)
        .map(|(last, _)| [last.as_slice(), &[0]].concat());
    Ok(looked)
}

/// The record of a row of the parked. A row that leads to none, or to one that does not wait here, is removed.
fn parked_record(
    table: &mut dyn Table,
    key: &str,
    row: &[u8],
    value: &[u8],
) -> Result<Option<Arc<TaskStateRecord>>> {
    if let Some(id) = index::find(table, value, keys::seq(row), &[TaskStatus::Pending])? {
        match table.record(&id) {
            Ok(Some(record))
                if record
                    .parked
                    .as_ref()
                    .is_some_and(|parked| parked.gate == key) =>
            {
                return Ok(Some(record));
            }
            Ok(_) => {}
            Err(error) => {
                table.delete(row)?;
                super::claim::quarantine(table, &id, error)?;
                return Ok(None);
            }
        }
    }
    table.delete(row)?;
    Ok(None)
}

/// The first gate of a record, besides one, that is closed for it: why, and when it opens by itself.
fn closed_besides<'r>(
    table: &mut dyn Table,
    record: &'r TaskStateRecord,
    key: &str,
    known: &mut Known,
) -> Result<Option<(&'r str, String, Option<Timestamp>)>> {
    if record.expires_at.is_some_and(|at| at <= table.moment().now) {
        // It is to end, not to wait.
        return Ok(None);
    }
    for gate in record.gates.iter().filter(|gate| gate.key != key) {
        if let Verdict::Closed { reason, opens_at } =
            known.check(table, &gate.key, Some(gate.limit))?
        {
            return Ok(Some((&gate.key, reason, opens_at)));
        }
    }
    Ok(None)
}

/// Sets a record aside to wait behind a gate. `taken` says that it has no ready row any more.
pub(super) fn park(
    table: &mut dyn Table,
    record: &TaskStateRecord,
    gate: &str,
    reason: String,
    opens_at: Option<Timestamp>,
    taken: bool,
) -> Result<()> {
    let mut parked = record.clone();
    parked.parked = Some(Box::new(Parked {
        gate: gate.to_owned(),
        since: table.moment().now,
        reason,
        opens_at,
    }));
    index::replace(table, record, parked, taken)?;
    if let Some(at) = opens_at {
        gates::set_timer(table, gate, at)?;
    }
    Ok(())
}
