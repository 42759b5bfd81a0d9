//! Records as this store wrote them when it leased them: their ends are written over them without reading them again, and
//! each only when the row is still the one that was written then.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::id::TaskId;
use crate::task::TaskStateRecord;

/// Records kept, at most. They are few kilobytes each.
const LIMIT: usize = 8_192;

/// A record as it was written, and the transaction that wrote it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) record: Arc<TaskStateRecord>,
    pub(super) written_by: Arc<str>,
}

/// What this store leased and did not touch since.
#[derive(Debug, Default)]
pub(super) struct HeldRecords(Mutex<HashMap<TaskId, Held>>);

impl HeldRecords {
    pub(super) fn keep(&self, writer: &Arc<str>, records: Vec<Arc<TaskStateRecord>>) {
        let mut held = self.0.lock();
        if held.len() + records.len() > LIMIT {
            // Those whose leases others took back are never asked for.
            held.clear();
        }
        held.extend(records.into_iter().map(|record| {
            let written_by = Arc::clone(writer);
            (record.id.clone(), Held { record, written_by })
        }));
    }

    /// Each is given once: whatever comes of it, the row is another one then.
    pub(super) fn take(&self, wanted: &BTreeSet<TaskId>) -> Vec<Held> {
        let mut held = self.0.lock();
        if held.is_empty() {
            return Vec::new();
        }
        wanted.iter().filter_map(|id| held.remove(id)).collect()
    }
}
