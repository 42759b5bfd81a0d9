//! The unfinished runs of a schedule, for who replaces them.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::id::TaskId;
use crate::page::{PAGE_LIMIT, PageRequest};
use crate::store::{CountBy, SharedStore, TaskFilter};
use crate::task::{TaskStateRecord, TaskStatus};

/// The runs of this schedule that have not ended and that are meant.
///
/// # Errors
/// Those of the store.
pub(crate) async fn unfinished_runs(
    store: &SharedStore,
    schedule: &str,
    is_meant: impl Fn(&TaskStateRecord) -> bool,
) -> Result<BTreeSet<TaskId>> {
    let mut runs = BTreeSet::new();
    let filter = TaskFilter {
        name: Some(schedule.to_owned()),
        ..TaskFilter::status([TaskStatus::Pending, TaskStatus::Running])
    };
    // Counts by name are kept, so what is unfinished is found without a look at all that has ended: it is what was made
    // last, as a rule.
    let count = store.count(&filter, CountBy::All, 0).await?;
    let mut unfinished = count.total();
    let mut page = PageRequest {
        newest_first: true,
        ..PageRequest::first(PAGE_LIMIT)
    };
    while unfinished > 0 {
        page.limit = usize::try_from(unfinished).map_or(PAGE_LIMIT, |left| left.min(PAGE_LIMIT));
        let open = store.list(&filter, page).await?;
        unfinished = unfinished.saturating_sub(open.items.len() as u64);
        let records = open.items.into_iter().map(|item| item.record);
        let meant = records
            .filter(|record| record.schedule.as_deref() == Some(schedule) && is_meant(record));
        runs.extend(meant.map(|record| record.id));
        match open.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    Ok(runs)
}
