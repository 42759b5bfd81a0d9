//! What can be done to a store, said without ids: a step names the n-th task of a sort, so a sequence that was cut short
//! still makes sense.

use std::time::Duration;

use tlo::TaskStatus;
use tlo::store::CountBy;
use tlo::task::{Due, OnConflict, UniqueScope};

/// One step of a sequence.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// One call with these commits.
    Commit(Vec<Piece>),
    Claim(Claim),
    Maintain {
        age: Option<u64>,
        count: Option<u64>,
        limit: usize,
    },
    /// Takes back every lease that has ended, as a reaper does.
    Reap,
    List(Filter, usize, bool),
    Count(Filter, CountBy),
    /// Both hands of the clock go on.
    Advance(Duration),
    /// Somebody sets the wall clock, by so many seconds.
    SetWall(i64),
    /// The machine restarts: leases are over. A store that does not outlive its process is not restarted.
    Reboot,
    /// The store is closed and opened again.
    Reopen,
    /// The store is opened from what lies on the disk while it is open, as after the death of its process.
    Crash,
}

/// A commit.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) guards: Vec<Extra>,
    pub(crate) ops: Vec<Act>,
}

/// Guards that do not follow from an operation.
#[derive(Clone, Debug)]
pub(crate) enum Extra {
    Absent(Pick),
    Open(Pick),
    Revision(Pick, bool),
    Length(Owner, bool),
    Mark(u8, Option<bool>),
}

/// The n-th task of a sort, or of all when there is none of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick(pub(crate) Sort, pub(crate) u8);

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sort {
    Any,
    Pending,
    Parked,
    Running,
    Ended,
    Unknown,
}

/// What a writer shows as its right to write.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shows {
    /// The lease that the task has, or had last.
    Lease,
    /// A lease that it had before.
    OldLease,
    /// The fence of the lease with another token.
    Forged,
    /// That the lease has ended, with its fence.
    Ended,
    /// The same with another fence.
    EndedOther,
    Nothing,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Success,
    Retry,
    RetryAfter(u64),
    Fail,
    Cancel,
    Snooze(u64),
    SnoozeUntil(i64),
    Panic,
    TimedOut,
    Undecodable,
    Unserializable,
    Aborted,
    Released,
    Lost,
    /// With the phase and the state of an engine.
    Turn(u64),
    /// A settlement that makes no sense: it asks for `Running`.
    Senseless,
}

/// Whose stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    Task(Pick),
    Sys,
}

/// When something is due, in seconds from now.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    Now,
    At(i64),
    In(u64),
}

impl When {
    pub(crate) fn due(self, now: tlo::Timestamp) -> Due {
        match self {
            Self::Now => Due::Now,
            Self::In(wait) => Due::In(Duration::from_secs(wait)),
            Self::At(ahead) if ahead < 0 => {
                Due::At(now.saturating_sub(Duration::from_secs(ahead.unsigned_abs())))
            }
            Self::At(ahead) => {
                Due::At(now.saturating_add(Duration::from_secs(ahead.unsigned_abs())))
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct New {
    /// Gives a known id again.
    pub(crate) again: Option<Pick>,
    pub(crate) name: u8,
    pub(crate) version: Option<u8>,
    pub(crate) queue: u8,
    pub(crate) priority: u8,
    pub(crate) due: When,
    pub(crate) expires: Option<When>,
    pub(crate) unique: Option<(u8, UniqueScope)>,
    pub(crate) on_conflict: OnConflict,
    pub(crate) gates: Vec<(u8, u32)>,
    pub(crate) attempts: (u32, u32),
    pub(crate) tag: Option<u8>,
    pub(crate) schedule: Option<u8>,
    pub(crate) parent: Option<Pick>,
    pub(crate) lease_to: Option<u8>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) due: Option<When>,
    pub(crate) queue: Option<u8>,
    pub(crate) priority: Option<u8>,
    pub(crate) args: bool,
    pub(crate) progress: bool,
    pub(crate) state: bool,
    pub(crate) phase: Option<bool>,
    pub(crate) prefer: Option<Option<(u8, i64)>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) gate: u8,
    pub(crate) max: Option<u32>,
    pub(crate) rate: Option<(u32, u64, Option<u32>)>,
    pub(crate) paused: bool,
    pub(crate) max_depth: Option<u64>,
    pub(crate) ttl: Option<u64>,
    pub(crate) nonsense: bool,
}

/// An operation, with the guard that belongs to it.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Create(Box<New>),
    Settle(Pick, Shows, End),
    Extend(Pick, Shows, u64),
    Patch(Pick, Shows, Changes),
    Cancel(Pick),
    Revive(Pick, When),
    Wake(Pick),
    Delete(Pick),
    Append(Owner, Vec<Option<u8>>),
    Trim(Owner, u64),
    PutMark(u8, Option<u64>),
    DropMark(u8),
    PutRule(Rule),
    DropRule(u8),
}

#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) worker: u8,
    pub(crate) queues: Vec<u8>,
    pub(crate) names: Vec<(u8, Option<u8>)>,
    /// So many names that lanes are not looked up one by one.
    pub(crate) crowd: bool,
    pub(crate) alias: Option<(u8, u8)>,
    pub(crate) limit: usize,
    pub(crate) ttl: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) status: Vec<TaskStatus>,
    pub(crate) name: Option<u8>,
    pub(crate) queue: Option<u8>,
    pub(crate) tag: Option<u8>,
    pub(crate) schedule: Option<u8>,
    pub(crate) parent: Option<Pick>,
    pub(crate) worker: Option<u8>,
    pub(crate) expired: bool,
    pub(crate) group: bool,
    pub(crate) window: Option<(i64, i64)>,
    pub(crate) id_prefix: Option<u8>,
}

pub(crate) const NAMES: u8 = 3;
pub(crate) const QUEUES: u8 = 2;
pub(crate) const WORKERS: u8 = 2;
/// Gates that tasks carry; behind them come those of queues and names.
pub(crate) const GATES: u8 = 2;

/// A sequence; shown with one step a line.
#[derive(Clone)]
pub(crate) struct Steps(pub(crate) Vec<Step>);

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, "\n  {step:?}"))
    }
}
