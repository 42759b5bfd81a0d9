//! Runs that begin in the write that makes them: a slot that comes due while a worker of this process has a free place
//! need not wait to be found.

use std::fmt::Debug;
use std::sync::Arc;

use crate::store::LeaseTo;
use crate::task::{TaskDef, TaskStateRecord};

/// Where runs can begin: a worker of the same process.
pub trait Starts: Debug + Send + Sync {
    /// Sets places aside for this many runs, at most, and answers for how many. It gives none while other tasks wait for
    /// a place, or when nothing is to begin any more.
    fn reserve(&self, wanted: usize) -> usize;

    /// Whether places are what is missing for so many runs: those that run now may end soon.
    fn is_short_of(&self, wanted: usize) -> bool;

    /// Who would run a task of this definition; `None` when nobody here does.
    fn lease_for(&self, def: &TaskDef) -> Option<LeaseTo>;

    /// Where this queue stands among those that are served, the first first; `None` when they take turns by weight, so that
    /// what comes next is not known here.
    fn place_of(&self, queue: &str) -> Option<usize>;

    /// Begins these runs, whose leases were asked for with [`lease_for`](Self::lease_for), and gives back the places that
    /// were set aside.
    fn begin(&self, leased: Vec<Arc<TaskStateRecord>>, reserved: usize);
}

/// Places that were set aside. They go back when this is dropped, whatever became of the write.
#[derive(Debug)]
pub(super) struct Reserved {
    starts: Arc<dyn Starts>,
    places: usize,
    leased: Vec<Arc<TaskStateRecord>>,
}

impl Reserved {
    /// Places for up to so many runs; `None` when there are none.
    pub(super) fn take(starts: &Arc<dyn Starts>, wanted: usize) -> Option<Self> {
        let places = starts.reserve(wanted);
        (places > 0).then(|| Self {
            starts: Arc::clone(starts),
            places,
            leased: Vec::with_capacity(places),
        })
    }

    pub(super) const fn places(&self) -> usize {
        self.places
    }

    /// This one was leased, and begins when this is dropped.
    pub(super) fn leased(&mut self, record: Arc<TaskStateRecord>) {
        self.leased.push(record);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.starts
            .begin(std::mem::take(&mut self.leased), self.places);
    }
}
