//! Lanes: what is ready of one queue, name and version, in order; and what is not due yet.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::line::Line;
use crate::store::kv::{Head, Order, Word};
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// Records of one queue, name and version, as long as there are any.
#[derive(Debug)]
pub(super) struct Lane {
    queue: u32,
    word: Word,
    pub(super) queue_name: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) version: Option<Arc<str>>,
    /// What a list by name looks for.
    pub(super) name_word: Word,
    /// Records by status.
    pub(super) counts: [u64; 5],
    ready: Line<Order>,
    /// Its first, as the heads of the queue have it.
    head: Option<Order>,
    is_stale: bool,
}

#[derive(Debug)]
struct Queue {
    word: Word,
    lanes: usize,
    heads: BTreeSet<(Order, Word, u32)>,
    delayed: Line<(Timestamp, u64)>,
}

/// All lanes and queues that have a record.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: Vec<Option<Lane>>,
    free: Vec<u32>,
    by_word: HashMap<(Word, Word), u32, RandomState>,
    queues: Vec<Option<Queue>>,
    free_queues: Vec<u32>,
    by_queue: HashMap<Word, u32, RandomState>,
    /// The lane that was asked for last: tasks come in bulk.
    last: Option<u32>,
    /// Lanes whose head may have changed.
    stale: Vec<u32>,
}

fn take_place<T>(places: &mut Vec<Option<T>>, free: &mut Vec<u32>, value: T) -> u32 {
    match free.pop() {
        Some(number) => {
            places[number as usize] = Some(value);
            number
        }
        None => {
            places.push(Some(value));
            u32::try_from(places.len() - 1).unwrap_or(u32::MAX)
        }
    }
}

impl Lanes {
    pub(super) fn all(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().flatten()
    }

    pub(super) fn get(&self, lane: u32) -> Option<&Lane> {
        self.lanes.get(lane as usize)?.as_ref()
    }

    fn get_mut(&mut self, lane: u32) -> Option<&mut Lane> {
        self.lanes.get_mut(lane as usize)?.as_mut()
    }

    fn by_words(&self, queue: Word, lane: Word) -> Option<&Lane> {
        self.get(*self.by_word.get(&(queue, lane))?)
    }

    fn queue(&self, queue: Word) -> Option<&Queue> {
        self.queues[*self.by_queue.get(&queue)? as usize].as_ref()
    }

    /// The lane of a record, made when there is none; it counts the record.
    pub(super) fn join(&mut self, record: &TaskStateRecord) -> u32 {
        let number = match self.last.filter(|last| self.is_of(*last, record)) {
            Some(last) => last,
            None => self.find_or_make(record),
        };
        self.last = Some(number);
        if let Some(lane) = self.get_mut(number) {
            lane.counts[record.status as usize] += 1;
        }
        number
    }

    fn is_of(&self, lane: u32, record: &TaskStateRecord) -> bool {
        self.get(lane).is_some_and(|lane| {
            lane.name == record.name
                && lane.queue_name == record.queue
                && lane.version == record.version
        })
    }

    fn find_or_make(&mut self, record: &TaskStateRecord) -> u32 {
        let queue = Word::of_queue(&record.queue);
        let word = Word::of_lane(&record.name, record.version.as_deref());
        if let Some(number) = self.by_word.get(&(queue, word)) {
            return *number;
        }
        let queue_number = match self.by_queue.get(&queue) {
            Some(number) => *number,
            None => {
                let made = Queue {
                    word: queue,
                    lanes: 0,
                    heads: BTreeSet::new(),
                    delayed: Line::default(),
                };
                let number = take_place(&mut self.queues, &mut self.free_queues, made);
                self.by_queue.insert(queue, number);
                number
            }
        };
        if let Some(queue) = &mut self.queues[queue_number as usize] {
            queue.lanes += 1;
        }
        let made = Lane {
            queue: queue_number,
            word,
            queue_name: Arc::clone(&record.queue),
            name: Arc::clone(&record.name),
            version: record.version.clone(),
            name_word: Word::of_name(&record.name),
            counts: [0; 5],
            ready: Line::default(),
            head: None,
            is_stale: false,
        };
        let number = take_place(&mut self.lanes, &mut self.free, made);
        self.by_word.insert((queue, word), number);
        number
    }

    /// A record of the lane has another status.
    pub(super) fn recount(&mut self, lane: u32, old: TaskStatus, new: TaskStatus) {
        if let Some(lane) = self.get_mut(lane) {
            lane.counts[old as usize] -= 1;
            lane.counts[new as usize] += 1;
        }
    }

