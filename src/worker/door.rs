//! The way into a worker for runs that the scheduler of its process makes and leases in one write.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Shared, execute};
use crate::scheduler::Starts;
use crate::store::LeaseTo;
use crate::task::{TaskDef, TaskStateRecord};

/// Begins runs beside those that a worker claims. It is open while the last claim of the worker left nothing behind: then
/// nobody waits whose turn it would be.
#[derive(Clone, Debug)]
pub struct Door(pub(super) Arc<Shared>);

impl Starts for Door {
    fn reserve(&self, wanted: usize) -> usize {
        if !self.0.is_open.load(Ordering::Acquire) {
            return 0;
        }
        self.0
            .held
            .promise(self.0.parts.options.concurrency, wanted)
    }

    fn is_short_of(&self, wanted: usize) -> bool {
        let places = self.0.parts.options.concurrency;
        self.0.is_open.load(Ordering::Acquire) && self.0.held.free(places) < wanted
    }

    fn lease_for(&self, def: &TaskDef) -> Option<LeaseTo> {
        let parts = &self.0.parts;
        let is_served = parts
            .options
            .queues
            .iter()
            .any(|queue| **queue == *def.queue);
        let can_run = is_served && parts.handlers.has(&def.name, def.version.as_deref());
        can_run.then(|| LeaseTo {
            worker: parts.id.clone(),
            ttl: parts.options.lease,
        })
    }

    fn place_of(&self, queue: &str) -> Option<usize> {
        let options = &self.0.parts.options;
        let mut queues = options.queues.iter();
        let place = queues.position(|served| served == queue);
        let takes_turns = !options.weights.is_empty() && options.queues.len() > 1;
        // One that is not served is not begun here.
        (!takes_turns).then(|| place.unwrap_or(usize::MAX))
    }

    fn begin(&self, leased: Vec<Arc<TaskStateRecord>>, reserved: usize) {
        let is_needed_less = leased.len() < reserved;
        execute::start(&self.0, leased, reserved);
        if is_needed_less {
            // The worker may have found no place while these were set aside.
            self.0.held.tell_freed();
        }
    }
}
