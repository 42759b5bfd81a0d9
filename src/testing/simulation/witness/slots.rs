//! One run per slot, and no slot without a decision.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::Witness;
use crate::payload::Payload;
use crate::schedule::Schedule;
use crate::store::Event;
use crate::task::{NewTask, TaskKind};
use crate::testing::simulation::report::Invariant;
use crate::testing::simulation::situations::Situation;
use crate::timestamp::Timestamp;

/// Slots that are looked at, at most.
const SLOTS: usize = 5_000;

impl Witness {
    /// A task was created; it may be the run of a slot.
    pub(super) fn slot_created(&mut self, task: &NewTask) {
        let (Some(schedule), Some(slot), TaskKind::Occurrence) =
            (&task.schedule, task.slot, task.kind)
        else {
            return;
        };
        let now = self.now();
        self.met.met_if(slot > now, Situation::SlotAhead);
        let had_one = self
            .records()
            .any(|record| record.slot == Some(slot) && record.schedule.as_ref() == Some(schedule));
        // When a clock was set back, a slot whose run was removed comes once more.
        if had_one && !self.clock_was_set_back {
            let message = format!("the slot {slot} of \"{schedule}\" ran twice");
            self.broken(Invariant::OncePerSlot, message);
        }
    }

    /// A cursor was moved.
    pub(super) fn cursor_set(&mut self, mark: &str, value: &Payload) {
        let Some(schedule) = mark.strip_prefix("cursor/") else {
            return;
        };
        let Some([_, last]) = anchor_and_last(value) else {
            return;
        };
        let before = self.cursors.insert(schedule.to_owned(), last);
        self.met.met_if(
            before.is_some_and(|before| before > last),
            Situation::ClockSetBack,
        );
    }

    /// Every slot up to the cursor ran or was passed over in a decision.
    pub(in super::super) fn slots_accounted_for(
        &mut self,
        name: &str,
        schedule: &Schedule,
        cursor: &Payload,
        decisions: &[Event],
    ) {
        for (event, number) in decisions
            .iter()
            .zip(decisions.first().map_or(1, |first| first.number)..)
        {
            if event.number != number {
                let message = format!("decision {number} of \"{name}\" is not there");
                self.broken(Invariant::Gapless, message);
                return;
            }
        }
        let Some(times) = anchor_and_last(cursor) else {
            return;
        };
        let [anchor, last] = times.map(Timestamp::from_micros);
        let mut passed: Vec<(Timestamp, Timestamp)> = Vec::new();
        let behind = cursor.decode::<Value>().ok();
        let behind = behind.as_ref().and_then(|cursor| cursor.get(4));
        passed.extend(behind.and_then(range));
        let noted = decisions
            .iter()
            .filter_map(|event| event.data.decode::<Value>().ok());
        passed.extend(noted.filter_map(|data| range(&data)));
        let ran: BTreeSet<Timestamp> = self
            .records()
            .filter(|record| record.schedule.as_deref() == Some(name))
            .filter_map(|record| record.slot)
            .collect();
        let mut slot = anchor;
        for _ in 0..SLOTS {
            match schedule.next(anchor, slot) {
                Some(next) if next <= last => slot = next,
                _ => break,
            }
            let is_decided = ran.contains(&slot)
                || passed
                    .iter()
                    .any(|(from, to)| (*from..=*to).contains(&slot));
            if !is_decided {
                let message =
                    format!("the slot {slot} of \"{name}\" neither ran nor was passed over");
                self.broken(Invariant::OncePerSlot, message);
                return;
            }
        }
        // What ran must be a slot.
        let is_slot = |slot: &Timestamp| {
            let before = slot.saturating_sub(Duration::from_micros(1));
            schedule.next(anchor, before) == Some(*slot)
        };
        if let Some(other) = ran.iter().find(|slot| !is_slot(slot)) {
            let message = format!("{other} is no slot of \"{name}\", and ran");
            self.broken(Invariant::OncePerSlot, message);
        }
    }
}

/// Of a cursor, which is stored as a list: hash, anchor, last slot, runs, and slots that were passed over of late.
fn anchor_and_last(cursor: &Payload) -> Option<[i64; 2]> {
    let fields: Value = cursor.decode().ok()?;
    Some([fields.get(1)?.as_i64()?, fields.get(2)?.as_i64()?])
}

/// The range of slots of a decision.
fn range(data: &Value) -> Option<(Timestamp, Timestamp)> {
    let at = |field: &str| data.get(field)?.as_str()?.parse().ok();
    Some((at("from")?, at("to")?))
}
