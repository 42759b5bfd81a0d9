//! What was read as what the verbs of the port run on. What they write stays here until all of it is known to hold.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::loaded::Loaded;
use crate::error::Result;
use crate::id::{IdSource, LeaseToken, TaskId};
use crate::store::Hint;
use crate::store::kv::{
    Changes, CountRow, Head, Moment, Order, Overlay, Pairs, Passed, Place, Ready, Source, Table,
    Word, boot_and_end, keys,
};
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// Ready records of one name and version in a queue, in order.
#[derive(Clone, Debug)]
struct Lane {
    rows: BTreeMap<Order, TaskId>,
    name: Arc<str>,
    version: Option<Arc<str>>,
}

/// What a claim may choose from.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranks {
    /// By queue and lane.
    lanes: BTreeMap<(Word, Word), Lane>,
    /// Of each queue that has more: up to where the best of it were read.
    pub(super) horizon: BTreeMap<Word, Order>,
}

impl Ranks {
    pub(super) fn add(&mut self, record: &TaskStateRecord) {
        let (name, version) = (&record.name, record.version.as_ref());
        let lane = self.lanes.entry(lane_of(record)).or_insert_with(|| Lane {
            rows: BTreeMap::new(),
            name: Arc::clone(name),
            version: version.cloned(),
        });
        lane.rows.insert(Order::of(record), record.id.clone());
    }

    fn remove(&mut self, record: &TaskStateRecord) {
        if let Some(lane) = self.lanes.get_mut(&lane_of(record)) {
            lane.rows.remove(&Order::of(record));
        }
    }

    /// Keeps what was known of these lanes. The best of others are looked for without them, but a claim has to meet them to
    /// know when they open.
    pub(super) fn keep(&mut self, closed: &Closed, known: &Self) {
        for key in closed {
            if let Some(lane) = known.lanes.get(key) {
                self.lanes.insert(*key, lane.clone());
            }
        }
    }

    /// Adds one whose record cannot be read, by what its columns say.
    pub(super) fn add_unreadable(&mut self, queue: &str, name: &str, order: Order, id: TaskId) {
        let key = (keys::queue_word(queue), keys::lane_word(name, None));
        let lane = self.lanes.entry(key).or_insert_with(|| Lane {
            rows: BTreeMap::new(),
            name: Arc::from(name),
            version: None,
        });
        lane.rows.insert(order, id);
    }

    /// The lanes of a queue.
    fn of_queue(&self, queue: Word) -> impl Iterator<Item = (Word, &Lane)> {
        let lanes = self.lanes.range((queue, Word::LEAST)..);
        lanes
            .take_while(move |((of, _), _)| *of == queue)
            .map(|((_, word), lane)| (*word, lane))
    }
}

fn lane_of(record: &TaskStateRecord) -> (Word, Word) {
    (
        keys::queue_word(&record.queue),
        keys::lane_word(&record.name, record.version.as_deref()),
    )
}

/// Queues and lanes that give nothing more now.
pub(super) type Closed = BTreeSet<(Word, Word)>;

/// What one transaction does.
pub(super) struct Done {
    /// Records and entries that changed.
    pub(super) changes: Changes,
    /// Records that left the ready set without having changed: they cannot be read.
    pub(super) taken: Vec<TaskId>,
    /// Tokens that were given.
    tokens: usize,
}

impl Done {
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Records of these queues that run now.
    pub(super) fn leased(&self, queues: &[Arc<str>]) -> usize {
        let changed = self.changes.records.values().flatten();
        changed
            .filter(|record| record.status == TaskStatus::Running && queues.contains(&record.queue))
            .count()
    }
}

/// Tokens that were made and given to nobody: they are the next ones.
pub(super) type Spare = Mutex<VecDeque<LeaseToken>>;

/// Tokens of leases: a verb that is run again is given the same.
pub(super) struct Tokens<'a> {
    ids: &'a IdSource,
    spare: Option<&'a Spare>,
    given: Mutex<Vec<LeaseToken>>,
    /// How many the run used that was kept.
    pub(super) used: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(ids: &'a IdSource, spare: Option<&'a Spare>) -> Self {
        Self {
            ids,
            spare,
            given: Mutex::default(),
            used: 0,
        }
    }

    fn get(&self, n: usize) -> LeaseToken {
        let mut given = self.given.lock();
        while given.len() <= n {
            let spare = self.spare.and_then(|spare| spare.lock().pop_front());
            given.push(spare.unwrap_or_else(|| self.ids.token()));
        }
        given[n]
    }
}

impl Drop for Tokens<'_> {
    fn drop(&mut self) {
        if let Some(spare) = self.spare {
            let given = self.given.get_mut();
            let unused = given.drain(self.used.min(given.len())..);
            let mut spare = spare.lock();
            unused.rev().for_each(|token| spare.push_front(token));
        }
    }
}

