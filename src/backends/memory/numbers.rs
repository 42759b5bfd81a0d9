//! Creation sequences in order, cheap for those that come in order and go in order.

use std::collections::VecDeque;
use std::ops::Range;

/// A sorted list of creation sequences. One that goes from the middle stays until it is at an end or half of them are
/// gone, so who reads the list looks whether the record is still there. Both ends are always there.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    seqs: VecDeque<u64>,
    gone: usize,
}

impl Numbers {
    pub(super) fn insert(&mut self, seq: u64) {
        if self.seqs.back().is_none_or(|last| *last < seq) {
            self.seqs.push_back(seq);
            return;
        }
        match self.seqs.binary_search(&seq) {
            // It went and comes back: its place was kept.
            Ok(_) => self.gone = self.gone.saturating_sub(1),
            Err(place) => self.seqs.insert(place, seq),
        }
    }

    /// Removes one; `is_there` says whether another one is still wanted. Answers whether the list is empty.
    pub(super) fn remove(&mut self, seq: u64, is_there: impl Fn(u64) -> bool) -> bool {
        if self.seqs.front() == Some(&seq) {
            self.seqs.pop_front();
            self.trim(is_there);
        } else if self.seqs.back() == Some(&seq) {
            self.seqs.pop_back();
            self.trim(is_there);
        } else {
            self.gone += 1;
            if self.gone * 2 > self.seqs.len() {
                self.seqs.retain(|other| *other != seq && is_there(*other));
                self.gone = 0;
            }
        }
        self.seqs.is_empty()
    }

    /// Drops from both ends what went from the middle before.
    fn trim(&mut self, is_there: impl Fn(u64) -> bool) {
        while self.gone > 0 && self.seqs.front().is_some_and(|seq| !is_there(*seq)) {
            self.seqs.pop_front();
            self.gone -= 1;
        }
        while self.gone > 0 && self.seqs.back().is_some_and(|seq| !is_there(*seq)) {
            self.seqs.pop_back();
            self.gone -= 1;
        }
    }

    pub(super) fn range(&self, seqs: Range<u64>) -> impl DoubleEndedIterator<Item = u64> {
        let from = self.seqs.partition_point(|seq| *seq < seqs.start);
        let to = self.seqs.partition_point(|seq| *seq < seqs.end).max(from);
        self.seqs.range(from..to).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stays_when_all_are_gone_in_whatever_order() {
        let orders: [[u64; 4]; 6] = [
            [1, 2, 3, 4],
            [4, 3, 2, 1],
            [2, 3, 1, 4],
            [2, 4, 3, 1],
            [3, 1, 2, 4],
            [3, 2, 4, 1],
        ];
        for order in orders {
            for removed in 1..=order.len() {
                let mut there = vec![1, 2, 3, 4];
                let mut numbers = Numbers::default();
                there.iter().for_each(|seq| numbers.insert(*seq));
                let mut is_empty = false;
                for seq in &order[..removed] {
                    there.retain(|other| other != seq);
                    is_empty = numbers.remove(*seq, |other| there.contains(&other));
                }
                assert_eq!(is_empty, there.is_empty(), "{order:?}: {numbers:?}");
                let kept: Vec<_> = numbers
                    .range(0..9)
                    .filter(|seq| there.contains(seq))
                    .collect();
                assert_eq!(kept, there, "{order:?}");
                assert_eq!(numbers.seqs.len(), there.len() + numbers.gone, "{order:?}");
                let ends = (numbers.seqs.front(), numbers.seqs.back());
                assert_eq!(ends, (there.first(), there.last()), "{order:?}");
            }
        }
    }
}
