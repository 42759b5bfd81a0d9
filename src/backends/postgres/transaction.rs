//! One transaction: read what is known to be needed, run the verb on it in memory, read what it missed, run it again, and
//! write what it came to. What a verb means is in one place for all stores; here is only how it gets to its rows.
//!
//! Nobody waits in a circle: gates are locked first, in order, then entries, then records. What a verb finds out to need
//! later is asked for without waiting; when somebody else has it, the transaction is given up and begun again with all that
//! is known by then.

use std::collections::BTreeSet;

use futures_util::try_join;

use super::fault::Fault;
use super::flush::Plan;
use super::link::Link;
use super::load;
use super::loaded::Loaded;
use super::needs::{Needs, Span};
use super::pick::{self, Width};
use super::table::{Done, Ranks, Sketch, Tokens, moment};
use crate::error::Result;
use crate::id::TaskId;
use crate::store::kv::{Word, decode, keys};
use crate::store::{ClaimRequest, Hint};
use crate::task::TaskStateRecord;
use crate::timestamp::Timestamp;

/// Timers of gates that a claim looks at.
const TIMERS: usize = 65;

/// Times that a transaction reads what a verb missed before it is given up as a fault.
const ROUNDS: usize = 2_000;

/// What is the same in all tries of a transaction.
pub(super) struct Job<'a> {
    pub(super) tokens: Tokens<'a>,
    /// The time to go by; `None` is the time of the server.
    pub(super) now: Option<Timestamp>,
    /// For a claim: what is asked.
    pub(super) claim: Option<&'a ClaimRequest>,
    /// Ids that are likely new: they are only looked for after a conflict.
    pub(super) fresh: BTreeSet<TaskId>,
    /// What is known to be needed; grows with every try.
    pub(super) needs: Needs,
}

/// What a try came to.
pub(super) enum Tried<T> {
    /// It is written, not yet committed.
    Written {
        answer: T,
        hints: Vec<Hint>,
        /// Rows added to the tally; nothing at all was written when `None`.
        tallied: Option<usize>,
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
        if self.claim.is_some() {
            self.needs.spans.insert(Span {
                limit: TIMERS,
                ..Span::all_of(keys::GATE_TIMERS.to_vec())
            });
        }
        // Gates are locked before anything is read that they protect.
        let gates: Vec<Word> = self.needs.gates.iter().copied().collect();
        load::lock_gates(link, &gates, true).await?;
        loaded.gates.extend(gates);
        let rules = load::rules(link);
        let start = load::start(link, self.needs.numbers);
        let ((now, numbers), (span, rules)) = try_join!(start, rules)?;
        let now = self.now.unwrap_or(now);
        loaded.numbers = numbers;
        loaded.has_rules = !rules.is_empty();
        loaded.keep_span(&span, rules);
        let first = Needs {
            numbers: 0,
            ..self.needs.clone()
        };
        load::load(link, &first, &mut loaded, true).await?;
        let mut width = Width::first(self.claim.map_or(0, |request| request.limit));
        let mut ranks = Ranks::default();
        if let Some(request) = self.claim {
            pick::times(link, request, self.now, &mut loaded).await?;
            pick::ended_leases(link, now, &mut loaded).await?;
            ranks = pick::pick(link, request, self.now, width, &mut loaded).await?;
        }
        let mut followed = BTreeSet::new();
        if !self.follow(link, &mut loaded, &mut followed).await? {
            return Ok(Tried::Again);
        }
        for _ in 0..ROUNDS {
            let (answer, done, exhausted) = {
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
                (answer, sketch.finish(), exhausted)
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
            // Those that were not made after all, because of a refusal or of another's key, have to be looked for.
            let made = &done.changes.records;
            let unsure: BTreeSet<TaskId> = self
                .fresh
                .iter()
                .filter(|id| !made.contains_key(*id))
                .cloned()
                .collect();
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
                done.leased(before) < request.limit && width.locked < 64 + 4 * request.limit
            });
            if let (true, Some(request)) = (wants_more, self.claim) {
                width = width.wider();
                ranks = pick::pick(link, request, self.now, width, &mut loaded).await?;
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
        let hints = done.changes.hints;
        if plan.is_empty() {
            return Ok(Tried::Written {
                answer,
                hints,
                tallied: None,
            });
        }
        if plan.write(link).await? {
            let tallied = Some(plan.tallied());
            return Ok(Tried::Written {
                answer,
                hints,
                tallied,
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
            if let Some(record) = connected(id, &stored.body) {
                needs.of_record(&record);
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

/// The record, when it has gates or a unique key.
fn connected(id: &TaskId, body: &[u8]) -> Option<TaskStateRecord> {
    let text = std::str::from_utf8(body).ok()?;
    let is_connected = ["\"gates\":", "\"holds\":", "\"unique\":", "\"parked\":"]
        .iter()
        .any(|field| text.contains(field));
    if is_connected {
        decode(id, body).ok()
    } else {
        None
    }
}
