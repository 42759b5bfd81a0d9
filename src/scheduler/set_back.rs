//! A wall clock that was set back must not stop a schedule until the old time comes again.

use std::time::Duration;

use super::Scheduler;
use super::fire::write_cursors;
use crate::clock::Steady;
use crate::error::Result;
use crate::timestamp::Timestamp;

/// Steps smaller than this are how clocks are kept right.
const NOTICED: Duration = Duration::from_secs(1);

/// A cursor that is further ahead than this when a node starts is from a clock that was wrong.
pub(super) const FAR_AHEAD: Duration = Duration::from_secs(3600);

/// The two hands of the clock when they were looked at last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    wall: Timestamp,
    steady: Steady,
}

/// Notices that the wall clock was set back since it was looked at last, and follows it.
pub(super) async fn notice(scheduler: &mut Scheduler, now: Timestamp) -> Result<()> {
    let steady = scheduler.clock.steady();
    if let Some(seen) = scheduler
        .seen
        .filter(|seen| seen.steady.boot == steady.boot)
    {
        let elapsed = steady.at.saturating_sub(seen.steady.at);
        let step = seen.wall.saturating_add(elapsed).since(now);
        if step >= NOTICED {
            follow(scheduler, now, step).await?;
        }
    }
    // Only now: a step that could not be followed is noticed again.
    scheduler.seen = Some(Seen { wall: now, steady });
    Ok(())
}

/// Sets back the cursors that are ahead of the clock now.
async fn follow(scheduler: &mut Scheduler, now: Timestamp, step: Duration) -> Result<()> {
    let ahead: Vec<_> = scheduler
        .entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| !entry.stood_down && entry.cursor.last > now && entry.next().is_some())
        .map(|(index, entry)| (index, entry.cursor.set_back(step)))
        .collect();
    tracing::warn!(
        step = crate::schedule::format_duration(step),
        schedules = ahead.len(),
        "the clock was set back; schedules follow it"
    );
    for (index, mark) in write_cursors(scheduler, ahead).await? {
        scheduler.entries[index].adopt(mark.as_ref());
    }
    for entry in &mut scheduler.entries {
        entry.looked = entry.looked.map(|looked| looked.min(now));
    }
    scheduler.arm_all();
    Ok(())
}
