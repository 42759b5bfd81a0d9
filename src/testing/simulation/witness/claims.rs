//! What may be claimed.

use std::sync::Arc;
use std::time::Duration;

use super::Witness;
use super::change::Allowed;
use crate::store::{Claims, Lanes};
use crate::task::{TaskStateRecord, TaskStatus};
use crate::testing::simulation::report::Invariant;
use crate::testing::simulation::situations::Situation;
use crate::timestamp::Timestamp;

impl Witness {
    /// A call to claim took effect.
    pub(in super::super) fn claimed(
        &mut self,
        who: &str,
        lanes: &Lanes,
        ttl: Duration,
        claims: &Claims,
    ) {
        for record in &claims.tasks {
            self.note(format_args!(
                "{who} claims {} fence {} attempt {}",
                record.id, record.fence, record.attempt
            ));
            self.leased(record, ttl, lanes);
        }
    }

    /// A task was leased.
    fn leased(&mut self, record: &Arc<TaskStateRecord>, ttl: Duration, lanes: &Lanes) {
        self.runs += 1;
        let id = &record.id;
        let now = self.now();
        let known = self
            .tasks
            .get(id)
            .map(|seen| (Arc::clone(&seen.record), seen.gone));
        let Some((old, false)) = known else {
            let message = format!("\"{id}\" was claimed, and there is no such task");
            self.broken(Invariant::NothingLost, message);
            return;
        };
        if old.status == TaskStatus::Running {
            let holder = old.lease.as_ref().map(|lease| lease.worker.to_string());
            let message = format!("\"{id}\" was claimed while {holder:?} holds it");
            self.broken(Invariant::OneHolder, message);
        }
        if old.status.is_terminal() {
            let message = format!("\"{id}\" was claimed, and it is {}", old.status);
            self.broken(Invariant::EndsOnce, message);
        }
        if record.run_at > now || record.expires_at.is_some_and(|at| at <= now) {
            let message = format!("\"{id}\" was claimed before its time or after it");
            self.broken(Invariant::Live, message);
        }
        if record.fence <= old.fence || record.attempt != old.attempt + 1 {
            let message = format!(
                "\"{id}\" was claimed with fence {} after {}, attempt {} after {}",
                record.fence, old.fence, record.attempt, old.attempt
            );
            self.broken(Invariant::Fenced, message);
        }
        if !(lanes.queues.contains(&record.queue)
            && lanes.knows(&record.name, record.version.as_ref()))
        {
            let message = format!("\"{id}\" was given to a worker that does not know it");
            self.broken(Invariant::Live, message);
        }
        self.enter_gates(record);
        self.keys.claimed(record);
        let allowed = Allowed {
            claimed: true,
            ops: 1,
            ..Allowed::default()
        };
        self.see(id, Some(Arc::clone(record)), &allowed);
        let ends = self.steady() + ttl;
        if let Some(seen) = self.tasks.get_mut(id) {
            seen.claims += 1;
            seen.lease_ends = ends;
        }
        self.meet_late(record);
    }

    /// A run begins; it may be of a slot that was missed.
    pub(super) fn meet_late(&mut self, record: &TaskStateRecord) {
        let now = self.now();
        let is_late = |slot: Timestamp| now.since(slot) > Duration::from_secs(60);
        let made_up_for = record.schedule.is_some() && record.slot.is_some_and(is_late);
        self.met.met_if(made_up_for, Situation::SlotMadeUpFor);
    }
}