/// A transaction in the making.
pub(super) struct Sketch<'a> {
    overlay: Overlay<'a>,
    loaded: &'a Loaded,
    tokens: &'a Tokens<'a>,
    tokens_given: usize,
    numbers: usize,
    ranks: Ranks,
    /// Lanes that the claim found closed.
    pub(super) closed: Closed,
    taken: Vec<TaskId>,
    wrote_rule: bool,
    /// Leases by their end are looked at by claims alone, which see those that they give as well.
    is_claim: bool,
}

impl<'a> Sketch<'a> {
    /// `rows` is `loaded` once more, for the overlay, which never writes through.
    pub(super) fn new(
        rows: &'a mut &'a Loaded,
        loaded: &'a Loaded,
        tokens: &'a Tokens<'a>,
        moment: Moment,
        ranks: Ranks,
        is_claim: bool,
    ) -> Self {
        Self {
            overlay: Overlay::new(rows, tokens.ids, moment),
            loaded,
            tokens,
            tokens_given: 0,
            numbers: 0,
            ranks,
            closed: Closed::new(),
            taken: Vec::new(),
            wrote_rule: false,
            is_claim,
        }
    }

    /// The first of these queues of which all was looked at that was read, and that has more.
    pub(super) fn exhausted(&self, queues: &[Arc<str>]) -> Option<usize> {
        queues.iter().position(|queue| {
            let queue = keys::queue_word(queue);
            self.ranks.horizon.contains_key(&queue)
                && self
                    .ranks
                    .of_queue(queue)
                    .all(|(_, lane)| lane.rows.is_empty())
        })
    }

    pub(super) fn finish(self) -> Done {
        Done {
            changes: self.overlay.into_changes(),
            taken: self.taken,
            tokens: self.tokens_given,
        }
    }

    fn is_ready(&self, record: &TaskStateRecord) -> bool {
        record.status == TaskStatus::Pending
            && record.parked.is_none()
            && record.run_at <= self.moment().now
    }

    /// Whether the best of a queue beyond this order is not known.
    fn is_beyond(&self, queue: Word, order: Order) -> bool {
        self.ranks
            .horizon
            .get(&queue)
            .is_some_and(|horizon| order > *horizon)
    }

    /// Moves the end of a lease where a claim looks for it.
    fn move_lease(&mut self, old: &TaskStateRecord, new: &TaskStateRecord) -> Result<()> {
        if !self.is_claim {
            return Ok(());
        }
        if let Some((boot, end)) = boot_and_end(old) {
            self.overlay.delete(&keys::lease(boot, end, &old.id))?;
        }
        match boot_and_end(new) {
            Some((boot, end)) => {
                let key = keys::lease(boot, end, &new.id);
                self.overlay.put(key, Vec::new())
            }
            None => Ok(()),
        }
    }

    /// Moves the count of a line that was asked for.
    fn count(&mut self, record: &TaskStateRecord, change: i64) -> Result<()> {
        if !self
            .loaded
            .depths
            .contains_key(&keys::queue_word(&record.queue))
        {
            return Ok(());
        }
        let key = keys::count(&record.queue, &record.name, record.status);
        let now = match self.overlay.get(&key)? {
            Some(row) => CountRow::number(&row),
            None => 0,
        };
        let value = CountRow::value(
            now.saturating_add_signed(change),
            &record.queue,
            &record.name,
        );
        self.overlay.put(key, value)
    }
}

impl Source for Sketch<'_> {
    fn moment(&self) -> Moment {
        self.overlay.moment()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.overlay.get(key)
    }

    fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Result<Pairs> {
        self.overlay.range(from, until, limit, reverse)
    }

    fn record(&self, id: &TaskId) -> Result<Option<Arc<TaskStateRecord>>> {
        let known = self.overlay.known(id).or_else(|| self.loaded.record(id));
        match known {
            Some(record) => Ok(record),
            None => self.overlay.record(id),
        }
    }

    fn head_of(&self, queue: Word, lane: Word) -> Result<Option<Order>> {
        let lane = self.ranks.lanes.get(&(queue, lane));
        Ok(lane.and_then(|lane| lane.rows.first_key_value().map(|(order, _)| *order)))
    }

    fn heads(&self, queue: Word, after: Option<(Order, Word)>, limit: usize) -> Result<Vec<Head>> {
        let mut heads: Vec<Head> = self
            .ranks
            .of_queue(queue)
            .filter_map(|(word, lane)| {
                let (order, _) = lane.rows.first_key_value()?;
                Some(Head {
                    order: *order,
                    lane: word,
                    name: Arc::clone(&lane.name),
                    version: lane.version.clone(),
                })
            })
            .filter(|head| after.is_none_or(|after| (head.order, head.lane) > after))
            .collect();
        heads.sort_unstable_by_key(|head| (head.order, head.lane));
        heads.truncate(limit);
        Ok(heads)
    }

    fn ready(
        &self,
        queue: Word,
        lane: Word,
        after: Option<Order>,
        limit: usize,
    ) -> Result<Vec<Ready>> {
        let Some(lane) = self.ranks.lanes.get(&(queue, lane)) else {
            return Ok(Vec::new());
        };
        let rest = lane
            .rows
            .iter()
            .filter(|(order, _)| after.is_none_or(|after| **order > after));
        let rest = rest.map(|(order, id)| Ready {
            order: *order,
            id: Some(id.clone()),
        });
        Ok(rest.take(limit).collect())
    }

    fn ready_record(&self, ready: &Ready) -> Result<Option<Arc<TaskStateRecord>>> {
        let id = ready.id.as_ref();
        id.map_or(Ok(None), |id| self.record(id))
    }

    fn read_ahead(&self, ids: &mut dyn Iterator<Item = TaskId>) -> Result<()> {
        self.loaded.read_ahead(ids)
    }

    fn has_rules(&self) -> Result<bool> {
        Ok(self.loaded.has_rules || self.wrote_rule)
    }
}

