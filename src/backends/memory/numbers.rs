//! Creation sequences in order, cheap for those that come in order and go in order.

use std::collections::VecDeque;
use std::ops::Range;

/// A sorted list of creation sequences. One that goes from the middle stays until half of them are gone, so who reads
/// it looks whether the record is still there.
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
        } else if self.seqs.back() == Some(&seq) {
            self.seqs.pop_back();
        } else {
            self.gone += 1;
            if self.gone * 2 > self.seqs.len() {
                self.seqs.retain(|other| *other != seq && is_there(*other));
                self.gone = 0;
            }
        }
        self.seqs.is_empty()
    }

    pub(super) fn range(&self, seqs: Range<u64>) -> impl DoubleEndedIterator<Item = u64> {
        let from = self.seqs.partition_point(|seq| *seq < seqs.start);
        let to = self.seqs.partition_point(|seq| *seq < seqs.end).max(from);
        self.seqs.range(from..to).copied()
    }
}
