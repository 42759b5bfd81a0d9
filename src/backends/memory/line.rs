//! A sorted set for what comes almost in order and leaves almost in order, such as times of now.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;

/// What comes behind one of the last so many is still put in its place among them.
const NEAR: usize = 64;

/// Room for this many is never given back.
const ROOM: usize = 1_024;

#[derive(Clone, Copy, Debug)]
struct Place<T> {
    value: T,
    is_there: bool,
}

/// A sorted set. What comes at its end, or near to it, is kept in a row; the rest in a tree. What leaves the middle of the
/// row keeps its place until half of the places are empty. Both ends of the row are always there.
#[derive(Debug)]
pub(super) struct Line<T> {
    row: VecDeque<Place<T>>,
    /// Empty places in the row.
    empty: usize,
    rest: BTreeSet<T>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            row: VecDeque::new(),
            empty: 0,
            rest: BTreeSet::new(),
        }
    }
}

impl<T: Ord + Copy> Line<T> {
    pub(super) fn len(&self) -> usize {
        self.row.len() - self.empty + self.rest.len()
    }

    /// Adds a value that is not there.
    pub(super) fn insert(&mut self, value: T) {
        let place = Place {
            value,
            is_there: true,
        };
        if self.row.back().is_none_or(|last| last.value < value) {
            self.row.push_back(place);
            return;
        }
        let near = self.row.len().saturating_sub(NEAR);
        let later = self
            .row
            .iter()
            .rev()
            .take(NEAR)
            .take_while(|place| place.value > value)
            .count();
        let at = self.row.len() - later;
        match at
            .checked_sub(1)
            .and_then(|before| self.row.get_mut(before))
        {
            // It went and comes back.
            Some(before) if before.value == value => {
                self.empty -= usize::from(!before.is_there);
                before.is_there = true;
            }
            _ if at > near || at == 0 => self.row.insert(at, place),
            _ => {
                self.rest.insert(value);
            }
        }
    }

    /// Answers whether it was there.
    pub(super) fn remove(&mut self, value: &T) -> bool {
        if self.row.front().is_some_and(|first| first.value == *value) {
            self.row.pop_front();
            self.trim();
            return true;
        }
        let Ok(at) = self.row.binary_search_by(|place| place.value.cmp(value)) else {
            return self.rest.remove(value);
        };
        let place = &mut self.row[at];
        if !place.is_there {
            return self.rest.remove(value);
        }
        place.is_there = false;
        self.empty += 1;
        self.trim();
        if self.empty * 2 > self.row.len() {
            self.row.retain(|place| place.is_there);
            self.empty = 0;
        }
        true
    }

    /// Drops empty places from both ends, and gives memory back when most of it is not needed any more.
    fn trim(&mut self) {
        while self.row.front().is_some_and(|first| !first.is_there) {
            self.row.pop_front();
            self.empty -= 1;
        }
        while self.row.back().is_some_and(|last| !last.is_there) {
            self.row.pop_back();
            self.empty -= 1;
        }
        // Twice what there is stays, so that this is rare.
        if self.row.capacity() > ROOM && self.row.len() < self.row.capacity() / 4 {
            self.row.shrink_to((self.row.len() * 2).max(ROOM));
        }
    }

    pub(super) fn first(&self) -> Option<T> {
        let of_row = self.row.front().map(|place| place.value);
        let of_rest = self.rest.first().copied();
        match (of_row, of_rest) {
            (Some(row), Some(rest)) => Some(row.min(rest)),
            (one, other) => one.or(other),
        }
    }

    pub(super) fn pop_first(&mut self) -> Option<T> {
        let first = self.first()?;
        self.remove(&first);
        Some(first)
    }

