//! From definitions to due slots to records: one fire per slot on any number of nodes, without a leader.
//!
//! Each schedule has a cursor in the store, the mark `cursor/<name>`. A slot is decided in one commit that creates its
//! occurrence under a derived id and moves the cursor from the version that was read: a node that comes second is refused
//! and reads on. Nothing is remembered that cannot be read again.

mod ahead;
mod decide;
mod entry;
mod fire;
mod line;
mod set_back;
mod start;
mod starts;
mod unblock;
mod upcoming;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ahead::Ahead;
use entry::Entry;
use line::Line;
pub use starts::Starts;
pub use upcoming::{Upcoming, upcoming};

use crate::clock::Clock;
use crate::error::Result;
use crate::observe::{Lifecycle, Observers};
use crate::store::{Durability, SharedStore};
use crate::task::TaskDef;
use crate::timestamp::Timestamp;

/// Wall time is looked at again at least this often: a clock that was set, or a machine that slept, is noticed.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Schedules that are decided in one call to the store: one that writes to a disk takes many at once, in memory the
/// first of them can run sooner.
const BATCH: usize = 512;
const BATCH_IN_MEMORY: usize = 64;

/// Batches whose runs all begin at once that are fired before others have a turn.
const BATCHES_IN_A_ROW: usize = 16;

/// Fires the schedules of a set of definitions.
#[derive(Debug)]
pub struct Scheduler {
    store: SharedStore,
    clock: Arc<dyn Clock>,
    observers: Observers,
    /// In strict mode an error in a schedule ends the runner.
    strict: bool,
    entries: Vec<Entry>,
    /// Names and versions that this process defines.
    versions: HashSet<(Arc<str>, Arc<str>)>,
    due: Line,
    ahead: Ahead,
    seen: Option<set_back::Seen>,
    batch: usize,
    starts: Option<Arc<dyn Starts>>,
}

impl Scheduler {
    /// A scheduler for the definitions that have a schedule; it does nothing before [`start`](Self::start).
    #[must_use]
    pub fn new(
        store: SharedStore,
        clock: Arc<dyn Clock>,
        observers: Observers,
        strict: bool,
    ) -> Self {
        let batch = match store.capability().durability {
            Durability::None => BATCH_IN_MEMORY,
            Durability::Process | Durability::Power => BATCH,
        };
        Self {
            batch,
            store,
            clock,
            observers,
            strict,
            entries: Vec::new(),
            versions: HashSet::new(),
            due: Line::default(),
            ahead: Ahead::default(),
            seen: None,
            starts: None,
        }
    }

    /// The same scheduler, whose runs may begin here in the write that makes them.
    ///
    /// On a store that outlives or is shared by processes they do not: a process that stops while such a write is under
    /// way would leave a lease behind that nobody knows of.
    #[must_use]
    pub fn starting(mut self, starts: Arc<dyn Starts>) -> Self {
        let capability = self.store.capability();
        if capability.durability == Durability::None && !capability.shared {
            self.starts = Some(starts);
            self.find_leases();
        }
        self
    }

    /// Takes up the schedules of these definitions: reads or makes their cursors and creates what runs at start.
    ///
    /// # Errors
    /// When the store failed, or a schedule cannot be seeded with its name.
    pub async fn start(
        &mut self,
        definitions: impl IntoIterator<Item = Arc<TaskDef>>,
    ) -> Result<()> {
        start::start(self, definitions).await
    }

    /// Fires what is due and answers how long to wait before the next call, at most 30 s; `None` when no schedule is left.
    /// A call that is dropped before its end takes the schedules that it was about to fire with it: wait for it.
    ///
    /// # Errors
    /// When the store failed; the same slots are decided at the next call. In strict mode also for one bad schedule.
    pub async fn tick(&mut self) -> Result<Option<Duration>> {
        let now = self.clock.now();
        set_back::notice(self, now).await?;
        let mut in_a_row = 0;
        while self.due.first().is_some_and(|at| at <= now) {
            let places = self.starts.as_ref();
            if places.is_some_and(|places| places.is_short_of(self.batch)) {
                tokio::task::yield_now().await;
                in_a_row = 0;
            }
            in_a_row += 1;
            let all_begin = fire::fire_due(self, now).await?;
            // What begins needs no turn of this task: the next are fired first, so that they begin sooner, too.
            if !all_begin || in_a_row == BATCHES_IN_A_ROW {
                // On a store that never waits, this lets a worker find what was fired.
                tokio::task::yield_now().await;
                in_a_row = 0;
            }
        }
        self.ahead = Ahead::default();
        // Firing took its time, which is not to be waited for again.
        let now = self.clock.now();
        Ok(self.due.first().map(|at| at.since(now).min(LOOK_AGAIN)))
    }

    /// Decides what is due at the next instant, when that is less than 20 ms away, so that the next [`tick`](Self::tick) only
    /// has to write it. Who waits between two ticks may call it shortly before the end of the wait; it takes 2 ms at most,
    /// nothing is written, and nothing is missed without it. Answers how many slots it decided.
    pub fn look_ahead(&mut self) -> usize {
        self.ahead = Ahead::look(self, self.clock.now());
        self.ahead.len()
    }

    /// When the next slot is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first()
    }

    /// Asks once who runs what: neither definitions nor what a worker can run change.
    fn find_leases(&mut self) {
        let Some(starts) = &self.starts else {
            return;
        };
        for entry in &mut self.entries {
            entry.lease = starts.lease_for(&entry.def);
        }
    }

    /// Puts an entry that was decided back in the line, unless its schedule is over.
    fn arm_again(&mut self, index: usize) {
        let Some(entry) = self.entries.get(index) else {
            return;
        };
        match entry.next() {
            Some(at) => self.due.push(at, index),
            None if entry.stood_down => {}
            None => self.observers.notify(|| Lifecycle::ScheduleEnded {
                schedule: Arc::clone(&entry.def.name),
            }),
        }
    }

    /// Makes the line anew.
    fn arm_all(&mut self) {
        let entries = self.entries.iter().enumerate();
        self.due = entries
            .filter_map(|(index, entry)| Some((entry.next()?, index)))
            .collect();
        self.ahead = Ahead::default();
    }
}
