//! Running tasks: claim, run, settle; keep leases alive; take back lost ones; stop well.

mod door;
mod ends;
mod execute;
mod heartbeat;
mod held;
mod logs;
mod overdue;
mod presence;
mod queues;
mod reap;
mod release;
mod runs;
mod serve;
mod settle;
mod starters;
mod stop;
mod wait;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

pub use door::Door;
use ends::Ends;
pub use heartbeat::Heartbeat;
use held::{Held, HeldTask};
use overdue::Asked;
pub use runs::Runs;
pub use serve::Worker;
use starters::Starters;
pub use stop::Stop;

use tokio::sync::Notify;

use crate::client::{Client, Declaration};
use crate::clock::Clock;
use crate::handler::{HandlerTable, Surroundings};
use crate::id::{IdSource, WorkerId};
use crate::observe::Observers;
use crate::store::SharedStore;

/// How a worker works.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The queues it serves, the first one first.
    pub queues: Vec<String>,
    /// How many tasks each queue gets for those of the others while all have some; 1 for one that is not named. Without any,
    /// queues are served strictly in their order.
    pub weights: BTreeMap<String, u32>,
    /// Tasks it runs at once, at most.
    pub concurrency: usize,
    /// Tasks that it leases beyond those, to begin them the moment that a place is free instead of a write later. They are
    /// renewed like those that run, and handed back when the worker stops; until then no other worker can have them, and they
    /// hold places of their gates. 0 unless given; worth it for tasks that take less time than a write of the store.
    pub prefetch: usize,
    /// How long its leases last; they are renewed every third of it.
    pub lease: Duration,
    /// How long it waits for a hint before it looks by itself; by default what the store advises.
    pub poll: Option<Duration>,
    /// How long a run that was asked to end may take, unless it said that it needs longer; then it is left behind.
    pub kill_grace: Duration,
    /// The limits that it declares before it claims anything, and as long as it lives.
    pub declares: Declaration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            queues: vec!["default".to_owned()],
            weights: BTreeMap::new(),
            concurrency: 16,
            prefetch: 0,
            lease: Duration::from_secs(30),
            poll: None,
            kill_grace: Duration::from_secs(5),
            declares: Declaration::default(),
        }
    }
}

/// What a worker is made of. The runner fills it in.
#[derive(Clone, Debug)]
pub struct WorkerParts {
    /// Where tasks live.
    pub store: SharedStore,
    /// The door, for the limits that it declares.
    pub client: Client,
    /// What runs them.
    pub handlers: HandlerTable,
    /// What all runs share: the clock, shared state, the pool for handlers that block.
    pub surroundings: Arc<Surroundings>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub ids: Arc<IdSource>,
    /// Who is told.
    pub observers: Observers,
    /// Its identity.
    pub id: WorkerId,
    /// How it works.
    pub options: WorkerOptions,
}

/// What the parts of a worker share.
#[derive(Debug)]
struct Shared {
    parts: WorkerParts,
    held: Held,
    starters: Starters,
    /// Rung when a run has said something.
    bell: Arc<Notify>,
    ends: Ends,
    /// The last claim left nothing behind, and nothing is known to have come since.
    is_open: AtomicBool,
    asked: Asked,
    /// Runs that have begun and have not ended.
    begun: AtomicUsize,
    /// Handlers of runs that were given up, as long as they block their threads.
    stuck: AtomicUsize,
    /// Runs whose handlers were left behind.
    left_behind: AtomicUsize,
    /// Runs that were handed back and whose end the store has taken.
    released: AtomicUsize,
}
