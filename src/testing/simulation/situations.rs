//! Situations that a simulation must have been in: a run that never got there has proven nothing about them.

use std::collections::BTreeMap;

macro_rules! situations {
    ($($(#[doc = $says:literal])* $name:ident,)*) => {
        /// Something that happens sometimes, seldom enough to be missed by a test that was written by hand.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Situation {
            $($(#[doc = $says])* $name,)*
        }

        impl Situation {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What happened, in a few words.
            #[must_use]
            pub const fn says(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($says),*).trim_ascii(),)*
                }
            }
        }
    };
}

situations! {
    /// reaped while settling: the end of a run comes after its lease was taken back
    ReapedWhileSettling,
    /// settle answered, the answer lost, and told "already done" the next time
    SettleAlreadyDone,
    /// extend of a zombie refused
    ZombieExtendRefused,
    /// progress of a zombie refused, or its last report
    ZombieProgressRefused,
    /// settled after the end of the lease while nobody took it back
    SettledAfterExpiry,
    /// extended after the end of the lease while nobody took it back
    ExtendedAfterExpiry,
    /// lease taken back by another node
    TakenBack,
    /// two nodes take back one lease, and the second is refused
    TakenBackTwice,
    /// taken back too early: its worker came back in time
    CameBackInTime,
    /// claimed, and the answer lost: leases without a worker
    ClaimAnswerLost,
    /// lost too often, and failed
    LostTooOften,
    /// at most once: lost, and failed at the first time
    LostAtMostOnce,
    /// a run killed in the middle
    KilledWhileRunning,
    /// a node killed while it waits for the store
    KilledInACall,
    /// a node comes back after its leases ended
    PausedBeyondLease,
    /// the store crashes while leases are held
    StoreCrashedWithLeases,
    /// the store is away while a run ends
    StoreAway,
    /// woken while leased
    WokenWhileLeased,
    /// a snooze that a wake ends at once
    SnoozeWithWake,
    /// snoozed
    Snoozed,
    /// woken while waiting
    WokenWhileWaiting,
    /// cancelled while claimed
    CancelledWhileClaimed,
    /// cancelled while waiting
    CancelledWhileWaiting,
    /// cancelled while parked behind a gate
    CancelledWhileParked,
    /// asked to cancel, and succeeded anyway
    SucceededDespiteCancel,
    /// a cancel wins over a retry or a snooze
    CancelWonOverRetry,
    /// cancelled, and its worker was lost
    LostWhileCancelled,
    /// expired before it started
    ExpiredBeforeStart,
    /// expired between two attempts
    ExpiredBetweenAttempts,
    /// a failed task revived
    RevivedFailed,
    /// a cancelled task revived
    RevivedCancelled,
    /// a revival refused while another task owns the key
    ReviveWhileKeyTaken,
    /// deleted while waiting
    DeletedWhileWaiting,
    /// moved to another queue while parked
    MovedWhileParked,
    /// put off while parked
    PutOffWhileParked,
    /// retried
    Retried,
    /// out of attempts
    OutOfAttempts,
    /// failed for good at once
    FailedForGood,
    /// timed out
    TimedOut,
    /// a handler panicked
    Panicked,
    /// handed back by a node that drains
    DrainReleased,
    /// a node drained and stopped
    Drained,
    /// a node told to stop twice
    StoppedTwice,
    /// a node could not start, for the store was away
    StartedInVain,
    /// a submit whose answer was lost finds its own task the next time
    SubmitFoundItself,
    /// a submit finds the owner of its key
    KeyOwned,
    /// a submit refused, for its key is owned
    KeyRefused,
    /// a submit replaces what waits
    Replaced,
    /// a key kept while queued is free while its first owner runs
    KeyFreeWhileRunning,
    /// a key kept for a time is free before its owner has ended
    KeyTimeOver,
    /// parked behind a gate
    Parked,
    /// parked behind a rate that is used up
    ParkedByRate,
    /// parked behind a gate that is paused
    ParkedByPause,
    /// un-parked while another rule pauses it
    UnparkedWhilePaused,
    /// the last place of a gate with several is taken
    GateFilled,
    /// a task in two gates at once
    InTwoGates,
    /// a full queue refuses
    QueueFull,
    /// a queue paused while tasks of it run
    PausedWhileRunning,
    /// a slot that two nodes decide
    SlotDecidedTwice,
    /// a slot of a node whose clock is ahead, created before its time
    SlotAhead,
    /// a slot passed over behind an unfinished run
    SlotOverlapped,
    /// slots missed and skipped
    SlotsSkipped,
    /// a slot that ran after it was missed
    SlotMadeUpFor,
    /// an unfinished run replaced by that of the next slot
    OccurrenceReplaced,
    /// cursors follow a clock that was set back
    ClockSetBack,
    /// finished records removed by upkeep
    Retired,
}

/// How often each was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Met(BTreeMap<Situation, u64>);

impl Met {
    pub(super) fn met(&mut self, situation: Situation) {
        *self.0.entry(situation).or_default() += 1;
    }

    pub(super) fn met_if(&mut self, is_so: bool, situation: Situation) {
        if is_so {
            self.met(situation);
        }
    }

    pub(super) fn times(&self, situation: Situation) -> u64 {
        self.0.get(&situation).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (situation, times) in &other.0 {
            *self.0.entry(*situation).or_default() += times;
        }
    }
}
