//! One transaction: read what is known to be needed, run the verb on it in memory, read what it missed, run it again, and
//! write what it came to. What a verb means is in one place for all stores; here is only how it gets to its rows.
//!
//! Nobody waits in a circle: gates are locked first, in order, then entries, then records. What a verb finds out to need
//! later is asked for without waiting; when somebody else has it, the transaction is given up and begun again with all that
//! is known by then.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::try_join;

use super::fault::Fault;
use super::floor::{Floor, Look, Since};
use super::flush::Plan;
use super::held::Held;
use super::link::Link;
use super::load;
use super::loaded::{Home, Loaded, Stored};
use super::needs::{Needs, Span};
use super::pick::{self, Width};
use super::table::{Closed, Done, Ranks, Sketch, Tokens, moment};
use crate::error::Result;
use crate::id::TaskId;
use crate::store::kv::{Word, keys};
use crate::store::{ClaimRequest, Hint};
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// Timers of gates that a claim looks at.
const TIMERS: usize = 65;

/// Payloads of a record that is kept until it ends, at most.
const HELD_BYTES: usize = 8 << 10;

/// Times that a transaction reads what a verb missed before it is given up as a fault: a sweep of one gate may look at 2,048
/// records, each of which is one.
const ROUNDS: usize = 10_000;

/// What is the same in all tries of a transaction.
pub(super) struct Job<'a> {
    pub(super) tokens: Tokens<'a>,
    /// The time to go by; `None` is the time of the server.
    pub(super) now: Option<Timestamp>,
    /// For a claim: what is asked.
    pub(super) claim: Option<&'a ClaimRequest>,
    /// From where on it looks, and who learns what it met.
    pub(super) from: Since,
    pub(super) floor: Option<&'a Floor>,
    /// Ids that are likely new: they are only looked for after a conflict.
    pub(super) fresh: BTreeSet<TaskId>,
    /// What is known to be needed; grows with every try.
    pub(super) needs: Needs,
    /// Begins the transaction, unless it is open.
    pub(super) begin: Option<&'a str>,
    /// Records as they were written last by this store, with the transaction that did: taken for what is there by the
    /// first try, and found out to be so when they are written.
    pub(super) held: Vec<Held>,
}

/// What a try came to.
pub(super) enum Tried<T> {
    /// It is written, not yet committed.
    Written {
        answer: T,
        hints: Vec<Hint>,
        /// Rows added to the tally; nothing at all was written when `None`.
        tallied: Option<usize>,
        /// The transaction that leased, and what it leased.
        leased: Option<(Arc<str>, Vec<Arc<TaskStateRecord>>)>,
    },
    /// Somebody else was in the way; everything must be rolled back and tried again.
    Again,
}

