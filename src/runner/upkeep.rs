//! Keeping the store tidy.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::client::{AUDIT_KEPT, trim_audit};
use crate::context::TloContext;
use crate::store::{Maintain, SharedStore};
use crate::timestamp::Timestamp;

/// Between two rounds of upkeep, at most; and at least, for a store where much ends.
const EVERY: Duration = Duration::from_secs(60);
const AT_LEAST: Duration = Duration::from_secs(1);

/// The same on a store of this process alone: what is kept too long there takes memory, and to look costs next to nothing.
const EVERY_ALONE: Duration = Duration::from_secs(10);
const AT_LEAST_ALONE: Duration = Duration::from_millis(100);

/// Rows that one round should find to remove: when it finds more, the next one comes sooner.
const ROUND: u64 = 10_000;

/// Rows of one step: a step shares a transaction with other writers and must not hold them up.
const STEP: usize = 500;

/// Between two steps of a long round: three times as long as the step took, within these.
const SHORTEST_BREATH: Duration = Duration::from_millis(1);
const LONGEST_BREATH: Duration = Duration::from_millis(20);

/// Retention and repair, for as long as it is polled.
pub(super) async fn tidy(context: &TloContext) {
    let (store, clock) = (context.store(), context.clock());
    let retention = context
        .settings()
        .retention
        .over(store.capability().retention);
    let (mut wait, pace) = if store.capability().shared {
        // Spread, so that nodes that were started together do not all tidy together.
        (EVERY.mul_f64(0.5 + context.ids().unit()), AT_LEAST..=EVERY)
    } else {
        (AT_LEAST, AT_LEAST_ALONE..=EVERY_ALONE)
    };
    let mut unreadable = 0;
    let mut removed = 0;
    let mut last_round = clock.steady().at;
    loop {
        clock.sleep(wait).await;
        let begun = clock.steady().at;
        wait = match store
            .maintain(Maintain {
                retention,
                limit: STEP,
            })
            .await
        {
            Ok(done) => {
                if done.removed > 0 {
                    tracing::debug!(
                        removed = done.removed,
                        "finished tasks beyond the retention were removed"
                    );
                }
                if done.unreadable > unreadable {
                    tracing::error!(
                        records = done.unreadable,
                        "records are set aside because they cannot be read; `tlo doctor` says more"
                    );
                }
                unreadable = done.unreadable;
                removed += done.removed;
                let more = done.more || trim(store, clock.now()).await;
                if more {
                    let took = clock.steady().at.saturating_sub(begun);
                    (took * 3).clamp(SHORTEST_BREATH, LONGEST_BREATH)
                } else {
                    let now = clock.steady().at;
                    let since = now.saturating_sub(std::mem::replace(&mut last_round, now));
                    match std::mem::take(&mut removed) {
                        0 => after_nothing(since),
                        removed => until_next_round(since, removed, &pace),
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "upkeep of the store failed; trying again");
                EVERY
            }
        };
    }
}

/// Removes old audit events; answers whether there may be more.
async fn trim(store: &SharedStore, now: Timestamp) -> bool {
    match trim_audit(store, now.saturating_sub(AUDIT_KEPT), STEP).await {
        Ok(more) => more,
        Err(error) => {
            tracing::warn!(%error, "old audit events could not be removed; trying again");
            false
        }
    }
}

/// After a round that removed so many, which is what had ended since the one before: as long as it takes about [`ROUND`] of
/// them to end. At most twice as long as before, for it may become more.
fn until_next_round(since: Duration, removed: u64, pace: &RangeInclusive<Duration>) -> Duration {
    let rounds = removed as f64 / ROUND as f64;
    let wait = since.div_f64(rounds.max(0.5));
    wait.clamp(*pace.start(), *pace.end())
}

/// After a round that found nothing to remove: a program that does nothing is soon left alone.
fn after_nothing(since: Duration) -> Duration {
    (since * 4).clamp(AT_LEAST, EVERY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: RangeInclusive<Duration> = AT_LEAST..=EVERY;
    const ALONE: RangeInclusive<Duration> = AT_LEAST_ALONE..=EVERY_ALONE;

    /// The waits between rounds in milliseconds, from this one on, when so many end in a second.
    fn waits(pace: &RangeInclusive<Duration>, first: Duration, a_second: u32) -> Vec<u128> {
        let next = |wait: &Duration| {
            let ended = (wait.as_secs_f64() * f64::from(a_second)) as u64;
            Some(until_next_round(*wait, ended, pace))
        };
        let waits = std::iter::successors(Some(first), next);
        waits.take(9).map(|wait| wait.as_millis()).collect()
    }

    #[test]
    fn the_more_ends_the_sooner_upkeep_comes_back() {
        assert_eq!(after_nothing(EVERY), EVERY);
        assert_eq!(after_nothing(AT_LEAST), AT_LEAST * 4);
        let after = |removed| until_next_round(EVERY, removed, &SHARED);
        assert_eq!(after(10_000), EVERY);
        assert_eq!(after(60_000), Duration::from_secs(10));
        assert_eq!(after(u64::MAX), AT_LEAST);
    }

    #[test]
    fn while_as_much_ends_the_wait_stays() {
        let seconds = |pace, first, a_second| {
            let waits = waits(pace, first, a_second);
            waits.iter().map(|wait| wait / 1_000).collect::<Vec<_>>()
        };
        let of_many = seconds(&SHARED, EVERY, 1_000);
        assert_eq!(of_many, [60, 10, 10, 10, 10, 10, 10, 10, 10]);
        let of_more = seconds(&SHARED, EVERY, 20_000);
        assert_eq!(of_more, [60, 1, 1, 1, 1, 1, 1, 1, 1]);
        let of_few = seconds(&SHARED, AT_LEAST, 100);
        assert_eq!(of_few, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        // Memory is taken up again while it is near.
        let alone = waits(&ALONE, AT_LEAST, 50_000);
        assert_eq!(alone, [1_000, 200, 200, 200, 200, 200, 200, 200, 200]);
        let alone = seconds(&ALONE, AT_LEAST, 100);
        assert_eq!(alone, [1, 2, 4, 8, 10, 10, 10, 10, 10]);
    }
}