    /// A record leaves the lane for good; a lane without records goes.
    pub(super) fn part(&mut self, number: u32, status: TaskStatus) {
        let Some(lane) = self.get_mut(number) else {
            return;
        };
        lane.counts[status as usize] -= 1;
        if lane.counts != [0; 5] {
            return;
        }
        self.refresh();
        let Some(lane) = self.lanes[number as usize].take() else {
            return;
        };
        self.free.push(number);
        self.last = None;
        let place = &mut self.queues[lane.queue as usize];
        if let Some(queue) = place {
            self.by_word.remove(&(queue.word, lane.word));
            queue.lanes -= 1;
            if queue.lanes == 0 {
                self.by_queue.remove(&queue.word);
                self.free_queues.push(lane.queue);
                *place = None;
            }
        }
    }

    /// Puts a pending record where it waits: in its lane when it is due at `now`, else among the delayed.
    pub(super) fn enter(&mut self, number: u32, record: &TaskStateRecord, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(number as usize).and_then(Option::as_mut) else {
            return;
        };
        if record.run_at > now {
            if let Some(queue) = &mut self.queues[lane.queue as usize] {
                queue.delayed.insert((record.run_at, record.seq));
            }
            return;
        }
        let order = Order::of(record);
        lane.ready.insert(order);
        if lane.head.is_none_or(|head| order < head) && !lane.is_stale {
            lane.is_stale = true;
            self.stale.push(number);
        }
    }

    /// Takes a pending record out, wherever it waits; answers whether that was among the delayed.
    pub(super) fn leave(&mut self, number: u32, record: &TaskStateRecord) -> bool {
        let Some(lane) = self.lanes.get_mut(number as usize).and_then(Option::as_mut) else {
            return false;
        };
        if let Some(queue) = &mut self.queues[lane.queue as usize]
            && queue.delayed.remove(&(record.run_at, record.seq))
        {
            return true;
        }
        let order = Order::of(record);
        lane.ready.remove(&order);
        if lane.head == Some(order) && !lane.is_stale {
            lane.is_stale = true;
            self.stale.push(number);
        }
        false
    }

    /// Makes the heads of the queues true again.
    pub(super) fn refresh(&mut self) {
        while let Some(number) = self.stale.pop() {
            let Some(lane) = self.lanes.get_mut(number as usize).and_then(Option::as_mut) else {
                continue;
            };
            lane.is_stale = false;
            let first = lane.ready.first();
            if let Some(queue) = &mut self.queues[lane.queue as usize]
                && lane.head != first
            {
                if let Some(old) = lane.head {
                    queue.heads.remove(&(old, lane.word, number));
                }
                queue
                    .heads
                    .extend(first.map(|first| (first, lane.word, number)));
            }
            lane.head = first;
        }
    }

    /// Delayed records of a queue that are due, taken out; at most `limit`.
    pub(super) fn take_due(&mut self, queue: Word, now: Timestamp, limit: usize) -> Vec<u64> {
        let Some(Some(queue)) = self
            .by_queue
            .get(&queue)
            .map(|number| &mut self.queues[*number as usize])
        else {
            return Vec::new();
        };
        let mut due = Vec::new();
        while due.len() < limit && queue.delayed.first().is_some_and(|(at, _)| at <= now) {
            due.extend(queue.delayed.pop_first().map(|(_, seq)| seq));
        }
        due
    }

    pub(super) fn next_delayed(&self, queue: Word) -> Option<(Timestamp, u64)> {
        self.queue(queue)?.delayed.first()
    }

    pub(super) fn head_of(&self, queue: Word, lane: Word) -> Option<Order> {
        self.by_words(queue, lane)?.ready.first()
    }

    pub(super) fn heads(
        &self,
        queue: Word,
        after: Option<(Order, Word)>,
        limit: usize,
    ) -> Vec<Head> {
        let Some(queue) = self.queue(queue) else {
            return Vec::new();
        };
        let all = match after {
            Some((order, word)) => queue.heads.range((order, word, u32::MAX)..),
            None => queue.heads.range(..),
        };
        let head = |(order, word, number): &(Order, Word, u32)| {
            let lane = self.get(*number)?;
            Some(Head {
                order: *order,
                lane: *word,
                name: Arc::clone(&lane.name),
                version: lane.version.clone(),
            })
        };
        all.take(limit).filter_map(head).collect()
    }

    pub(super) fn ready(
        &self,
        queue: Word,
        lane: Word,
        after: Option<Order>,
        limit: usize,
    ) -> Vec<Order> {
        use std::ops::Bound::{Excluded, Unbounded};
        let Some(lane) = self.by_words(queue, lane) else {
            return Vec::new();
        };
        let from = after.map_or(Unbounded, Excluded);
        lane.ready.from(from).take(limit).collect()
    }
}
