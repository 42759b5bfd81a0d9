//! Waiting until handlers have done what they can do without the clock.

use std::future::Future;
use std::time::Duration;

use super::Harness;
use crate::clock::{Clock, SystemClock};
use crate::testing::{ManualClock, ProbeStore};

/// Rounds of the runtime without a sign of life after which a handler counts as waiting for something.
const QUIET_ROUNDS: usize = 64;

/// The same while no handler runs: a task that the test or the library spawned may have been woken by the clock.
const IDLE_ROUNDS: usize = 8;

/// On a runtime of several threads a round says little; then this much real time has to be quiet.
const QUIET_TIME: Duration = Duration::from_millis(5);

/// A handler without `async`, or a store on disk, that gives no sign for so long counts as waiting for something.
const BUSY_TIME: Duration = Duration::from_secs(10);
const BUSY_NAP: Duration = Duration::from_micros(200);

/// What changes while handlers do something.
#[derive(PartialEq)]
struct Signs {
    news: bool,
    running: usize,
    sleepers: usize,
    calls: u64,
    events: usize,
}

fn signs(harness: &Harness) -> Signs {
    Signs {
        news: harness.worker.has_news(),
        running: harness.worker.running(),
        sleepers: harness.clock.sleepers(),
        calls: harness.probe.calls().total(),
        events: harness.events.lock().len(),
    }
}

/// Gives handlers the runtime until one ended or none does anything; answers whether there is something to do.
pub(super) async fn wait(harness: &Harness) -> bool {
    let mut before = signs(harness);
    let mut quiet = 0;
    let mut waited = Duration::ZERO;
    loop {
        if before.news {
            return true;
        }
        let is_busy = harness.probe.in_flight() > 0 || blocking(harness) > 0;
        let rounds = if before.running == 0 {
            IDLE_ROUNDS
        } else {
            QUIET_ROUNDS
        };
        if is_busy && waited < BUSY_TIME {
            // Threads are at work: they take real time.
            SystemClock.sleep(BUSY_NAP).await;
            waited += BUSY_NAP;
            quiet = 0;
        } else {
            tokio::task::yield_now().await;
            quiet += 1;
        }
        let after = signs(harness);
        if after != before {
            (quiet, waited) = (0, Duration::ZERO);
        } else if quiet >= rounds {
            if before.running == 0 || is_current_thread() || waited >= QUIET_TIME {
                return false;
            }
            let nap = Duration::from_millis(1);
            SystemClock.sleep(nap).await;
            waited += nap;
        }
        before = after;
    }
}

/// Waits for a call of the harness itself. While a fault delays it the clock moves: a slow store takes time of the test.
pub(super) async fn through<T>(
    clock: &ManualClock,
    probe: &ProbeStore,
    call: impl Future<Output = T>,
) -> T {
    tokio::pin!(call);
    loop {
        tokio::select! {
            biased;
            answer = &mut call => return answer,
            () = only_delayed(probe) => drop(clock.advance_to_next()),
        }
    }
}

/// Waits until nothing is done but what a fault delays.
async fn only_delayed(probe: &ProbeStore) {
    let mut quiet = 0;
    while quiet < IDLE_ROUNDS {
        if probe.delayed() > 0 && probe.in_flight() == 0 {
            tokio::task::yield_now().await;
            quiet += 1;
        } else {
            SystemClock.sleep(BUSY_NAP).await;
            quiet = 0;
        }
    }
}

/// Handlers without `async` that run now.
fn blocking(harness: &Harness) -> usize {
    harness.context.blocking().busy_places()
}

fn is_current_thread() -> bool {
    tokio::runtime::Handle::current().runtime_flavor()
        == tokio::runtime::RuntimeFlavor::CurrentThread
}
