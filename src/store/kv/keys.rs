//! The layout of the rows. Every key starts with one byte that names its table.
//!
//! | byte | key | value |
//! |---|---|---|
//! | `t` | task id | the record, JSON |
//! | `s` | status, seq | id: records by status in order of creation |
//! | `w` | hash of a word, seq | id: records by name, schedule, tag or parent |
//! | `q` | queue, lane, order | id: ready records |
//! | `h` | queue, order, lane | name and version: the first of each lane that is not empty |
//! | `H` | queue, lane | the order of that first |
//! | `d` | queue, due time, seq | id: records that are not due yet |
//! | `l` | boot, end, id | id: leases by their end |
//! | `f` | finish time, seq | id: ended records, for retention |
//! | `g` | gate, id | holders of a gate |
//! | `p` | gate, order | id: records parked behind it |
//! | `P` | gate | its key: gates that have parked records |
//! | `S` | gate | how far a sweep of what is parked behind it has come |
//! | `b` | gate | when its next token is due |
//! | `v` | time, gate | the gate's key: when a gate opens by itself |
//! | `u` | unique key | owner |
//! | `k` | time, unique key | when a key is given up |
//! | `E` | owner, stream | first and next number |
//! | `e` | owner, stream, number | event |
//! | `K` | hash of owner, stream and event key | number |
//! | `m` | mark key | mark |
//! | `M` | time, mark key | when a mark goes away |
//! | `c` | queue, name, status | a count |
//! | `x` | task id | a record that could not be read |
//! | `y` | | how far a round of retention has come |
//! | `z` | | the last number given |
//!
//! Texts of any length enter keys as 128-bit hashes, so no key passes 300 bytes; where two texts could share one, the
//! record itself is looked at.

use smallvec::SmallVec;
use twox_hash::XxHash3_128;

use crate::id::TaskId;
use crate::store::StreamId;
use crate::task::{TaskStateRecord, TaskStatus};
use crate::timestamp::Timestamp;

/// A 128-bit XXH3 hash of a text; XXH3 gives the same for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Word([u8; 16]);

impl Word {
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut text: SmallVec<[u8; 256]> = SmallVec::new();
        for (index, part) in parts.iter().enumerate() {
            // Names have no control characters, so a zero byte keeps ("a", "b") and ("ab", "") apart.
            if index > 0 {
                text.push(0);
            }
            text.extend_from_slice(part);
        }
        Self(XxHash3_128::oneshot(&text).to_be_bytes())
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The first in order.
    #[cfg(feature = "postgres")]
    pub(crate) const LEAST: Self = Self([0; 16]);

    #[cfg(feature = "postgres")]
    pub(crate) const fn bytes(self) -> [u8; 16] {
        self.0
    }

    pub(crate) fn of_queue(queue: &str) -> Self {
        queue_word(queue)
    }

    pub(crate) fn of_lane(name: &str, version: Option<&str>) -> Self {
        lane_word(name, version)
    }

    pub(crate) fn of_name(name: &str) -> Self {
        name_word(name)
    }
}

/// The place of a record among those of its lane: larger priority, earlier due time, earlier creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Order {
    rank: u8,
    due: Timestamp,
    /// The creation sequence of the record.
    pub(crate) seq: u64,
}

impl Order {
    /// Before all others.
    #[cfg(feature = "postgres")]
    pub(crate) const FIRST: Self = Self {
        rank: 0,
        due: Timestamp::MIN,
        seq: 0,
    };

    #[cfg(feature = "postgres")]
    pub(crate) const fn at(priority: u8, due: Timestamp, seq: u64) -> Self {
        Self {
            rank: 255 - priority,
            due,
            seq,
        }
    }

    pub(crate) fn of(record: &TaskStateRecord) -> Self {
        Self {
            rank: 255 - record.priority,
            due: record.run_at,
            seq: record.seq,
        }
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; ORDER] = bytes.try_into().ok()?;
        Some(Self {
            rank: bytes[0],
            due: time_at(&bytes, 1)?,
            seq: seq(&bytes),
        })
    }

    pub(crate) fn bytes(self) -> [u8; ORDER] {
        let mut bytes = [0; ORDER];
        bytes[0] = self.rank;
        bytes[1..9].copy_from_slice(&time(self.due));
        bytes[9..].copy_from_slice(&self.seq.to_be_bytes());
        bytes
    }
}

/// The length of an order in a key.
const ORDER: usize = 17;

