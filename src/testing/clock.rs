//! [`ManualClock`]: time that moves only when a test moves it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::{Clock, Steady};
use crate::timestamp::Timestamp;

/// A [`Clock`] that stands still until it is moved.
///
/// Wall time and steady time are two hands: [`advance`](Self::advance) moves both, [`set_wall`](Self::set_wall) only the
/// wall, as somebody does who sets the clock of a machine. [`reboot`](Self::reboot) begins a new run of the steady clock.
/// Sleepers wake when the steady hand reaches their time, the earliest first.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use std::time::Duration;
/// use tlo::{Clock, testing::ManualClock};
/// let clock = ManualClock::shared();
/// let sleeper = tokio::spawn({
///     let clock = clock.clone();
///     async move { clock.sleep(Duration::from_secs(3600)).await }
/// });
/// clock.until_sleeping(1).await;
/// assert_eq!(clock.next_wake(), Some(Duration::from_secs(3600)));
/// clock.advance_to_next();
/// sleeper.await.unwrap();
/// # });
/// ```
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<State>,
    asleep: Notify,
}

#[derive(Debug)]
struct State {
    wall: Timestamp,
    steady: Steady,
    /// By the time they wait for, then in the order in which they fell asleep.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    last_sleeper: u64,
    hides_boot: bool,
}

/// Where a manual clock starts unless told: a Monday, 2026-01-05T00:00:00Z.
const START: Timestamp = Timestamp::from_micros(1_767_571_200_000_000);

impl Default for ManualClock {
    fn default() -> Self {
        Self::at(START)
    }
}

impl ManualClock {
    /// A clock that shows this wall time.
    #[must_use]
    pub fn at(wall: Timestamp) -> Self {
        Self {
            state: Mutex::new(State {
                wall,
                steady: Steady {
                    boot: 1,
                    at: Duration::from_secs(1_000),
                },
                sleepers: BTreeMap::new(),
                last_sleeper: 0,
                hides_boot: false,
            }),
            asleep: Notify::new(),
        }
    }

    /// A clock to share between a store and a test, at 2026-01-05T00:00:00Z.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Moves both hands and wakes everybody whose time came.
    pub fn advance(&self, by: Duration) {
        self.turn(|state| {
            state.wall = state.wall.saturating_add(by);
            state.steady.at = state.steady.at.saturating_add(by);
        });
    }

    /// Moves both hands to the moment at which the first sleeper wakes; answers how far, `None` when nobody sleeps.
    pub fn advance_to_next(&self) -> Option<Duration> {
        let wait = self.next_wake()?;
        self.advance(wait);
        Some(wait)
    }

    /// Sets the wall clock, forwards or back; steady time and sleepers do not notice.
    pub fn set_wall(&self, wall: Timestamp) {
        self.state.lock().wall = wall;
    }

    /// Begins a new run of the steady clock, as a restart of the machine does. Sleepers of the old run are woken, for their
    /// time can no longer come.
    pub fn reboot(&self) {
        let woken = {
            let mut state = self.state.lock();
            state.steady = Steady {
                boot: state.steady.boot + 1,
                at: Duration::ZERO,
            };
            std::mem::take(&mut state.sleepers)
        };
        woken.into_values().for_each(Waker::wake);
    }

    /// Says from now on that its boot is its own and not that of the machine, as where no kernel tells it.
    pub fn hide_boot(&self) {
        self.state.lock().hides_boot = true;
    }

