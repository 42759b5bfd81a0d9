//! Keeping the store tidy.

use std::time::Duration;

use crate::client::{AUDIT_KEPT, trim_audit};
use crate::context::TloContext;
use crate::store::{Maintain, SharedStore};
use crate::timestamp::Timestamp;

/// Between two rounds of upkeep, at most; and at least, for a store where much ends.
const EVERY: Duration = Duration::from_secs(60);
const AT_LEAST: Duration = Duration::from_secs(1);

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
    let mut wait = if store.capability().shared {
        // Spread, so that nodes that were started together do not all tidy together.
        EVERY.mul_f64(0.5 + context.ids().unit())
    } else {
        AT_LEAST
    };
    let mut unreadable = 0;
    let mut removed = 0;
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
                    until_next_round(std::mem::take(&mut removed))
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

/// After a round that removed so many.
fn until_next_round(removed: u64) -> Duration {
    let rounds = u32::try_from(removed / ROUND).unwrap_or(u32::MAX).max(1);
    (EVERY / rounds).max(AT_LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_ends_the_sooner_upkeep_comes_back() {
        assert_eq!(until_next_round(0), EVERY);
        assert_eq!(until_next_round(10_000), EVERY);
        assert_eq!(until_next_round(60_000), Duration::from_secs(10));
        assert_eq!(until_next_round(u64::MAX), AT_LEAST);
    }
}
