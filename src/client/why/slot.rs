//! What became of a slot of a schedule.

use serde::Deserialize;

use super::{Reason, Why, WhyLink};
use crate::client::Client;
use crate::error::Result;
use crate::id::TaskId;
use crate::schedule::Skipped;
use crate::store::{Event, StreamId, TaskStateStoreExt};
use crate::task::{Cursor, Overlapped, TaskDef};
use crate::timestamp::Timestamp;

/// Notes read at a time.
const PAGE: usize = 256;

/// The smallest step of time.
const TICK: std::time::Duration = std::time::Duration::from_micros(1);

/// What a note says of slots that the store refused.
#[derive(Deserialize)]
struct Refused {
    from: Timestamp,
    to: Timestamp,
    why: String,
}

/// What a note says of a pause that is over.
#[derive(Deserialize)]
struct WasPaused {
    from: Timestamp,
    to: Timestamp,
    by: Option<String>,
    why: Option<String>,
}

impl Client {
    /// What became of a slot.
    pub(super) async fn why_slot(&self, name: &str, slot: Timestamp) -> Result<Why> {
        let def = self.0.registry.get(name).await?;
        // An alias stands for its name.
        let name = def.as_ref().map_or(name, |def| &def.name);
        let id = TaskId::occurrence(name, slot)?;
        if let Some(record) = self.exactly(id.as_str()).await? {
            return self.why_record(&record).await;
        }
        let def = def.as_deref().filter(|def| def.schedule.is_some());
        let mark = self.store().mark(&Cursor::key(name)).await?;
        let Some(cursor) = self.cursor(def, mark.as_ref())? else {
            return Err(self.no_schedule("why", name).await?);
        };
        let link = match self.noted(name, slot).await? {
            Some(link) => link,
            None => decided(&cursor, def, slot, self.clock().now())?,
        };
        Ok(Why {
            subject: id.to_string(),
            status: None,
            links: vec![link],
        })
    }

    /// What is decided about the next slot of a schedule.
    pub(super) async fn why_next_slot(&self, name: &str) -> Result<Why> {
        let def = self.0.registry.get(name).await?;
        let name = def.as_ref().map_or(name, |def| &def.name);
        let mark = self.store().mark(&Cursor::key(name)).await?;
        let Some(cursor) = self.cursor(def.as_deref(), mark.as_ref())? else {
            return Err(self.no_schedule("why", name).await?);
        };
        let schedule = def.as_ref().and_then(|def| def.schedule.clone());
        let link = match schedule {
            None => WhyLink::new(cursor.last, Reason::ScheduleUndefined),
            Some(schedule) => {
                let schedule = schedule.seeded(name)?;
                let next = schedule.next(cursor.anchor, cursor.last);
                match next.filter(|_| !schedule.is_reboot()) {
                    Some(next) => return self.why_slot(name, next).await,
                    None => WhyLink::new(None, Reason::NoFurtherSlot),
                }
            }
        };
        Ok(Why {
            subject: name.to_owned(),
            status: None,
            links: vec![link],
        })
    }

    /// What the notes of the schedule say of a slot: the last word counts, for a clock that was set back makes slots twice.
    async fn noted(&self, name: &str, slot: Timestamp) -> Result<Option<WhyLink>> {
        let stream = StreamId::new(name, "decisions")?;
        let mut found = None;
        let mut from = 0;
        loop {
            let events = self.store().events(&stream, from, PAGE).await?;
            for event in &events {
                found = note(event, slot).or(found);
            }
            match events.last() {
                Some(last) if events.len() == PAGE => from = last.number + 1,
                _ => return Ok(found),
            }
        }
    }
}

/// What a note says of a slot. One that cannot be read says nothing.
fn note(event: &Event, slot: Timestamp) -> Option<WhyLink> {
    let is_in = |from: Timestamp, to: Timestamp| from <= slot && slot <= to;
    match &*event.kind {
        "skipped" => {
            let said: Skipped = event.data.decode().ok()?;
            let (from, to, count, why) = (said.from, said.to, said.count, said.why);
            let skipped = Reason::SlotSkipped {
                from,
                to,
                count,
                why,
            };
            is_in(from, to).then(|| WhyLink::new(event.at, skipped))
        }
        "overlapped" => overlapped(&event.data.decode().ok()?, slot, event.at),
        "refused" => {
            let Refused { from, to, why } = event.data.decode().ok()?;
            is_in(from, to).then(|| WhyLink::new(event.at, Reason::SlotRefused { from, to, why }))
        }
        "paused" => {
            let WasPaused { from, to, by, why } = event.data.decode().ok()?;
            let until = Some(to);
            is_in(from, to).then(|| WhyLink::new(from, Reason::SchedulePaused { by, why, until }))
        }
        _ => None,
    }
}

fn overlapped(
    range: &Overlapped,
    slot: Timestamp,
    at: impl Into<Option<Timestamp>>,
) -> Option<WhyLink> {
    let (from, to, count) = (range.from, range.to, range.count);
    if slot < from || slot > to {
        return None;
    }
    let behind = TaskId::new(&range.behind).ok()?;
    let reason = Reason::SlotOverlapped {
        behind,
        from,
        to,
        count,
    };
    Some(WhyLink::new(at, reason))
}

/// What the cursor says of a slot that has neither a run nor a note.
fn decided(
    cursor: &Cursor,
    def: Option<&TaskDef>,
    slot: Timestamp,
    now: Timestamp,
) -> Result<WhyLink> {
    let schedule = def.and_then(|def| def.schedule.clone());
    let schedule = match (schedule, def) {
        (Some(schedule), Some(def)) => Some(schedule.seeded(&def.name)?),
        _ => None,
    };
    if let Some(schedule) = &schedule
        && schedule.next(cursor.anchor, slot.saturating_sub(TICK)) != Some(slot)
        && slot > cursor.anchor
    {
        let before = schedule.previous(cursor.anchor, slot);
        let after = schedule.next(cursor.anchor, slot);
        return Ok(WhyLink::new(None, Reason::NoSuchSlot { before, after }));
    }
    if let Some(range) = &cursor.overlapped
        && let Some(link) = overlapped(range, slot, None)
    {
        return Ok(link);
    }
    if slot <= cursor.anchor {
        return Ok(WhyLink::new(cursor.anchor, Reason::SlotBeforeStart));
    }
    if slot <= cursor.last {
        return Ok(WhyLink::new(None, Reason::SlotForgotten));
    }
    if let Some(pause) = &cursor.paused {
        let (by, why) = (pause.by.clone(), pause.reason.clone());
        let until = None;
        return Ok(WhyLink::new(
            pause.since,
            Reason::SchedulePaused { by, why, until },
        ));
    }
    if schedule.is_none() {
        return Ok(WhyLink::new(cursor.last, Reason::ScheduleUndefined));
    }
    let most = def.and_then(|def| def.policy.max_runs);
    if most.is_some_and(|most| cursor.runs >= most) {
        let runs = cursor.runs;
        return Ok(WhyLink::new(None, Reason::ScheduleUsedUp { runs }));
    }
    let reason = if slot <= now {
        Reason::SlotUndecided
    } else {
        Reason::SlotToCome
    };
    Ok(WhyLink::new(slot, reason))
}