    /// How many wait on this clock.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.state.lock().sleepers.len()
    }

    /// How far the clock must be advanced for the first sleeper to wake.
    #[must_use]
    pub fn next_wake(&self) -> Option<Duration> {
        let state = self.state.lock();
        let ((at, _), _) = state.sleepers.first_key_value()?;
        Some(at.saturating_sub(state.steady.at))
    }

    /// Waits until at least this many sleep on the clock. It does not move the clock.
    pub async fn until_sleeping(&self, count: usize) {
        loop {
            let more = self.asleep.notified();
            if self.sleepers() >= count {
                return;
            }
            more.await;
        }
    }

    fn turn(&self, change: impl FnOnce(&mut State)) {
        let woken = {
            let mut state = self.state.lock();
            change(&mut state);
            let later = state.steady.at.saturating_add(Duration::from_nanos(1));
            let still_asleep = state.sleepers.split_off(&(later, 0));
            std::mem::replace(&mut state.sleepers, still_asleep)
        };
        woken.into_values().for_each(Waker::wake);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state.lock().wall
    }

    fn steady(&self) -> Steady {
        self.state.lock().steady
    }

    fn knows_boot(&self) -> bool {
        !self.state.lock().hides_boot
    }

    async fn sleep(&self, duration: Duration) {
        let begun = self.steady();
        Sleep {
            clock: self,
            boot: begun.boot,
            until: begun.at.saturating_add(duration),
            number: None,
        }
        .await;
    }
}

struct Sleep<'a> {
    clock: &'a ManualClock,
    boot: u64,
    until: Duration,
    number: Option<u64>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.state.lock();
        if state.steady.boot != self.boot || state.steady.at >= self.until {
            return Poll::Ready(());
        }
        let number = self.number.unwrap_or_else(|| {
            state.last_sleeper += 1;
            state.last_sleeper
        });
        let before = state
            .sleepers
            .insert((self.until, number), context.waker().clone());
        drop(state);
        drop(before);
        if self.number.replace(number).is_none() {
            self.clock.asleep.notify_waiters();
        }
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let mut state = self.clock.state.lock();
            let waker = state.sleepers.remove(&(self.until, number));
            drop(state);
            // The last waker of a task drops the task, and with it what else sleeps in there.
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn sleepers_wake_when_their_time_comes_and_not_before() {
        let clock = ManualClock::shared();
        let order = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = [3_u32, 1, 2]
            .into_iter()
            .map(|seconds| {
                let (clock, order) = (Arc::clone(&clock), Arc::clone(&order));
                tokio::spawn(async move {
                    clock.sleep(SECOND * seconds).await;
                    order.lock().push(seconds);
                })
            })
            .collect();
        clock.until_sleeping(3).await;
        assert_eq!(clock.next_wake(), Some(SECOND));
        clock.advance(SECOND - Duration::from_nanos(1));
        assert_eq!(clock.sleepers(), 3);
        clock.advance(Duration::from_nanos(1));
        assert_eq!(clock.sleepers(), 2);
        assert_eq!(clock.advance_to_next(), Some(SECOND));
        clock.advance(SECOND * 10);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock(), [1, 2, 3]);
        assert_eq!((clock.sleepers(), clock.advance_to_next()), (0, None));
    }

    #[tokio::test]
    async fn a_sleep_that_is_given_up_is_forgotten() {
        let clock = ManualClock::shared();
        tokio::select! {
            () = clock.sleep(SECOND) => unreachable!("nobody moved the clock"),
            () = clock.until_sleeping(1) => {}
        }
        assert_eq!(clock.sleepers(), 0);
        clock.sleep(Duration::ZERO).await;
    }

    #[tokio::test]
    async fn the_two_hands_move_apart() {
        let clock = ManualClock::default();
        let (wall, steady) = (clock.now(), clock.steady());
        clock.set_wall(wall.saturating_sub(SECOND * 3600));
        assert_eq!(clock.steady(), steady);
        clock.advance(SECOND);
        assert_eq!(clock.now(), wall.saturating_sub(SECOND * 3599));
        assert_eq!(clock.steady().at, steady.at + SECOND);
        clock.reboot();
        assert_ne!(clock.steady().boot, steady.boot);
        assert_eq!(clock.now(), wall.saturating_sub(SECOND * 3599));
    }

    #[tokio::test]
    async fn a_reboot_ends_every_sleep() {
        let clock = ManualClock::shared();
        let sleeper = tokio::spawn({
            let clock = Arc::clone(&clock);
            async move { clock.sleep(SECOND).await }
        });
        clock.until_sleeping(1).await;
        clock.reboot();
        sleeper.await.unwrap();
    }
}