impl Table for Sketch<'_> {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<()> {
        self.wrote_rule |= key.starts_with(b"mgate/");
        self.overlay.put(key, value)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.overlay.delete(key)
    }

    fn put_record(&mut self, record: Arc<TaskStateRecord>) -> Result<()> {
        self.overlay.put_record(record)
    }

    fn delete_record(&mut self, id: &TaskId) -> Result<()> {
        self.overlay.delete_record(id)
    }

    fn next_number(&mut self) -> Result<u64> {
        let number = self.loaded.numbers.get(self.numbers);
        self.numbers += 1;
        number
            .copied()
            .ok_or_else(|| self.loaded.miss(|needs| needs.numbers += 1))
    }

    fn token(&mut self) -> LeaseToken {
        self.tokens_given += 1;
        self.tokens.get(self.tokens_given - 1)
    }

    fn hint(&mut self, hint: Hint) {
        self.overlay.hint(hint);
    }

    fn savepoint(&mut self) -> usize {
        self.overlay.savepoint()
    }

    fn rollback(&mut self, savepoint: usize) {
        self.overlay.rollback(savepoint);
    }

    fn insert(&mut self, record: Arc<TaskStateRecord>) -> Result<()> {
        self.count(&record, 1)?;
        self.overlay.put_record(record)
    }

    fn change(
        &mut self,
        old: &TaskStateRecord,
        new: Arc<TaskStateRecord>,
        place: Place,
    ) -> Result<()> {
        if old.status != new.status || old.queue != new.queue {
            self.count(old, -1)?;
            self.count(&new, 1)?;
        }
        self.move_lease(old, &new)?;
        if place != Place::Kept {
            self.ranks.remove(old);
            // What comes back during a claim can be claimed by it.
            if self.is_ready(&new) && !self.is_beyond(keys::queue_word(&new.queue), Order::of(&new))
            {
                self.ranks.add(&new);
            }
        }
        self.overlay.put_record(new)
    }

    fn place_again(&mut self, record: &TaskStateRecord) -> Result<()> {
        // Written again as it is: its columns follow from it.
        self.overlay.put_record(Arc::new(record.clone()))
    }

    fn remove(&mut self, record: &TaskStateRecord) -> Result<()> {
        self.count(record, -1)?;
        self.overlay.delete_record(&record.id)
    }

    fn take(&mut self, queue: Word, lane: Word, ready: &Ready) -> Result<()> {
        if let Some(lane) = self.ranks.lanes.get_mut(&(queue, lane)) {
            lane.rows.remove(&ready.order);
        }
        self.taken.extend(ready.id.clone());
        Ok(())
    }

    fn leave(&mut self, record: &TaskStateRecord) -> Result<()> {
        self.ranks.remove(record);
        Ok(())
    }

    fn passed(&mut self, what: Passed<'_>) {
        match what {
            // Nothing behind its horizon is of use.
            Passed::Queue(queue) => {
                self.ranks.horizon.remove(&queue);
            }
            Passed::Lane(queue, lane) => {
                if let Some(lane) = self.ranks.lanes.get_mut(&(queue, lane)) {
                    lane.rows.clear();
                }
                self.closed.insert((queue, lane));
            }
            Passed::Row(queue, lane, row) => {
                if let Some(lane) = self.ranks.lanes.get_mut(&(queue, lane)) {
                    lane.rows.remove(&row.order);
                }
            }
        }
    }

    fn promote(&mut self, _queue: Word, _limit: usize) -> Result<()> {
        // What is due is found by its time.
        Ok(())
    }

    fn refresh_head(&mut self, _queue: Word, _lane: Word) -> Result<()> {
        Ok(())
    }
}

/// The time of the server as the two clocks of a store: it goes by one.
pub(super) fn moment(now: Timestamp) -> Moment {
    let since = now.since(Timestamp::UNIX_EPOCH);
    Moment {
        now,
        steady: crate::clock::Steady {
            boot: SERVER,
            at: since,
        },
    }
}

/// The boot of leases that are measured on the clock of the server.
pub(super) const SERVER: u64 = 1;

/// A record as others see it: its lease ends when it says so, by the clock of the server.
pub(super) fn show(record: &mut TaskStateRecord) {
    if let Some(lease) = &mut record.lease {
        lease.ends = None;
    }
}
