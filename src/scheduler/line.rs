//! The line of schedules by when they are due.

use std::collections::{BTreeMap, VecDeque};

use crate::timestamp::Timestamp;

/// Schedules by when they are due. Many share an instant: cron expressions fire on the whole second or minute, and
/// intervals that were registered together go on together.
#[derive(Debug, Default)]
pub(super) struct Line(BTreeMap<Timestamp, VecDeque<usize>>);

impl Line {
    /// The next instant at which any is due.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.0.first_key_value().map(|(at, _)| *at)
    }

    /// Those of the next instant, in their order.
    pub(super) fn next(&self) -> impl Iterator<Item = usize> {
        self.0
            .first_key_value()
            .into_iter()
            .flat_map(|(_, indexes)| indexes.iter().copied())
    }

    /// Takes out those that are due at `now`, the first first, at most so many.
    pub(super) fn take(&mut self, now: Timestamp, most: usize) -> Vec<usize> {
        let mut taken = Vec::new();
        while taken.len() < most {
            let Some(mut first) = self.0.first_entry().filter(|first| *first.key() <= now) else {
                break;
            };
            let indexes = first.get_mut();
            let left = most - taken.len();
            if indexes.len() <= left {
                taken.extend(first.remove());
            } else {
                taken.extend(indexes.drain(..left));
            }
        }
        taken
    }

    pub(super) fn push(&mut self, at: Timestamp, index: usize) {
        self.0.entry(at).or_default().push_back(index);
    }
}

impl FromIterator<(Timestamp, usize)> for Line {
    fn from_iter<T: IntoIterator<Item = (Timestamp, usize)>>(due: T) -> Self {
        let mut line = Self::default();
        due.into_iter().for_each(|(at, index)| line.push(at, index));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_first_and_no_more_than_asked_for() {
        let at = Timestamp::from_micros;
        let mut line: Line = [(at(2), 0), (at(1), 1), (at(2), 2), (at(1), 3), (at(3), 4)]
            .into_iter()
            .collect();
        assert_eq!(line.first(), Some(at(1)));
        assert_eq!(line.next().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(line.take(at(0), 9), [0; 0]);
        assert_eq!(line.take(at(2), 3), [1, 3, 0]);
        line.push(at(2), 1);
        assert_eq!(line.take(at(2), 9), [2, 1]);
        assert_eq!(line.take(at(3), 9), [4]);
        assert_eq!((line.first(), line.next().count()), (None, 0));
    }
}