impl Job<'_> {
    /// Runs a verb inside an open transaction.
    pub(super) async fn run<T>(
        &mut self,
        link: Link<'_>,
        mut verb: impl FnMut(&mut Sketch<'_>) -> Result<T> + Send,
    ) -> Result<Tried<T>, Fault> {
        let mut loaded = Loaded::default();
        for id in &self.fresh {
            loaded.records.insert(id.clone(), None);
        }
        for held in std::mem::take(&mut self.held) {
            loaded
                .records
                .insert(held.record.id.clone(), Some(held.into()));
        }
        let timers = self.claim.map(|_| Span {
            limit: TIMERS,
            ..Span::all_of(keys::GATE_TIMERS.to_vec())
        });
        let gates: Vec<Word> = self.needs.gates.iter().copied().collect();
        let begin = async {
            match self.begin {
                Some(begin) => link.batch(begin).await,
                None => Ok(()),
            }
        };
        let mut width = Width::first(self.claim.map_or(0, |request| request.limit), self.from);
        // With something to lock first, records wait for their turn.
        let early = self.claim.filter(|_| self.needs.locks_nothing());
        let look = Look::begin();
        let early = pick::early(link, early, self.now, width);
        let rules = load::rules(link, timers);
        let start = load::start(link, self.needs.numbers);
        let ((), (now, numbers), rules, picked) = if gates.is_empty() {
            // Sent in this order, at once.
            try_join!(begin, start, rules, early)?
        } else {
            begin.await?;
            // Gates are locked before anything is read that they protect.
            load::lock_gates(link, &gates, true).await?;
            loaded.gates.extend(gates);
            let (start, rules) = try_join!(start, rules)?;
            ((), start, rules, None)
        };
        let now = self.now.unwrap_or(now);
        loaded.numbers = numbers;
        loaded.has_rules = rules.first().is_some_and(|(_, rules)| !rules.is_empty());
        for (span, rows) in rules {
            loaded.keep_span(&span, rows);
        }
        let first = Needs {
            numbers: 0,
            ..self.needs.clone()
        };
        let mut ranks = Ranks::default();
        if let Some(request) = self.claim {
            load::load(link, &first, &mut loaded, true).await?;
            let (times, rows) = match picked {
                Some((times, rows)) => {
                    if let (Some(floor), None, None) = (self.floor, self.from.whole_in, self.now) {
                        let first = (pick::first_due(&rows), times.lease_end());
                        floor.learn(&look, request, first, now);
                    }
                    (times, Some(rows))
                }
                None => (pick::times(link, request, self.now, self.from).await?, None),
            };
            times.keep(&mut loaded);
            pick::ended_leases(link, now, &mut loaded).await?;
            let none = Closed::new();
            ranks = pick::pick(link, request, self.now, width, rows, &none, &mut loaded).await?;
        } else {
            load::load(link, &first, &mut loaded, true).await?;
        }
        let mut followed = BTreeSet::new();
        if !self.follow(link, &mut loaded, &mut followed).await? {
            return Ok(Tried::Again);
        }
        let mut closed = Closed::new();
        for _ in 0..ROUNDS {
            let (answer, done, exhausted, found_closed) = {
                let mut rows = &loaded;
                let mut sketch = Sketch::new(
                    &mut rows,
                    &loaded,
                    &self.tokens,
                    moment(now),
                    ranks.clone(),
                    self.claim.is_some(),
                );
                let answer = verb(&mut sketch);
                let exhausted = self
                    .claim
                    .and_then(|request| sketch.exhausted(&request.lanes.queues));
                let found_closed = std::mem::take(&mut sketch.closed);
                (answer, sketch.finish(), exhausted, found_closed)
            };
            let missed = loaded.take_missed();
            if !missed.is_empty() {
                self.needs.merge(missed.clone());
                if !load::load(link, &missed, &mut loaded, false).await?
                    || !self.follow(link, &mut loaded, &mut followed).await?
                {
                    return Ok(Tried::Again);
                }
                continue;
            }
            let answer = answer?;
            // Those that were not made after all, because of a refusal or of another's key, or were deleted again, have to be
            // looked for: nothing that is written would meet one that is there.
            let made = &done.changes.records;
            let mut unsure: BTreeSet<TaskId> = self
                .fresh
                .iter()
                .filter(|id| !made.get(*id).is_some_and(Option::is_some))
                .cloned()
                .collect();
            // Only what ends is found out to be as it was when it is written.
            let ends = |id: &TaskId| {
                let record = done.changes.records.get(id).and_then(Option::as_ref);
                record.is_some_and(|record| record.status.is_terminal())
            };
            unsure.extend(loaded.unread().filter(|id| !ends(id)).cloned());
            if !unsure.is_empty() {
                self.fresh.retain(|id| !unsure.contains(id));
                for id in &unsure {
                    loaded.records.remove(id);
                }
                let needs = Needs {
                    records: unsure,
                    ..Needs::default()
                };
                self.needs.merge(needs.clone());
                if !load::load(link, &needs, &mut loaded, false).await?
                    || !self.follow(link, &mut loaded, &mut followed).await?
                {
                    return Ok(Tried::Again);
                }
                continue;
            }
            let wants_more = self.claim.zip(exhausted).is_some_and(|(request, last)| {
                let before = request.lanes.queues.get(..=last).unwrap_or_default();
                // However many wait in a closed lane, they hold up nobody: those behind them are looked for without them.
                let fits =
                    width.locked < 64 + 4 * request.limit || !found_closed.is_subset(&closed);
                done.leased(before) < request.limit && fits
            });
            if let (true, Some(request)) = (wants_more, self.claim) {
                width = width.wider();
                closed.extend(found_closed);
                let known = ranks;
                ranks =
                    pick::pick(link, request, self.now, width, None, &closed, &mut loaded).await?;
                ranks.keep(&closed, &known);
                if !self.follow(link, &mut loaded, &mut followed).await? {
                    return Ok(Tried::Again);
                }
                continue;
            }
            return self.write(link, answer, done, &loaded).await;
        }
        Err(Fault::Odd("a transaction found no end"))
    }

    async fn write<T>(
        &mut self,
        link: Link<'_>,
        answer: T,
        done: Done,
        loaded: &Loaded,
    ) -> Result<Tried<T>, Fault> {
        self.tokens.used = done.tokens();
        let plan = Plan::of(&done, loaded)?;
        let leased: Vec<Arc<TaskStateRecord>> = if self.claim.is_some() {
            done.changes
                .records
                .values()
                .flatten()
                .filter(|record| is_kept(record))
                .cloned()
                .collect()
        } else {
            Vec::new()
        };
        let hints = done.changes.hints;
        if plan.is_empty() {
            return Ok(Tried::Written {
                answer,
                hints,
                tallied: None,
                leased: None,
            });
        }
        let (holds, writer) = try_join!(plan.write(link), load::writer(link, !leased.is_empty()))?;
        if holds {
            let tallied = Some(plan.tallied());
            return Ok(Tried::Written {
                answer,
                hints,
                tallied,
                leased: writer.map(|writer| (writer, leased)),
            });
        }
        // An id, a key or a mark was somebody else's before it was ours: the next try looks.
        self.needs.records.extend(std::mem::take(&mut self.fresh));
        Ok(Tried::Again)
    }

    /// Reads what follows from the records that were read: their gates and keys.
    async fn follow(
        &mut self,
        link: Link<'_>,
        loaded: &mut Loaded,
        followed: &mut BTreeSet<TaskId>,
    ) -> Result<bool, Fault> {
        let mut needs = Needs::default();
        for (id, stored) in &loaded.records {
            let Some(stored) = stored.as_ref().filter(|_| !followed.contains(id)) else {
                continue;
            };
            followed.insert(id.clone());
            if let Some(record) = stored.record.as_ref().filter(|record| is_connected(record)) {
                needs.of_record(record);
            }
        }
        needs
            .entries
            .retain(|key| !loaded.entries.contains_key(key));
        needs.locked.retain(|key| !loaded.entries.contains_key(key));
        needs.spans.retain(|span| !loaded.knows(span));
        needs.gates.retain(|gate| !loaded.gates.contains(gate));
        if needs.is_empty() {
            return Ok(true);
        }
        self.needs.merge(needs.clone());
        load::load(link, &needs, loaded, false).await
    }
}

/// Whether it has gates or a unique key.
fn is_connected(record: &TaskStateRecord) -> bool {
    !record.gates.is_empty()
        || !record.holds.is_empty()
        || record.unique.is_some()
        || record.parked.is_some()
}

/// Whether its end follows from it alone, and it is not too large to be kept until then.
pub(super) fn is_kept(record: &TaskStateRecord) -> bool {
    let size = record.args.as_str().len()
        + record
            .state
            .as_ref()
            .map_or(0, |state| state.as_str().len());
    record.status == TaskStatus::Running && !is_connected(record) && size <= HELD_BYTES
}

impl From<Held> for Stored {
    fn from(held: Held) -> Self {
        let record = held.record;
        Self {
            seq: record.seq,
            home: Home::Task,
            status: record.status as u8,
            queue: record.queue.to_string(),
            name: record.name.to_string(),
            record: Some(record),
            body: Vec::new(),
            written_by: Some(held.written_by),
        }
    }
}
