//! The records, found by id and by creation sequence, and which of them have which status.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::id::TaskId;
use crate::task::{TaskStateRecord, TaskStatus};

/// Records of one block: neighbours in the order of creation.
const BLOCK: usize = 256;
const WORDS: usize = BLOCK / 64;

/// A record and the lane that it belongs to.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) record: Arc<TaskStateRecord>,
    pub(super) lane: u32,
}

#[derive(Debug)]
struct Block {
    slots: Vec<Option<Slot>>,
    /// For each status one bit a record.
    with_status: [[u64; WORDS]; 5],
    used: usize,
}

impl Block {
    fn new() -> Self {
        Self {
            slots: std::iter::repeat_with(|| None).take(BLOCK).collect(),
            with_status: [[0; WORDS]; 5],
            used: 0,
        }
    }

    fn flip(&mut self, status: TaskStatus, place: usize) {
        self.with_status[status as usize][place / 64] ^= 1 << (place % 64);
    }
}

/// All records.
#[derive(Debug, Default)]
pub(super) struct Records {
    by_id: HashMap<TaskId, u64, RandomState>,
    blocks: HashMap<u64, Block, RandomState>,
    /// The numbers of the blocks, in order.
    order: BTreeSet<u64>,
    recent: Recent,
}

/// Where the records are that were asked for lately, by the address of the text of their id: who asks for one again holds
/// the id that came with it, so neither its text nor the map of ids has to be looked at.
#[derive(Debug)]
struct Recent(Box<[Cell<u64>]>);

/// Records that are remembered to be near; a power of two. More than a worker usually has under way.
const RECENT: usize = 1024;

impl Default for Recent {
    fn default() -> Self {
        Self(vec![Cell::new(0); RECENT].into())
    }
}

impl Recent {
    fn place(&self, id: &TaskId) -> &Cell<u64> {
        // Texts stand at least so far apart.
        &self.0[(id.as_str().as_ptr().addr() >> 5) % RECENT]
    }
}

fn split(seq: u64) -> (u64, usize) {
    (seq / BLOCK as u64, (seq % BLOCK as u64) as usize)
}

impl Records {
    pub(super) fn get(&self, seq: u64) -> Option<&Slot> {
        let (block, place) = split(seq);
        self.blocks.get(&block)?.slots[place].as_ref()
    }

    pub(super) fn find(&self, id: &TaskId) -> Option<&Slot> {
        if let Some(slot) = self.get(self.recent.place(id).get())
            && std::ptr::eq(slot.record.id.as_str(), id.as_str())
        {
            return Some(slot);
        }
        self.hand_out(*self.by_id.get(id)?)
    }

    /// A record that is handed out, and asked for by its id before long.
    pub(super) fn hand_out(&self, seq: u64) -> Option<&Slot> {
        let slot = self.get(seq)?;
        self.recent.place(&slot.record.id).set(seq);
        Some(slot)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &TaskId> {
        self.by_id.keys()
    }

    pub(super) fn insert(&mut self, slot: Slot) {
        let (number, place) = split(slot.record.seq);
        self.by_id.insert(slot.record.id.clone(), slot.record.seq);
        let order = &mut self.order;
        let block = self.blocks.entry(number).or_insert_with(|| {
            order.insert(number);
            Block::new()
        });
        block.flip(slot.record.status, place);
        block.used += 1;
        block.slots[place] = Some(slot);
    }

    /// Puts another state in the place of a record; gives the old one.
    pub(super) fn replace(&mut self, slot: Slot) -> Option<Slot> {
        let (number, place) = split(slot.record.seq);
        let block = self.blocks.get_mut(&number)?;
        let old = block.slots[place].replace(slot)?;
        let status = block.slots[place].as_ref()?.record.status;
        if old.record.status != status {
            block.flip(old.record.status, place);
            block.flip(status, place);
        }
        Some(old)
    }

    pub(super) fn remove(&mut self, seq: u64) -> Option<Slot> {
        let (number, place) = split(seq);
        let block = self.blocks.get_mut(&number)?;
        let slot = block.slots[place].take()?;
        block.flip(slot.record.status, place);
        block.used -= 1;
        if block.used == 0 {
            self.blocks.remove(&number);
            self.order.remove(&number);
        }
        self.by_id.remove(&slot.record.id);
        Some(slot)
    }

    /// Records of a status, in order of creation.
    pub(super) fn of_status(
        &self,
        status: TaskStatus,
        seqs: Range<u64>,
        limit: usize,
        reverse: bool,
    ) -> Vec<&Slot> {
        let mut found = Vec::new();
        if seqs.is_empty() {
            return found;
        }
        let numbers = self
            .order
            .range(split(seqs.start).0..=split(seqs.end - 1).0);
        let mut visit = |number: &u64| {
            let Some(block) = self.blocks.get(number) else {
                return true;
            };
            let bits = &block.with_status[status as usize];
            let of_word = |word: usize| (0..64).filter(move |bit| bits[word] >> bit & 1 == 1);
            let places = (0..WORDS).flat_map(|word| of_word(word).map(move |bit| word * 64 + bit));
            let mut slots: Vec<_> = places
                .filter(|place| seqs.contains(&(number * BLOCK as u64 + *place as u64)))
                .filter_map(|place| block.slots[place].as_ref())
                .collect();
            if reverse {
                slots.reverse();
            }
            found.extend(slots);
            found.len() < limit
        };
        if reverse {
            numbers.rev().all(&mut visit);
        } else {
            numbers.copied().all(|number| visit(&number));
        }
        found.truncate(limit);
        found
    }
}
