//! Where a process dies: the named points, and the trap that springs at one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use crate::journal::{Journal, Note};

/// What is being done with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Submit,
    Claim,
    Run,
    Settle,
    Extend,
    Reap,
    /// A schedule creates an occurrence and moves its cursor.
    Fire,
    Tidy,
    /// The log is moved into the file.
    Checkpoint,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The store was not asked yet.
    Asked,
    /// Some of its rows are written in an open transaction.
    Writing,
    /// All of its rows are written, and the transaction is not committed.
    Written,
    /// The transaction is committed, and nobody was answered.
    Committed,
    /// The store has answered, and nothing followed from it.
    Answered,
}

/// A point where a process dies.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) name: &'static str,
    pub(crate) verb: Verb,
    pub(crate) stage: Stage,
    /// Only in a transaction of several callers.
    pub(crate) of_many: bool,
}

const fn point(name: &'static str, verb: Verb, stage: Stage) -> Point {
    Point {
        name,
        verb,
        stage,
        of_many: false,
    }
}

/// All of them.
pub(crate) const POINTS: &[Point] = &[
    point("submit: not asked yet", Verb::Submit, Stage::Asked),
    point("submit: half written", Verb::Submit, Stage::Writing),
    point("submit: before COMMIT", Verb::Submit, Stage::Written),
    point(
        "submit: committed, no answer",
        Verb::Submit,
        Stage::Committed,
    ),
    Point {
        name: "submits of many: committed, no answer",
        verb: Verb::Submit,
        stage: Stage::Committed,
        of_many: true,
    },
    point("claim: before COMMIT", Verb::Claim, Stage::Written),
    point("claim: committed, no answer", Verb::Claim, Stage::Committed),
    point("claim: answered, not started", Verb::Claim, Stage::Answered),
    point("run: inside the handler", Verb::Run, Stage::Asked),
    point("settle: ended, not asked yet", Verb::Settle, Stage::Asked),
    point("settle: half written", Verb::Settle, Stage::Writing),
    point("settle: before COMMIT", Verb::Settle, Stage::Written),
    point(
        "settle: committed, no answer",
        Verb::Settle,
        Stage::Committed,
    ),
    point("heartbeat: before COMMIT", Verb::Extend, Stage::Written),
    point(
        "heartbeat: committed, no answer",
        Verb::Extend,
        Stage::Committed,
    ),
    point("reap: found, not asked yet", Verb::Reap, Stage::Asked),
    point("reap: half written", Verb::Reap, Stage::Writing),
    point("reap: before COMMIT", Verb::Reap, Stage::Written),
    point("reap: committed, no answer", Verb::Reap, Stage::Committed),
    point("slot: due, not asked yet", Verb::Fire, Stage::Asked),
    point(
        "slot: half written, cursor or task",
        Verb::Fire,
        Stage::Writing,
    ),
    point("slot: before COMMIT", Verb::Fire, Stage::Written),
    point("slot: committed, no answer", Verb::Fire, Stage::Committed),
    point("upkeep: half written", Verb::Tidy, Stage::Writing),
    point("upkeep: before COMMIT", Verb::Tidy, Stage::Written),
    point("upkeep: committed, no answer", Verb::Tidy, Stage::Committed),
    point("checkpoint: under way", Verb::Checkpoint, Stage::Writing),
];

/// Tasks that a transaction of many must have written.
const MANY: usize = 4;

/// Springs at one point, when it is reached for the n-th time.
#[derive(Debug)]
pub(crate) struct Trap {
    point: &'static Point,
    /// How often it is passed by before.
    passes: AtomicU32,
    /// The call that is to die is alone with the store.
    is_set: AtomicBool,
    /// Rows that the transaction has written so far, and tasks among them.
    rows: AtomicUsize,
    tasks: AtomicUsize,
    /// Two threads may come to the point at once.
    has_sprung: AtomicBool,
    journal: Arc<Journal>,
}

impl Trap {
    pub(crate) fn at(point: &'static Point, passes: u32, journal: Arc<Journal>) -> Arc<Self> {
        Arc::new(Self {
            point,
            passes: AtomicU32::new(passes),
            is_set: AtomicBool::new(false),
            rows: AtomicUsize::new(0),
            tasks: AtomicUsize::new(0),
            has_sprung: AtomicBool::new(false),
            journal,
        })
    }

    pub(crate) fn point(&self) -> &'static Point {
        self.point
    }

    /// Whether this call is one that may die: it is of the verb, and enough of them were passed by.
    pub(crate) fn wants(&self, verb: Verb) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        self.point.verb == verb
            && self
                .passes
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                .is_err()
    }

    /// From now on, until it is unset, all that the store does is for the call that may die.
    pub(crate) fn set(&self, is_set: bool) {
        self.is_set.store(is_set, Ordering::SeqCst);
    }

    /// A handler has begun.
    pub(crate) fn in_handler(&self) {
        if self.wants(Verb::Run) {
            self.spring();
        }
    }

    /// A transaction begins.
    pub(crate) fn begin(&self) {
        self.rows.store(0, Ordering::SeqCst);
        self.tasks.store(0, Ordering::SeqCst);
    }

    /// A row is about to be written.
    pub(crate) fn row(&self, is_task: bool) {
        let before = self.rows.fetch_add(1, Ordering::SeqCst);
        self.tasks.fetch_add(usize::from(is_task), Ordering::SeqCst);
        if before > 0 {
            self.reach(Stage::Writing);
        }
    }

    /// A transaction has come so far. One without rows was not what the point is about.
    pub(crate) fn reach(&self, stage: Stage) {
        let is_due = if self.point.of_many {
            self.tasks.load(Ordering::SeqCst) >= MANY
        } else {
            self.is_set.load(Ordering::SeqCst)
        };
        let wrote = self.rows.load(Ordering::SeqCst) > 0;
        if self.point.stage == stage && is_due && wrote {
            self.spring();
        }
    }

    /// Dies as a process dies that is killed: nothing of it runs any more.
    pub(crate) fn spring(&self) -> ! {
        if !self.has_sprung.swap(true, Ordering::SeqCst) {
            self.journal.note(Note::Reached {
                point: self.point.name.to_owned(),
            });
        }
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park_timeout(Duration::from_secs(1));
        }
    }
}
