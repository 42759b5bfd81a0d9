//! From where on claims look, while what was claimed before cannot be cleaned up.
//!
//! The rows of what was claimed stay in the indexes until no transaction can see them any more. While an old one is open
//! anywhere in the database, a look for the first row that is ready goes past all that were claimed since. After a look that
//! took long, and when the server says that many rows are gone and not cleaned up, the next ones begin where it met the first;
//! now and then comes one that looks at everything again, and claims what became ready before that place.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::fault::Fault;
use super::link::Link;
use crate::clock::{Clock, SystemClock};
use crate::store::{ClaimRequest, Lanes};
use crate::timestamp::Timestamp;

/// A look that takes longer may go past much that is gone. Usual ones take a tenth of it.
const SLOW: Duration = Duration::from_millis(25);

/// The next look at everything comes so many times later as the last one took, within these.
const REST: u32 = 20;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5);

/// Of two transactions that were begun one after the other, the first may be committed so much later.
const OVERTAKEN: Duration = Duration::from_secs(1);

/// The reason may as well be a machine that is busy: the server says how many rows of tasks are gone and not cleaned up.
const GONE: &str = "SELECT pg_stat_get_dead_tuples('@task'::regclass)";

/// From so many on they are the reason. The server begins to clean up at an eighth of it.
const MANY: i64 = 40_000;

/// It is not asked more often.
const ASK_AGAIN: Duration = Duration::from_secs(1);

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

/// What the last look at everything taught, and the last answer of the server.
#[derive(Debug, Default)]
pub(super) struct Floor(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: Option<Known>,
    /// By the steady clock.
    asked_at: Option<Duration>,
    many_are_gone: bool,
    /// It was warned of, and no look was quick since.
    is_warned_of: bool,
}

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
        let state = self.0.lock();
        match &state.known {
            Some(known)
                if state.many_are_gone && known.whole_at > now && known.is_of(&request.lanes) =>
            {
                Since {
                    due: known.due,
                    lease_end: known.lease_end,
                    whole_in: Some(known.whole_at.saturating_sub(now)),
                }
            }
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
        let mut state = self.0.lock();
        state.is_warned_of &= took >= SLOW;
        state.known = (took >= SLOW).then(|| Known {
            due: before(due),
            lease_end: before(lease_end),
            lanes: request.lanes.clone(),
            whole_at: ended + (took * REST).clamp(SHORTEST, LONGEST),
        });
    }

    /// After a slow look, whether the server is to be asked for the reason.
    pub(super) fn asks(&self) -> bool {
        let now = SystemClock.steady().at;
        let state = self.0.lock();
        state.known.is_some() && state.asked_at.is_none_or(|at| at + ASK_AGAIN <= now)
    }

    /// Asks it. One that does not say leaves claims looking at everything.
    pub(super) async fn ask(&self, link: Link<'_>) -> Result<(), Fault> {
        let asked = link.query(GONE, &[]).await;
        let gone = match &asked {
            Ok(rows) => rows.first().and_then(|row| row.try_get(0).ok()),
            Err(_) => None,
        };
        let gone = gone.unwrap_or(0);
        if self.told(gone) {
            tracing::warn!(
                gone,
                "claims are slow for rows that are gone and cannot be cleaned up: a transaction is open for long somewhere in the database (pg_stat_activity, the first xact_start), or autovacuum is off"
            );
        }
        asked.map(drop)
    }

    /// Notes how many rows are gone; whether that is to be warned of.
    fn told(&self, gone: i64) -> bool {
        let mut state = self.0.lock();
        state.asked_at = Some(SystemClock.steady().at);
        state.many_are_gone = gone >= MANY;
        state.many_are_gone && !std::mem::replace(&mut state.is_warned_of, true)
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
        floor.told(MANY);
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
    fn each_time_of_slow_looks_is_warned_of_once() {
        let (floor, lanes) = (Floor::default(), Lanes::new(["default"], ["mail"]));
        let look = |look: Look| {
            let now = Timestamp::from_micros(9_000_000);
            floor.learn(&look, &claim(&lanes), (Some(now), None), now);
        };
        for _ in 0..2 {
            look(begun(SLOW));
            assert!(!floor.told(MANY - 1));
            assert!(floor.told(MANY));
            look(begun(SLOW));
            assert!(!floor.told(MANY));
            // The server counts what is gone until it has cleaned up.
            look(Look::begin());
        }
    }

    #[test]
    fn a_look_that_is_slow_on_a_busy_machine_teaches_nothing() {
        let floor = Floor::default();
        let lanes = Lanes::new(["default"], ["mail"]);
        let now = Timestamp::from_micros(9_000_000);
        floor.learn(&Look::begin(), &claim(&lanes), (Some(now), None), now);
        assert!(!floor.asks());
        floor.learn(&begun(SLOW), &claim(&lanes), (Some(now), None), now);
        assert!(floor.asks());
        floor.told(MANY - 1);
        assert_eq!(floor.next(&claim(&lanes)).due, i64::MIN);
        assert!(!floor.asks(), "it was asked just before");
    }

    #[test]
    fn what_is_due_later_hides_nothing_that_becomes_due_before() {
        let floor = Floor::default();
        floor.told(MANY);
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
