//! The reference: what the contract of the port says, as a list of tasks that is searched from its beginning. It has no
//! index, no queue and no shortcut, and it shares with the stores only the rules of `tlo::task`.
//!
//! Where the contract leaves a choice (the number of a record, a token, whether a task that nobody can start now is
//! parked), the model takes over what the store chose and checks that it was allowed to.

mod claim;
mod commit;
mod create;
mod gates;
mod read;
mod runs;
mod upkeep;

use std::collections::BTreeSet;
use std::time::Duration;

use tlo::store::{Event, Mark, StreamId};
use tlo::task::LeaseRef;
use tlo::{Steady, TaskId, TaskStateRecord, TaskStatus, Timestamp};

/// What should have been.
pub(crate) type Checked<T = ()> = Result<T, String>;

/// Ends the check unless the condition holds.
macro_rules! want {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}
pub(crate) use want;

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) now: Timestamp,
    pub(crate) steady: Steady,
    /// The latest time that the wall clock ever showed: what was due then may be treated as due ever after.
    high: Timestamp,
    /// Marks whose time was over once, with their versions: they are there again when the clock is set back.
    over: BTreeSet<(String, u64)>,
    /// In the order of their creation.
    pub(crate) tasks: Vec<TaskStateRecord>,
    /// Every lease that was ever given, the first first.
    pub(crate) leases: Vec<(TaskId, LeaseRef)>,
    /// Those that ever had a gate: how often they were parked and brought back is not foreseen.
    gated: Vec<TaskId>,
    keys: Vec<Key>,
    streams: Vec<Stream>,
    marks: Vec<Mark>,
    buckets: Vec<Bucket>,
    /// Since somebody set the clock back: how much of a bucket is left then is for the store to say. Whether the gates of
    /// rates are open is taken from its answer.
    rates_unknown: Option<bool>,
    last_seq: u64,
    last_version: u64,
    /// There was a rule that opens its gate by itself.
    timers: bool,
}

/// A unique key and its owner.
#[derive(Clone, Debug)]
struct Key {
    key: String,
    owner: TaskId,
    until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Stream {
    id: StreamId,
    /// Events ever appended.
    length: u64,
    kept: Vec<Event>,
}

/// The starts that a rate has counted: full until this.
#[derive(Clone, Debug)]
struct Bucket {
    gate: String,
    empty_at: Timestamp,
}

impl Model {
    pub(crate) fn new(now: Timestamp, steady: Steady) -> Self {
        Self {
            now,
            steady,
            high: now,
            over: BTreeSet::new(),
            tasks: Vec::new(),
            leases: Vec::new(),
            gated: Vec::new(),
            keys: Vec::new(),
            streams: Vec::new(),
            marks: Vec::new(),
            buckets: Vec::new(),
            rates_unknown: None,
            last_seq: 0,
            last_version: 0,
            timers: false,
        }
    }

    /// The clock shows this now.
    pub(crate) fn tick(&mut self, now: Timestamp, steady: Steady) {
        if now < self.now {
            self.rates_unknown = Some(true);
        }
        self.now = now;
        self.steady = steady;
        self.high = self.high.max(now);
        let over = self
            .marks
            .iter()
            .filter(|mark| mark.until.is_some_and(|until| until <= now));
        self.over
            .extend(over.map(|mark| (mark.key.to_string(), mark.version)));
    }

    /// Whether somebody set the wall clock back and it has not come to where it was.
    fn is_set_back(&self) -> bool {
        self.now < self.high
    }

    pub(crate) fn task(&self, id: &TaskId) -> Option<&TaskStateRecord> {
        self.tasks.iter().find(|record| record.id == *id)
    }

    fn task_mut(&mut self, id: &TaskId) -> Option<&mut TaskStateRecord> {
        self.tasks.iter_mut().find(|record| record.id == *id)
    }

    /// A mark whose time is not over.
    pub(crate) fn mark(&self, key: &str) -> Option<&Mark> {
        self.marks
            .iter()
            .find(|mark| *mark.key == *key && mark.until.is_none_or(|until| until > self.now))
    }

    pub(crate) fn length(&self, stream: &StreamId) -> u64 {
        let found = self.streams.iter().find(|known| known.id == *stream);
        found.map_or(0, |stream| stream.length)
    }

    fn has_ended(&self, record: &TaskStateRecord) -> bool {
        record.lease.as_ref().is_some_and(|lease| {
            lease
                .ends
                .is_some_and(|ends| ends.boot != self.steady.boot || ends.at <= self.steady.at)
        })
    }

    /// Tasks whose lease has ended.
    pub(crate) fn lost(&self) -> Vec<TaskStateRecord> {
        let ended = self.tasks.iter().filter(|record| self.has_ended(record));
        ended.cloned().collect()
    }

    /// When a lease ends by the wall clock, if nobody sets it.
    fn end_of(&self, record: &TaskStateRecord) -> Option<Timestamp> {
        let ends = record.lease.as_ref()?.ends?;
        let left = if ends.boot == self.steady.boot {
            ends.at.saturating_sub(self.steady.at)
        } else {
            Duration::ZERO
        };
        Some(self.now.saturating_add(left))
    }

    /// The records of a store against those of the model, after a step.
    pub(crate) fn compare(&mut self, stored: &[Option<TaskStateRecord>]) -> Checked {
        want!(
            stored.len() == self.tasks.len(),
            "another number of records was read"
        );
        let (high, gated) = (self.high, &mut self.gated);
        for (mine, stored) in self.tasks.iter_mut().zip(stored) {
            let id = &mine.id;
            let Some(stored) = stored else {
                return Err(format!("{id} is gone"));
            };
            if !mine.gates.is_empty() && !gated.contains(id) {
                gated.push(id.clone());
            }
            adopt(mine, stored, high, gated.contains(&mine.id))?;
            want!(
                mine == stored,
                "{} is not as it should be\n  wanted {mine:?}\n  stored {stored:?}",
                mine.id
            );
        }
        Ok(())
    }
}

/// Takes over whether a task is parked, and the revisions that went with it.
fn adopt(
    mine: &mut TaskStateRecord,
    stored: &TaskStateRecord,
    high: Timestamp,
    is_gated: bool,
) -> Checked {
    if !is_gated {
        want!(
            stored.parked.is_none(),
            "{} is parked and has no gate",
            mine.id
        );
        return Ok(());
    }
    want!(
        stored.revision >= mine.revision,
        "the revision of {} went back",
        mine.id
    );
    mine.revision = stored.revision;
    if let Some(parked) = &stored.parked {
        want!(
            mine.status == TaskStatus::Pending,
            "{} is parked and {}",
            mine.id,
            mine.status
        );
        want!(
            mine.gates.iter().any(|gate| gate.key == parked.gate),
            "{} is parked behind {}, which is no gate of its own",
            mine.id,
            parked.gate
        );
        want!(mine.run_at <= high, "{} is parked and not due", mine.id);
        want!(
            !parked.reason.is_empty(),
            "{} is parked and does not say why",
            mine.id
        );
    }
    mine.parked.clone_from(&stored.parked);
    Ok(())
}