fn time(timestamp: Timestamp) -> [u8; 8] {
    // Flipping the sign bit makes negative times sort before positive ones.
    (timestamp.as_micros().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn join(table: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    key.push(table);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// The end of the range of all keys that start with `prefix`.
pub(crate) fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

pub(crate) fn record(id: &TaskId) -> Vec<u8> {
    join(b't', &[id.as_str().as_bytes()])
}

pub(crate) fn record_prefix(prefix: &str) -> Vec<u8> {
    join(b't', &[prefix.as_bytes()])
}

/// Records set aside.
pub(crate) const ASIDE: &[u8] = b"x";

pub(crate) fn corrupt(id: &TaskId) -> Vec<u8> {
    join(b'x', &[id.as_str().as_bytes()])
}

pub(crate) fn status(status: TaskStatus) -> Vec<u8> {
    join(b's', &[&[status as u8]])
}

pub(crate) fn status_seq(of: TaskStatus, seq: u64) -> Vec<u8> {
    join(b's', &[&[of as u8], &seq.to_be_bytes()])
}

pub(crate) fn word(word: Word) -> Vec<u8> {
    join(b'w', &[&word.0])
}

pub(crate) fn word_seq(word: Word, seq: u64) -> Vec<u8> {
    join(b'w', &[&word.0, &seq.to_be_bytes()])
}

/// The creation sequence at the end of a key.
pub(crate) fn seq(key: &[u8]) -> u64 {
    key.last_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

pub(crate) fn name_word(name: &str) -> Word {
    Word::of(&[b"n", name.as_bytes()])
}

pub(crate) fn tag_word(tag: &str) -> Word {
    Word::of(&[b"t", tag.as_bytes()])
}

pub(crate) fn parent_word(parent: &TaskId) -> Word {
    Word::of(&[b"p", parent.as_str().as_bytes()])
}

pub(crate) fn queue_word(queue: &str) -> Word {
    Word::of(&[queue.as_bytes()])
}

pub(crate) fn lane_word(name: &str, version: Option<&str>) -> Word {
    Word::of(&[name.as_bytes(), version.unwrap_or("").as_bytes()])
}

pub(crate) fn lane(queue: Word, lane: Word) -> Vec<u8> {
    join(b'q', &[&queue.0, &lane.0])
}

pub(crate) fn ready(queue: Word, lane: Word, order: Order) -> Vec<u8> {
    join(b'q', &[&queue.0, &lane.0, &order.bytes()])
}

/// The order at the end of a key.
pub(crate) fn order(key: &[u8]) -> Option<Order> {
    Order::from_slice(key.last_chunk::<ORDER>()?)
}

pub(crate) fn heads(queue: Word) -> Vec<u8> {
    join(b'h', &[&queue.0])
}

pub(crate) fn head(queue: Word, order: Order, lane: Word) -> Vec<u8> {
    join(b'h', &[&queue.0, &order.bytes(), &lane.0])
}

/// Order and lane of a key made by [`head`].
pub(crate) fn split_head(key: &[u8]) -> Option<(Order, Word)> {
    Some((
        Order::from_slice(key.get(17..34)?)?,
        Word::from_slice(key.get(34..)?)?,
    ))
}

pub(crate) fn lane_head(queue: Word, lane: Word) -> Vec<u8> {
    join(b'H', &[&queue.0, &lane.0])
}

pub(crate) fn delayed_queue(queue: Word) -> Vec<u8> {
    join(b'd', &[&queue.0])
}

pub(crate) fn delayed(queue: Word, due: Timestamp, seq: u64) -> Vec<u8> {
    join(b'd', &[&queue.0, &time(due), &seq.to_be_bytes()])
}

/// The end of the delayed rows that are due.
pub(crate) fn delayed_until(queue: Word, now: Timestamp) -> Vec<u8> {
    after(&join(b'd', &[&queue.0, &time(now)]))
}

/// The time in a key of `table` that starts with it, after `skip` bytes.
pub(crate) fn time_at(key: &[u8], skip: usize) -> Option<Timestamp> {
    let bytes: [u8; 8] = key.get(skip..skip + 8)?.try_into().ok()?;
    Some(Timestamp::from_micros(
        (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed(),
    ))
}

/// Where the time of a delayed row starts.
pub(crate) const DELAYED_TIME: usize = 17;

pub(crate) const LEASES: &[u8] = b"l";

pub(crate) fn lease(boot: u64, end: u64, id: &TaskId) -> Vec<u8> {
    join(
        b'l',
        &[
            &boot.to_be_bytes(),
            &end.to_be_bytes(),
            id.as_str().as_bytes(),
        ],
    )
}

pub(crate) fn leases_until(boot: u64, end: u64) -> (Vec<u8>, Vec<u8>) {
    (
        join(b'l', &[&boot.to_be_bytes()]),
        after(&join(b'l', &[&boot.to_be_bytes(), &end.to_be_bytes()])),
    )
}

/// Boot and end of a key made by [`lease`].
/// The id at the end of the key of a lease.
pub(crate) fn lease_id(key: &[u8]) -> &[u8] {
    key.get(17..).unwrap_or_default()
}

pub(crate) fn split_lease(key: &[u8]) -> Option<(u64, u64)> {
    let boot = key.get(1..9)?.try_into().ok()?;
    let end = key.get(9..17)?.try_into().ok()?;
    Some((u64::from_be_bytes(boot), u64::from_be_bytes(end)))
}

pub(crate) const FINISHED: &[u8] = b"f";

pub(crate) fn finished(at: Timestamp, seq: u64) -> Vec<u8> {
    join(b'f', &[&time(at), &seq.to_be_bytes()])
}

pub(crate) fn gate_word(key: &str) -> Word {
    Word::of(&[key.as_bytes()])
}

/// The holders of all gates.
pub(crate) const HOLDERS: &[u8] = b"g";

/// The id in a key made by [`holder`].
pub(crate) fn holder_id(key: &[u8]) -> Option<&[u8]> {
    key.get(17..)
}

pub(crate) fn holders(gate: Word) -> Vec<u8> {
    join(b'g', &[&gate.0])
}

pub(crate) fn holder(gate: Word, id: &TaskId) -> Vec<u8> {
    join(b'g', &[&gate.0, id.as_str().as_bytes()])
}

pub(crate) fn parked_all(gate: Word) -> Vec<u8> {
    join(b'p', &[&gate.0])
}

pub(crate) fn parked(gate: Word, order: Order) -> Vec<u8> {
    join(b'p', &[&gate.0, &order.bytes()])
}

pub(crate) const PARKED_GATES: &[u8] = b"P";

pub(crate) fn parked_gate(gate: Word) -> Vec<u8> {
    join(b'P', &[&gate.0])
}

/// The limit of those parked behind a gate, or nothing when they have different ones.
pub(crate) fn parked_limit(gate: Word) -> Vec<u8> {
    join(b'L', &[&gate.0])
}

pub(crate) const SWEPT: &[u8] = b"S";

pub(crate) fn swept_to(gate: Word) -> Vec<u8> {
    join(b'S', &[&gate.0])
}

/// The row of the gate that such a row is of.
pub(crate) fn parked_gate_of(swept: &[u8]) -> Vec<u8> {
    [PARKED_GATES, swept.get(SWEPT.len()..).unwrap_or_default()].concat()
}

pub(crate) fn bucket(gate: Word) -> Vec<u8> {
    join(b'b', &[&gate.0])
}

pub(crate) const GATE_TIMERS: &[u8] = b"v";

pub(crate) fn gate_timer(at: Timestamp, gate: Word) -> Vec<u8> {
    join(b'v', &[&time(at), &gate.0])
}

/// The end of the rows of a timed table that are due.
pub(crate) fn due(table: &[u8], now: Timestamp) -> Vec<u8> {
    after(&join(table[0], &[&time(now)]))
}

pub(crate) const UNIQUES: &[u8] = b"u";

pub(crate) fn unique(key: &str) -> Vec<u8> {
    join(b'u', &[key.as_bytes()])
}

pub(crate) const UNIQUE_ENDS: &[u8] = b"k";

pub(crate) fn unique_end(at: Timestamp, key: &str) -> Vec<u8> {
    join(b'k', &[&time(at), key.as_bytes()])
}

pub(crate) const STREAMS: &[u8] = b"E";

/// The streams of an owner.
pub(crate) fn streams(owner: &str) -> Vec<u8> {
    join(b'E', &[&Word::of(&[owner.as_bytes()]).0])
}

pub(crate) fn stream(stream: &StreamId) -> Vec<u8> {
    join(
        b'E',
        &[
            &Word::of(&[stream.owner.as_bytes()]).0,
            stream.name.as_bytes(),
        ],
    )
}

pub(crate) fn event(stream: &StreamId, number: u64) -> Vec<u8> {
    let word = Word::of(&[stream.owner.as_bytes(), stream.name.as_bytes()]);
    join(b'e', &[&word.0, &number.to_be_bytes()])
}

pub(crate) fn event_key(stream: &StreamId, key: &str) -> Vec<u8> {
    join(
        b'K',
        &[&Word::of(&[
            stream.owner.as_bytes(),
            stream.name.as_bytes(),
            key.as_bytes(),
        ])
        .0],
    )
}

pub(crate) fn mark(key: &str) -> Vec<u8> {
    join(b'm', &[key.as_bytes()])
}

pub(crate) const MARK_ENDS: &[u8] = b"M";

pub(crate) fn mark_end(at: Timestamp, key: &str) -> Vec<u8> {
    join(b'M', &[&time(at), key.as_bytes()])
}

pub(crate) const COUNTS: &[u8] = b"c";

/// The counts of a queue.
pub(crate) fn counts_of(queue: &str) -> Vec<u8> {
    join(b'c', &[&queue_word(queue).0])
}

pub(crate) fn count(queue: &str, name: &str, status: TaskStatus) -> Vec<u8> {
    join(
        b'c',
        &[&queue_word(queue).0, &name_word(name).0, &[status as u8]],
    )
}

pub(crate) const RETIRED_TO: &[u8] = b"y";

pub(crate) const LAST_NUMBER: &[u8] = b"z";
