//! Keeping the store tidy.

use std::time::Duration;

use crate::context::TloContext;
use crate::store::Maintain;

/// Between two rounds of upkeep.
const EVERY: Duration = Duration::from_secs(60);

/// Rows of one step: a step shares a transaction with other writers and must not hold them up.
const STEP: usize = 500;

/// Between two steps of a long round.
const BREATH: Duration = Duration::from_millis(20);

/// Retention and repair, for as long as it is polled.
pub(super) async fn tidy(context: &TloContext) {
    let (store, clock) = (context.store(), context.clock());
    let retention = context
        .settings()
        .retention
        .over(store.capability().retention);
    // Spread, so that nodes that were started together do not all tidy together.
    let mut wait = EVERY.mul_f64(0.5 + context.ids().unit());
    let mut unreadable = 0;
    loop {
        clock.sleep(wait).await;
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
                if done.more { BREATH } else { EVERY }
            }
            Err(error) => {
                tracing::warn!(%error, "upkeep of the store failed; trying again");
                EVERY
            }
        };
    }
}
