//! From where on claims look, while what was claimed before cannot be cleaned up.
//!
//! The rows of what was claimed stay in the indexes until no transaction can see them any more. While an old one is open
//! anywhere in the database, a look for the first row that is ready goes past all that were claimed since. After a look that
//! took long the next ones begin where it met the first, and now and then comes one that looks at everything again: what
//! became ready before that place is claimed then.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::{Clock, SystemClock};
use crate::store::{ClaimRequest, Lanes};
use crate::timestamp::Timestamp;

/// A look that takes longer goes past much that is gone. Usual ones take a tenth of it.
const SLOW: Duration = Duration::from_millis(25);

/// The next look at everything comes so many times later as the last one took, within these.
const REST: u32 = 20;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5);

/// Of two transactions that were begun one after the other, the first may be committed so much later.
const OVERTAKEN: Duration = Duration::from_secs(1);

/// What a look passes over, in microseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    /// Tasks that were due before.
    pub(super) due: i64,
    /// Leases that end before.
    pub(super) lease_end: i64,
    /// How long until everything is looked at again; `None` when this look does.
    pub(super) whole_in: Option<Duration>,
}

impl Since {
    /// Passes over nothing.
    pub(super) const START: Self = Self {
        due: i64::MIN,
        lease_end: i64::MIN,
        whole_in: None,
    };
}

#[derive(Debug)]
struct Known {
    due: i64,
    lease_end: i64,
    lanes: Lanes,
    /// When everything is looked at again, by the steady clock.
    whole_at: Duration,
}

impl Known {
    fn is_of(&self, lanes: &Lanes) -> bool {
        self.lanes.queues == lanes.queues && Arc::ptr_eq(&self.lanes.names, &lanes.names)
    }
}

/// What the last look at everything taught.
#[derive(Debug, Default)]
pub(super) struct Floor(Mutex<Option<Known>>);

/// A look at everything that is under way.
pub(super) struct Look(Duration);

impl Look {
    pub(super) fn begin() -> Self {
        Self(SystemClock.steady().at)
    }
}

impl Floor {
    /// From where on the next claim of these lanes looks.
    pub(super) fn next(&self, request: &ClaimRequest) -> Since {
        let now = SystemClock.steady().at;
        match &*self.0.lock() {
            Some(known) if known.whole_at > now && known.is_of(&request.lanes) => Since {
                due: known.due,
                lease_end: known.lease_end,
                whole_in: Some(known.whole_at.saturating_sub(now)),
            },
            _ => Since::START,
        }
    }

    /// What a look at everything met first, and when: the task that was due first of those it found, the first lease.
    pub(super) fn learn(
        &self,
        look: &Look,
        request: &ClaimRequest,
        (due, lease_end): (Option<Timestamp>, Option<Timestamp>),
        now: Timestamp,
    ) {
        let ended = SystemClock.steady().at;
        let took = ended.saturating_sub(look.0);
        let before = |first: Option<Timestamp>| {
            let first = first.map_or(now, |first| first.min(now));
            first.saturating_sub(OVERTAKEN).as_micros()
        };
        *self.0.lock() = (took >= SLOW).then(|| Known {
            due: before(due),
            lease_end: before(lease_end),
            lanes: request.lanes.clone(),
            whole_at: ended + (took * REST).clamp(SHORTEST, LONGEST),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::WorkerId;

    fn claim(lanes: &Lanes) -> ClaimRequest {
        ClaimRequest {
            worker: WorkerId::new("w").unwrap(),
            lanes: lanes.clone(),
            limit: 1,
            ttl: Duration::from_secs(30),
        }
    }

    /// A look that was begun so long ago.
    fn begun(ago: Duration) -> Look {
        Look(SystemClock.steady().at.saturating_sub(ago))
    }

    #[test]
    fn only_a_slow_look_makes_the_next_ones_begin_where_it_met_the_first() {
        let floor = Floor::default();
        let lanes = Lanes::new(["default"], ["mail"]);
        let (first, now) = (
            Timestamp::from_micros(7_000_000),
            Timestamp::from_micros(9_000_000),
        );
        floor.learn(&Look::begin(), &claim(&lanes), (Some(first), None), now);
        assert_eq!(floor.next(&claim(&lanes)).whole_in, None);

        floor.learn(&begun(SLOW), &claim(&lanes), (Some(first), None), now);
        let since = floor.next(&claim(&lanes));
        assert_eq!((since.due, since.lease_end), (6_000_000, 8_000_000));
        assert!(since.whole_in.is_some_and(|wait| wait <= SHORTEST));
        let other = Lanes::new(["default"], ["mail"]);
        assert_eq!(
            floor.next(&claim(&other)).due,
            i64::MIN,
            "what others met says nothing"
        );

        floor.learn(&Look::begin(), &claim(&lanes), (Some(first), None), now);
        assert_eq!(
            floor.next(&claim(&lanes)).due,
            i64::MIN,
            "what is gone was cleaned up"
        );
    }

    #[test]
    fn what_is_due_later_hides_nothing_that_becomes_due_before() {
        let floor = Floor::default();
        let lanes = Lanes::new(["default"], ["mail"]);
        let (later, now) = (
            Timestamp::from_micros(99_000_000),
            Timestamp::from_micros(9_000_000),
        );
        floor.learn(&begun(SLOW), &claim(&lanes), (None, Some(later)), now);
        let since = floor.next(&claim(&lanes));
        assert_eq!((since.due, since.lease_end), (8_000_000, 8_000_000));
    }
}