    /// The first place of the row whose value is not before; looked for from the front, where most is asked for.
    fn first_not(&self, is_before: impl Fn(&T) -> bool) -> usize {
        let len = self.row.len();
        let mut end = 1;
        while end < len && is_before(&self.row[end - 1].value) {
            end *= 2;
        }
        // All up to the middle of what is left were before.
        let (mut low, mut high) = (end / 2, end.min(len));
        while low < high {
            let middle = usize::midpoint(low, high);
            if is_before(&self.row[middle].value) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The values from there on, in order.
    pub(super) fn from(&self, from: Bound<T>) -> impl DoubleEndedIterator<Item = T> {
        let at = match &from {
            Bound::Unbounded => 0,
            Bound::Included(from) => self.first_not(|value| value < from),
            Bound::Excluded(from) => self.first_not(|value| value <= from),
        };
        let row = self.row.range(at..).filter(|place| place.is_there);
        Merged {
            row: row.map(|place| place.value),
            rest: self.rest.range((from, Bound::Unbounded)).copied(),
            first: (None, None),
            last: (None, None),
        }
    }
}

/// Two sorted lists as one. What was looked at and not given is kept for the next time, from either end.
struct Merged<A, B, T> {
    row: A,
    rest: B,
    first: (Option<T>, Option<T>),
    last: (Option<T>, Option<T>),
}

impl<T: Ord, A: DoubleEndedIterator<Item = T>, B: DoubleEndedIterator<Item = T>> Iterator
    for Merged<A, B, T>
{
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let row = self.first.0.take().or_else(|| self.row.next());
        let row = row.or_else(|| self.last.0.take());
        let rest = self.first.1.take().or_else(|| self.rest.next());
        let rest = rest.or_else(|| self.last.1.take());
        match (row, rest) {
            (Some(row), Some(rest)) if rest < row => {
                self.first.0 = Some(row);
                Some(rest)
            }
            (Some(row), rest) => {
                self.first.1 = rest;
                Some(row)
            }
            (None, rest) => rest,
        }
    }
}

impl<T: Ord, A: DoubleEndedIterator<Item = T>, B: DoubleEndedIterator<Item = T>> DoubleEndedIterator
    for Merged<A, B, T>
{
    fn next_back(&mut self) -> Option<T> {
        let row = self.last.0.take().or_else(|| self.row.next_back());
        let row = row.or_else(|| self.first.0.take());
        let rest = self.last.1.take().or_else(|| self.rest.next_back());
        let rest = rest.or_else(|| self.first.1.take());
        match (row, rest) {
            (Some(row), Some(rest)) if rest > row => {
                self.last.0 = Some(row);
                Some(rest)
            }
            (Some(row), rest) => {
                self.last.1 = rest;
                Some(row)
            }
            (None, rest) => rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// At the end, or this far behind it.
        Come(u16),
        /// The n-th of those that are there.
        Go(usize),
        GoFirst,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => prop_oneof![3 => 0..3_u16, 2 => 0..40_u16, 1 => 0..400_u16].prop_map(Step::Come),
            2 => any::<usize>().prop_map(Step::Go),
            2 => Just(Step::GoFirst),
        ];
        proptest::collection::vec(step, 0..600)
    }

    #[test]
    fn a_row_that_empties_gives_its_memory_back() {
        const MANY: u32 = 100_000;
        for ending in [0, MANY - 10] {
            let mut line = Line::default();
            (0..MANY).for_each(|value| line.insert(value));
            assert!(line.row.capacity() >= MANY as usize);
            let mut moves = 0;
            let mut room = line.row.capacity();
            // All but ten, from the front, or from the middle to the end.
            for value in (0..MANY).filter(|value| value.abs_diff(ending) > 10) {
                assert!(line.remove(&value));
                moves += usize::from(line.row.capacity() != room);
                room = line.row.capacity();
            }
            assert!(room <= 2 * ROOM, "{room}");
            assert!(moves < 20, "{moves}");
            assert!(line.len() <= 21 && line.first().is_some());
        }
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_set(steps in steps(), from in 0..700_u32) {
            let mut line = Line::default();
            let mut set = BTreeSet::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Come(behind) => {
                        let value = (number as u32 + 100).saturating_sub(u32::from(behind));
                        if set.insert(value) {
                            line.insert(value);
                        }
                    }
                    Step::Go(which) if !set.is_empty() => {
                        let value = *set.iter().nth(which % set.len()).unwrap();
                        set.remove(&value);
                        prop_assert!(line.remove(&value) && !line.remove(&value));
                    }
                    Step::Go(_) => prop_assert!(!line.remove(&7)),
                    Step::GoFirst => prop_assert_eq!(line.pop_first(), set.pop_first()),
                }
                prop_assert_eq!((line.len(), line.first()), (set.len(), set.first().copied()));
            }
            for from in [Bound::Unbounded, Bound::Included(from), Bound::Excluded(from)] {
                let wanted: Vec<_> = set.range((from, Bound::Unbounded)).copied().collect();
                prop_assert_eq!(&line.from(from).collect::<Vec<_>>(), &wanted);
                let mut backwards: Vec<_> = line.from(from).rev().collect();
                backwards.reverse();
                prop_assert_eq!(&backwards, &wanted);
                // From both ends in turns.
                let mut both = line.from(from);
                let (mut front, mut back) = (Vec::new(), Vec::new());
                while let Some(value) = both.next() {
                    front.push(value);
                    back.extend(both.next_back());
                }
                front.extend(back.into_iter().rev());
                prop_assert_eq!(&front, &wanted);
            }
        }
    }
}
