//! A store that works, with one bug planted in front of it.

mod after;
mod before;
mod store;

use std::sync::Arc;

use parking_lot::Mutex;
use tlo::store::{HintSender, SharedStore, TaskStateStore};
use tlo::testing::conformance::{Feature, StoreFactory};
use tlo::{Clock, IdSource, Result, RowStore, TaskId, TaskStateRecord};

use crate::stores::{TreeEngine, Trees};

macro_rules! bugs {
    ($($(#[doc = $says:literal])* $name:ident,)*) => {
        /// What can be wrong with a store; most of it was wrong with one that people trusted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Bug {
            $($(#[doc = $says])* $name,)*
        }

        impl Bug {
            pub(crate) const ALL: &[(Self, &str)] = &[$((Self::$name, concat!($($says),*).trim_ascii()),)*];
        }
    };
}

bugs! {
    /// a run is settled by its id alone, whoever holds the lease
    SettleIgnoresLease,
    /// a lease is extended by its id alone
    ExtendIgnoresLease,
    /// progress and events are written by a holder that lost its lease
    WritesIgnoreLease,
    /// a late settle is answered as if it had been applied
    LateSettleAnsweredAsDone,
    /// a settle that is sent twice is answered as a lost lease
    RepeatedSettleAnsweredAsLost,
    /// a live lease is taken back
    TakesBackLiveLeases,
    /// a lease never ends
    LeasesNeverEnd,
    /// leases are measured on the wall clock
    LeasesOnTheWallClock,
    /// the fence begins again after each run
    FenceResets,
    /// a running task is given to a second worker
    Redelivers,
    /// a claim gives one task more than asked for
    ClaimsBeyondLimit,
    /// the last come is served first
    LastInFirstOut,
    /// priorities are not looked at
    PriorityIgnored,
    /// a task that is due in future is given at once
    FutureTasksClaimable,
    /// names that the worker does not know are given too
    NamesIgnored,
    /// rules of a name are not looked at for its older names
    AliasesIgnored,
    /// anything is taken as the rule of a gate
    RulesUnchecked,
    /// a move into a full queue is not refused
    MovesIntoFullQueues,
    /// versions are not looked at
    VersionsIgnored,
    /// queues are served in the opposite order
    QueuesReversed,
    /// the time to look again is an hour late
    NextDueTooLate,
    /// the time to look again is never told
    NextDueMissing,
    /// an expired task is started
    ExpiryIgnored,
    /// a preferred worker does not come first
    PreferenceIgnored,
    /// a known id is created again over the old record
    CreatesTwice,
    /// a task that is to be leased at its creation is not
    LeaseAtCreationIgnored,
    /// each operation of a commit is written by itself
    CommitNotAtomic,
    /// the commits after a refused one are dropped
    RefusalStopsTheBatch,
    /// a guard on a revision always holds
    RevisionIgnored,
    /// a guard on the length of a stream always holds
    LengthIgnored,
    /// marks are set without comparing
    MarksWithoutCompare,
    /// marks with a time to live stay for ever
    MarksNeverEnd,
    /// marks are listed in no order
    MarksUnordered,
    /// an event with a known key is appended again
    EventKeysIgnored,
    /// events are numbered from zero
    EventsFromZero,
    /// the second event of a stream is lost
    EventLost,
    /// a trim is forgotten
    TrimIgnored,
    /// a snooze uses an attempt up
    SnoozeEatsAttempt,
    /// a lost lease uses an attempt up
    LossEatsAttempt,
    /// runs are not entered in the history
    HistoryDropped,
    /// a retry forgets what went wrong
    ErrorDropped,
    /// a retried task is due at once
    BackOffIgnored,
    /// a cancel ends a running task under its worker
    CancelKillsRunning,
    /// a request to cancel is lost
    CancelRequestLost,
    /// a wake of a running task is lost
    WakeLost,
    /// a revived task keeps its used up budget
    ReviveKeepsBudget,
    /// a running task can be deleted
    DeletesRunning,
    /// unique keys are looked up before the write, not in it
    KeysByQuery,
    /// the end of any task frees the key that it once had
    KeysFreedByAnyone,
    /// a key stays taken when its task ends
    KeysNeverFreed,
    /// a key kept for a time is kept for ever
    KeyTimesIgnored,
    /// a conflict replaces nothing
    ReplaceIgnored,
    /// one holder more than the limit passes a gate
    GatesOffByOne,
    /// a holder stays when its run ends
    HoldersLeak,
    /// a parked task never comes back
    ParkedNeverComeBack,
    /// a gate that opens by time stays closed
    GateTimersLost,
    /// pauses are not looked at
    PauseIgnored,
    /// rates are not looked at
    RateIgnored,
    /// a queue is never full
    DepthIgnored,
    /// a record of a known id is put in over the one that is there
    ImportsOverwrite,
    /// records that are put in begin anew
    ImportsForgetRuns,
    /// events that are put in are taken for new ones
    ImportedEventsAppended,
    /// a mark that is put in stays for ever
    ImportedMarksNeverEnd,
    /// keys of tasks that are gone are free
    KeysOfTheGoneFree,
    /// of what is held a page is left out
    HoldingsIncomplete,
    /// retention removes what still waits
    RetentionRemovesWaiting,
    /// retention removes children that their parent still needs
    RetentionRemovesChildren,
    /// upkeep does everything in one step
    UpkeepIgnoresLimit,
    /// payloads are read and written anew
    PayloadsTidiedUp,
    /// the character NUL is dropped from payloads
    NulDropped,
    /// payloads above 64 KiB are refused
    PayloadLimitTooSmall,
    /// times are kept in milliseconds
    TimesCut,
    /// names are trimmed
    NamesTrimmed,
    /// names that differ in case are one
    NamesFolded,
    /// a list leaves out the row after each page
    ListsSkip,
    /// a list repeats the last row of each page
    ListsRepeat,
    /// a list is always the oldest first
    NewestFirstIgnored,
    /// the tag of a filter is not looked at
    TagFilterIgnored,
    /// the time window of a filter is not looked at
    TimeFilterIgnored,
    /// the list of ended leases has live ones too
    EndedFilterIgnored,
    /// counts forget what was deleted
    CountsDrift,
    /// a record that was read once is never read again
    StaleReads,
    /// hints are never sent
    HintsNeverSent,
    /// the latest record is lost by a reopen
    RecordLostByReopen,
    /// leases are forgotten by a reopen
    LeasesLostByReopen,
    /// creation sequences begin anew after a reopen
    NumbersLostByReopen,
}

/// The store in front of the one that works.
#[derive(Debug)]
pub(crate) struct Planted {
    inner: SharedStore,
    engine: TreeEngine,
    bug: Bug,
    silent: HintSender,
    memory: Mutex<Remembered>,
}

/// What some bugs remember.
#[derive(Debug, Default)]
struct Remembered {
    claimed: Vec<Arc<TaskStateRecord>>,
    read: std::collections::HashMap<TaskId, Option<TaskStateRecord>>,
    keys: std::collections::HashMap<String, TaskId>,
    deleted: u64,
}

impl Planted {
    fn has(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    async fn record(&self, id: &TaskId) -> Result<Option<TaskStateRecord>> {
        Ok(self
            .inner
            .get(std::slice::from_ref(id))
            .await?
            .pop()
            .flatten())
    }

    /// Changes a stored record behind the store's back.
    fn edit(
        &self,
        id: &TaskId,
        change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>),
    ) {
        let row = [b"t", id.as_str().as_bytes()].concat();
        let mut tree = self.engine.tree.write();
        let Some(stored) = tree.get(&row) else { return };
        let mut fields = serde_json::from_slice(stored).unwrap();
        change(&mut fields);
        tree.insert(row, serde_json::to_vec(&fields).unwrap());
    }

    /// The rows of a table.
    fn rows(&self, table: u8) -> Vec<(Vec<u8>, Vec<u8>)> {
        let tree = self.engine.tree.read();
        let rows = tree.range(vec![table]..vec![table + 1]);
        rows.map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Counts from nothing again. A row that is gone or damaged would be made anew.
    fn forget_numbers(&self) {
        let none = 0_u64.to_be_bytes().to_vec();
        self.engine.tree.write().insert(b"z".to_vec(), none);
    }

    fn remove_rows(&self, table: u8) {
        for (key, _) in self.rows(table) {
            self.engine.tree.write().remove(&key);
        }
    }
}

/// Opens planted stores over trees.
pub(crate) struct PlantedTrees {
    pub(crate) trees: Trees,
    pub(crate) bug: Bug,
}

#[async_trait::async_trait]
impl StoreFactory for PlantedTrees {
    async fn open(
        &self,
        place: &str,
        clock: Arc<dyn Clock>,
        ids: Arc<IdSource>,
    ) -> Result<SharedStore> {
        let engine = self.trees.engine(place);
        let inner: Arc<dyn TaskStateStore> = Arc::new(RowStore::open(engine.clone(), clock, ids)?);
        let planted = Planted {
            inner,
            engine,
            bug: self.bug,
            silent: HintSender::default(),
            memory: Mutex::default(),
        };
        planted.opened();
        Ok(Arc::new(planted))
    }

    fn features(&self) -> Vec<Feature> {
        self.trees.features()
    }

    async fn corrupt(&self, place: &str, id: &TaskId) -> Result<()> {
        self.trees.corrupt(place, id).await
    }

    async fn discard(&self, place: &str) {
        self.trees.discard(place).await;
    }
}
