//! The indexes of records read as the rows that other stores keep for them: reading is written once for all stores.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use super::contents::Memory;
use super::records::Slot;
use crate::store::kv::{CountRow, Pairs, Word, keys};
use crate::task::{TaskStateRecord, TaskStatus};

/// What is asked for: keys from `from`, before `until`.
#[derive(Clone, Copy)]
struct Asked<'a> {
    from: &'a [u8],
    until: &'a [u8],
    limit: usize,
    reverse: bool,
}

impl Asked<'_> {
    /// The numbers of eight bytes that follow the first `prefix` bytes of the keys; all keys asked for share these.
    fn numbers(&self, prefix: usize) -> Range<u64> {
        let low = padded(self.from.get(prefix..).unwrap_or_default());
        let past = u64::from(self.from.len() > prefix + 8);
        let high = if self.until.get(..prefix) == self.from.get(..prefix) {
            padded(self.until.get(prefix..).unwrap_or_default())
        } else {
            u64::MAX
        };
        low.saturating_add(past)..high
    }

    /// Of pairs that come in order, or backwards, those that were asked for.
    fn pick(&self, pairs: impl DoubleEndedIterator<Item = (Vec<u8>, Vec<u8>)>) -> Pairs {
        let wanted = |(key, _): &(Vec<u8>, Vec<u8>)| {
            key.as_slice() >= self.from && key.as_slice() < self.until
        };
        if self.reverse {
            pairs.rev().filter(wanted).take(self.limit).collect()
        } else {
            pairs.filter(wanted).take(self.limit).collect()
        }
    }
}

fn padded(bytes: &[u8]) -> u64 {
    let mut number = [0; 8];
    for (to, from) in number.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_be_bytes(number)
}

fn id(record: &TaskStateRecord) -> Vec<u8> {
    record.id.as_str().as_bytes().to_vec()
}

impl Memory {
    pub(super) fn range(&self, from: &[u8], until: &[u8], limit: usize, reverse: bool) -> Pairs {
        if from >= until || limit == 0 {
            return Pairs::new();
        }
        let asked = Asked {
            from,
            until,
            limit,
            reverse,
        };
        match from[0] {
            b't' => self.ids(asked),
            b's' => self.by_status(asked),
            b'w' => self.by_word(asked),
            b'c' => self.counts(asked),
            b'd' => self.delayed(asked),
            b'l' => asked.pick(self.leases.from(Bound::Unbounded).filter_map(
                |(boot, end, seq)| {
                    let record = &self.records.get(seq)?.record;
                    Some((keys::lease(boot, end, &record.id), id(record)))
                },
            )),
            b'f' => self.finished(asked),
            _ => {
                let bounds = (
                    std::ops::Bound::Included(from),
                    std::ops::Bound::Excluded(until),
                );
                let range = self.rows.range::<[u8], _>(bounds);
                let owned = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
                if reverse {
                    range.rev().take(limit).map(owned).collect()
                } else {
                    range.take(limit).map(owned).collect()
                }
            }
        }
    }

    /// Records are found by their id, not kept in order: a search by the start of an id looks at all of them.
    fn ids(&self, asked: Asked<'_>) -> Pairs {
        let mut keys: Vec<_> = self.records.ids().map(keys::record).collect();
        keys.sort_unstable();
        asked.pick(keys.into_iter().map(|key| (key, Vec::new())))
    }

    fn by_status(&self, asked: Asked<'_>) -> Pairs {
        let Some(status) = TaskStatus::ALL
            .into_iter()
            .find(|status| asked.from.get(1) == Some(&(*status as u8)))
        else {
            return Pairs::new();
        };
        let pair = |slot: &Slot| (keys::status_seq(status, slot.record.seq), id(&slot.record));
        self.records
            .of_status(status, asked.numbers(2), asked.limit, asked.reverse)
            .into_iter()
            .map(pair)
            .collect()
    }

    fn by_word(&self, asked: Asked<'_>) -> Pairs {
        let Some((word, numbers)) = asked
            .from
            .get(1..17)
            .and_then(Word::from_slice)
            .and_then(|word| Some((word, self.words.get(&word)?)))
        else {
            return Pairs::new();
        };
        let pair = |seq: u64| {
            let record = &self.records.get(seq)?.record;
            Some((keys::word_seq(word, seq), id(record)))
        };
        let seqs = numbers.range(asked.numbers(17));
        if asked.reverse {
            seqs.rev().filter_map(pair).take(asked.limit).collect()
        } else {
            seqs.filter_map(pair).take(asked.limit).collect()
        }
    }

    fn counts(&self, asked: Asked<'_>) -> Pairs {
        let mut counts = BTreeMap::new();
        for lane in self.lanes.all() {
            for status in TaskStatus::ALL {
                let n = lane.counts[status as usize];
                if n > 0 {
                    let key = keys::count(&lane.queue_name, &lane.name, status);
                    counts.entry(key).or_insert((0, lane)).0 += n;
                }
            }
        }
        let value = |n, lane: &super::lanes::Lane| CountRow::value(n, &lane.queue_name, &lane.name);
        asked.pick(
            counts
                .into_iter()
                .map(|(key, (n, lane))| (key, value(n, lane))),
        )
    }

    /// Only the first of a queue is ever asked for.
    fn delayed(&self, asked: Asked<'_>) -> Pairs {
        let first = asked
            .from
            .get(1..17)
            .and_then(Word::from_slice)
            .and_then(|queue| {
                let (due, seq) = self.lanes.next_delayed(queue)?;
                let record = &self.records.get(seq)?.record;
                Some((keys::delayed(queue, due, seq), id(record)))
            });
        asked.pick(first.into_iter())
    }

    fn finished(&self, asked: Asked<'_>) -> Pairs {
        let first = keys::time_at(asked.from, 1).unwrap_or(crate::Timestamp::MIN);
        let pair = |(at, seq): (crate::Timestamp, u64)| {
            let record = &self.records.get(seq)?.record;
            Some((keys::finished(at, seq), id(record)))
        };
        asked.pick(
            self.finished
                .from(Bound::Included((first, 0)))
                .filter_map(pair),
        )
    }
}
